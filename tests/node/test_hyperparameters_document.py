"""Experiments by the values of their hyperparameters, and importance without a node."""

import asyncio
import json
import zlib
from dataclasses import replace

import pytest

from node.home.home import Home
from node.line.line_writer import LineWriter
from node.reporting.hyperparameters import hyperparameters_document, kinds_document
from node.reporting.knowledge import ImportanceDocument
from node.reporting.open_home import BoardCache, OpenHome
from node.reporting.queries import OfLine
from node.web.importance import StoredImportance
from node.web.reading import Library
from protocol.errors import ArnodeError
from protocol.record_kinds import Diff
from protocol.source import Source
from tests.node.examples import BASELINE, KEY, patch_body, result_body, run


def source(text: str) -> Source:
    return Source.of({"train.py": text.encode()})


def record(line_writer: LineWriter, base: Source, made: Source, changes: str) -> None:
    """Record an experiment on `base` whose patch has this diff."""
    store = line_writer.store
    diff = Diff(zlib=zlib.compress(f"--- a/train.py\n+++ b/train.py\n@@\n{changes}".encode()))
    patch = store.append_own(KEY, replace(patch_body(base, made), diff=diff), ts_ms=1)
    body = result_body("screen", (run(),), source=made, patch=patch.id)
    store.append_own(KEY, replace(body, base=base.tree), ts_ms=1)


def opened(line_writer: LineWriter, home: Home) -> OpenHome:
    return OpenHome(
        home=home,
        net="main",
        store=line_writer.store,
        blobs=line_writer.blobs,
        boards=BoardCache(),
    )


def test_an_experiment_has_the_values_of_its_base_except_what_it_changed(
    line_writer: LineWriter, home: Home
) -> None:
    one, other = source("one"), source("other")
    record(line_writer, BASELINE, one, "-RATE = 1\n+RATE = 2\n")
    record(line_writer, one, other, '-MODE = "a"\n+MODE = "b"\n')
    record(line_writer, BASELINE, source("third"), "-RATE = 1\n+RATE = 0.5\n")
    document = hyperparameters_document(opened(line_writer, home), OfLine())
    assert document["names"] == ["RATE", "MODE"]
    assert document["values"]["RATE"][-3:] == [2.0, 2.0, 0.5]
    assert document["values"]["MODE"][-3:] == ['"a"', '"b"', '"a"']
    assert len(document["id"]) == len(document["score"]) == len(document["values"]["RATE"])


def test_without_experiments_there_are_no_values_and_no_kinds(
    line_writer: LineWriter, home: Home
) -> None:
    at = opened(line_writer, home)
    assert hyperparameters_document(at, OfLine())["names"] == []
    assert kinds_document(at, OfLine())["kinds"] == []


def test_importance_of_a_stored_home_is_that_of_the_command_and_computed_once(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = iter([3, 3, 4])
    printed = {"hyperparameters": [], "explained": 0.25, "kinds": []}
    script = f"print({json.dumps(json.dumps(printed))}, end=''); open('calls', 'a').write('x')"
    monkeypatch.setattr("node.web.importance._COMMAND", ("python3", "-c", script))
    monkeypatch.chdir(home.root.parent)
    monkeypatch.setattr("node.web.importance._experiments", lambda _: next(counts))

    async def ask() -> list[ImportanceDocument]:
        found = StoredImportance(home)
        async with Library(home, "main") as library:
            return [await found.document(library) for _ in range(3)]

    assert asyncio.run(ask()) == [{"hyperparameters": [], "explained": 0.25}] * 3
    assert (home.root.parent / "calls").read_text() == "xx"


def test_a_command_that_fails_is_reported_with_its_reason(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "import sys; sys.exit('arnode: the task is not here')"
    monkeypatch.setattr("node.web.importance._COMMAND", ("python3", "-c", script))
    monkeypatch.setattr("node.web.importance._experiments", lambda _: 1)

    async def ask() -> None:
        async with Library(home, "main") as library:
            await StoredImportance(home).document(library)

    with pytest.raises(ArnodeError, match="cannot compute the importance: the task is not here"):
        asyncio.run(ask())
