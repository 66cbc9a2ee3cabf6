"""Probes in real sandboxes, with the processor in a card's place; each made to fail."""

import asyncio
import json

import pytest

from trainer.host.device import processor
from trainer.language_model.harness import probes
from trainer.proving import probing
from trainer.proving.probing import NAMES, Probed, judge, probe
from trainer.proving.sizing import sizes_of
from trainer.task_folder.folder import BUILTIN_FOLDER

HONEST = probing._PROGRAM
# The probes as they are, but that these do something else.
OTHERWISE = (
    "import os, time\n"
    "from trainer.language_model.harness import probes\n"
    "def refuse(_): raise RuntimeError('no kernel image is available. And more')\n"
    "for name in {names!r}: probes.PROBES[name] = lambda _: ''\n"
    "probes.PROBES |= {{{changes}}}\n"
    "probes.main({names!r})"
)


def probed(
    monkeypatch: pytest.MonkeyPatch, limit_s: float = 60.0, **changes: str
) -> dict[str, Probed]:
    """Return what is said where these probes do something else, and all others nothing."""
    said = ", ".join(f"{name!r}: {code}" for name, code in changes.items())
    monkeypatch.setattr(probing, "_PROGRAM", OTHERWISE.replace("{changes}", said))
    found = asyncio.run(probe(processor(), limit_s=limit_s))
    assert [one.name for one in found] == list(NAMES)
    return {one.name: one for one in found}


def test_on_a_processor_there_is_plain_attention_and_nothing_is_compiled() -> None:
    found = asyncio.run(probe(processor()))
    assert [one.name for one in found] == list(NAMES)
    abilities, faults = judge(found)
    assert abilities is not None
    assert (abilities.attention, abilities.compiles, abilities.is_pinned) == (
        "masked",
        False,
        False,
    )
    assert {fault.name for fault in faults} == {
        "triton-fails",
        "compile-fails",
        "attention-varlen",
        "attention-flex",
        "copies-wait",
    }
    assert all(fault.is_kept and not fault.ends_it for fault in faults)


def test_heads_are_as_wide_as_those_of_the_sizes_that_a_card_is_for() -> None:
    """A kind of attention may be there for some widths alone."""
    script = (BUILTIN_FOLDER / "nanochat" / "train.py").read_bytes()
    assert {size.head_width for size in sizes_of(script)} == {probes._WIDTH}


def test_where_all_is_there_the_fastest_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    abilities, faults = judge([*probed(monkeypatch).values()])
    assert faults == []
    assert abilities is not None
    assert abilities.told() == {"attention": "varlen", "compiled": 1, "pinned": 1}


@pytest.mark.parametrize(
    ("failing", "name", "told"),
    [
        (("varlen",), "attention-varlen", {"attention": "flex", "compiled": 1, "pinned": 1}),
        (("flex",), "attention-flex", {"attention": "varlen", "compiled": 1, "pinned": 1}),
        (("masked",), "attention-masked", {"attention": "varlen", "compiled": 1, "pinned": 1}),
        (
            ("varlen", "flex"),
            "attention-flex",
            {"attention": "masked", "compiled": 1, "pinned": 1},
        ),
        # What is not compiled, flex attention is no good for.
        (
            ("varlen", "compile"),
            "compile-fails",
            {"attention": "masked", "compiled": 0, "pinned": 1},
        ),
        (("triton",), "triton-fails", {"attention": "varlen", "compiled": 0, "pinned": 1}),
        (("pinned",), "copies-wait", {"attention": "varlen", "compiled": 1, "pinned": 0}),
    ],
)
def test_what_fails_is_named_and_something_else_runs(
    monkeypatch: pytest.MonkeyPatch, failing: tuple[str, ...], name: str, told: dict[str, object]
) -> None:
    found = probed(monkeypatch, **dict.fromkeys(failing, "refuse"))
    abilities, faults = judge([*found.values()])
    assert name in [fault.name for fault in faults]
    assert all("no kernel image is available)" in fault.said for fault in faults)
    assert abilities is not None
    assert abilities.told() == told


@pytest.mark.parametrize(
    ("failing", "name"),
    [
        (("product",), "sandbox-without-cuda"),
        (("varlen", "flex", "masked"), "no-attention"),
        (("varlen", "masked", "compile"), "no-attention"),
    ],
)
def test_without_some_no_run_is_made(
    monkeypatch: pytest.MonkeyPatch, failing: tuple[str, ...], name: str
) -> None:
    found = probed(monkeypatch, **dict.fromkeys(failing, "refuse"))
    abilities, faults = judge([*found.values()])
    assert abilities is None
    (ending,) = [fault for fault in faults if fault.ends_it]
    assert ending.name == name
    assert "tiny" in ending.instead


def test_one_that_kills_its_process_leaves_the_others_theirs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = probed(monkeypatch, triton="lambda _: os.abort()", flex="lambda _: os._exit(1)")
    assert {one.name: one.fault for one in found.values() if one.fault} == {
        "triton": "it ended its process",
        "flex": "it ended its process",
    }


def test_one_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    found = probed(monkeypatch, limit_s=8.0, compile="lambda _: time.sleep(600)")
    assert found["compile"].fault == "it took more than 8 s"
    assert found["pinned"].fault is None


def test_what_is_printed_beside_probes_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    told = json.dumps({"name": "flex", "fault": None, "detail": ""})
    said = repr(f"probe {told}").replace("{", "{{").replace("}", "}}")
    found = probed(monkeypatch, compile=f"lambda _: print({said}) or ''", flex="refuse")
    assert found["flex"].fault is not None
