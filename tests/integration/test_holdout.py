"""A script task with a holdout: what gains on the visible data alone is discarded as overfit.

And the holdout is nowhere: not in a prompt, a log, a page, a record, the store or the journal.
"""

import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from node.home.home import Home
from node.store.store import Store
from tests.integration.nodes import answered, arnode, arnode_json, running_node

MARKER = "held-out-4711"
FIT = "SLOPE = 1.0\n\n\ndef predict(x):\n    return SLOPE * x\n"
# It shows whatever it can of what it reads, in each place that a candidate has for words.
SCORE = """\
import sys
import fit

text = open("data/points.csv").read()
print(text, file=sys.stderr)
print(text)
rows = [tuple(map(float, line.split(",")[:2])) for line in text.splitlines()]
print("loss:", sum((fit.predict(x) - y) ** 2 for x, y in rows) / len(rows))
"""
SEEN = {x: 2.0 * x + (0.3 if x % 2 else -0.3) for x in range(1, 9)}
UNSEEN = {x: 2.0 * x for x in range(11, 19)}
MEMORISING = f"SEEN = {SEEN}\n\n\ndef predict(x):\n    return SEEN.get(x, x)\n"
FAILING = f"SEEN = {SEEN}\n\n\ndef predict(x):\n    return SEEN[x]\n"
OVERFIT = "discarded as overfit"


def rows(points: dict[int, float], mark: str) -> str:
    return "".join(f"{x},{y},{mark}\n" for x, y in points.items())


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a script, its data, and a holdout."""
    place = tmp_path / "place"
    for folder in ("data", "hidden/data"):
        (place / folder).mkdir(parents=True)
    (place / "fit.py").write_text(FIT)
    (place / "score.py").write_text(SCORE)
    (place / "data" / "points.csv").write_text(rows(SEEN, "visible"))
    (place / "hidden" / "data" / "points.csv").write_text(rows(UNSEEN, MARKER))
    return place


@pytest.fixture
def task(place: Path, tmp_path: Path) -> Path:
    line = ("--target", "fit.py", "--eval", "python score.py", "--metric", "loss", "--yes")
    into = ("--holdout", "hidden", "--into", str(tmp_path / "task"))
    done = arnode(tmp_path / "home", "task", "init", *line, *into, cwd=place)
    assert "opened     data/points.csv" in done.stderr
    assert MARKER not in done.stdout + done.stderr
    return tmp_path / "task"


def handed_in(tmp_path: Path, text: str) -> Path:
    folder = tmp_path / "edited"
    folder.mkdir(exist_ok=True)
    (folder / "fit.py").write_text(text)
    return folder


@pytest.mark.parametrize("text", [MEMORISING, pytest.param(FAILING, marks=pytest.mark.soak)])
def test_what_gains_on_the_visible_data_alone_is_discarded_as_overfit(
    task: Path, tmp_path: Path, text: str
) -> None:
    home = tmp_path / "home"
    edit = ("--folder", str(handed_in(tmp_path, text)), "--task", str(task))
    output = arnode(home, "try", "-m", "by heart", *edit)
    assert f"because:          {OVERFIT}" in output.stdout
    assert "decision:         discard" in output.stdout
    assert OVERFIT in output.stderr
    trial, kept, _ = arnode_json(home, "log")["experiments"]
    assert (trial["decision"], kept["decision"]) == ("overfit", "kept")
    assert "overfit" in answered(home, "log").stdout
    for one in (trial, kept):
        assert OVERFIT in answered(home, "show", one["id"]).stdout
    assert answered(home, "report").stdout.count(OVERFIT) > 1
    again = arnode(home, "try", "-m", "by heart", *edit)
    assert "its stack was later discarded as overfit" in again.stdout
    elsewhere = found_in(tmp_path, MARKER, but=tmp_path / "place")
    assert list(elsewhere) == [task / "holdout/data/points.csv"]


def test_the_holdout_is_in_no_prompt_log_page_record_store_or_journal(
    task: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    named = ("--task", str(task))
    with running_node(home, "--web", "auto", "--agent", "none", task=named) as node:
        node.wait_for("baseline measured")
        for text in (MEMORISING, FAILING):
            arnode(home, "try", "-m", "by heart", "--folder", str(handed_in(tmp_path, text)))
        assert MARKER not in json.dumps(list(pages(home)))
        node.interrupt()
        node.end()
        assert MARKER not in "\n".join(node.all_said())
    assert (
        "holdout    files that replace visible ones"
        in answered(home, "task", "show", str(task)).stdout
    )
    prompt = arnode(
        home, "agent", "propose", "--print-prompt", *named, env={"ARNODE_AGENT": "ollama:small"}
    )
    assert "SLOPE" in prompt.stdout
    checked = arnode(home, "task", "check", str(task))
    for said in (prompt, checked, answered(home, "log", "--json"), answered(home, "report")):
        assert MARKER not in said.stdout + said.stderr
    elsewhere = found_in(tmp_path, MARKER, but=tmp_path / "place")
    assert list(elsewhere) == [task / "holdout/data/points.csv"]
    places = {path.parent.parent.name for path in found_in(home, "by heart")}
    assert "objects" in places  # of the journal's repository, so the search looks into it


def pages(home: Path) -> Iterator[Any]:
    """Yield what the page's API answers, wherever something can be asked without a choice."""
    opened = json.loads(answered(home, "view", "--no-browser", "--json").stdout)
    token = answered(home, "view", "--token", "steer").stdout.strip()
    address = opened["address"].rstrip("/")
    with Store.open_read_only(Home(home)) as store:
        ids = [record.id.hex() for record in store.records.own()]

    def asked(path: str) -> Any:
        request = Request(f"{address}{path}", headers={"Authorization": f"Bearer {token}"})  # noqa: S310
        try:
            with urlopen(request) as answer:  # noqa: S310 (our own node)
                return json.load(answer)
        except OSError as fault:
            return str(fault)

    described = asked("/api/v1/openapi.json")
    answers = 0
    for path, operations in described["paths"].items():
        if "get" not in operations:
            continue
        parameters = {one["name"] for one in operations["get"].get("parameters", ())}
        for id_ in ids if "id" in parameters else [""]:
            query = {"id": id_} if "id" in parameters and "{id}" not in path else {}
            said = asked(f"{path.replace('{id}', id_)}?{urlencode(query)}")
            answers += isinstance(said, dict)
            yield said
    assert answers > 20


def found_in(root: Path, text: str, *, but: Path | None = None) -> Iterator[Path]:
    """Yield the files below a folder with a text in them; git's objects are unpacked."""
    for at, _, names in os.walk(root):
        for path in (Path(at, name) for name in names):
            if path.is_symlink() or (but is not None and path.is_relative_to(but)):
                continue
            data = path.read_bytes()
            if path.parent.parent.name == "objects":
                data += zlib.decompress(data)
            if text.encode() in data:
                yield path
