"""Probes in real sandboxes, on the processor; each of them is made to fail."""

import asyncio
import json

import pytest

from trainer.card_selftest import probing
from trainer.card_selftest.probing import NAMES, Probed, judge, probe
from trainer.card_selftest.sizing import sizes_of
from trainer.host.device import processor
from trainer.language_model.harness import probes
from trainer.task_folder.folder import BUILTIN_FOLDER

# The real probes, but these behave differently, and all others do nothing.
OTHERWISE = (
    "import os, time\n"
    "from trainer.language_model.harness import probes\n"
    "def refuse(_): raise RuntimeError('no kernel image is available. And more')\n"
    "for name in {names!r}: probes.PROBES[name] = lambda _: ''\n"
    "probes.PROBES |= {{{changes}}}\n"
    "probes.main({names!r})"
)
UNAVAILABLE = "RuntimeError: no kernel image is available"


def probed(*failing: str) -> list[Probed]:
    """Return the results if these probes fail and all others pass."""
    return [Probed(name=name, fault=UNAVAILABLE if name in failing else None) for name in NAMES]


def settings(attention: str, *, compiled: bool = True, pinned: bool = True) -> dict[str, object]:
    """Return the settings for scripts."""
    return {"attention": attention, "compiled": compiled, "pinned": pinned}


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
    """A kind of attention may be available only for some widths."""
    script = (BUILTIN_FOLDER / "nanochat" / "train.py").read_bytes()
    assert {size.head_width for size in sizes_of(script)} == {probes._WIDTH}


def test_where_all_is_there_the_fastest_is_taken() -> None:
    abilities, faults = judge(probed())
    assert faults == []
    assert abilities is not None
    assert abilities.settings() == settings("varlen")
    assert abilities.settings()["pinned"] is True, "torch's `pin_memory` takes no integer"


@pytest.mark.parametrize(
    ("failing", "name", "expected"),
    [
        (("varlen",), "attention-varlen", settings("flex")),
        (("flex",), "attention-flex", settings("varlen")),
        (
            ("masked",),
            "attention-masked",
            settings("varlen"),
        ),
        (
            ("varlen", "flex"),
            "attention-flex",
            settings("masked"),
        ),
        # Without compilation, flex attention is not used.
        (
            ("varlen", "compile"),
            "compile-fails",
            settings("masked", compiled=False),
        ),
        (("triton",), "triton-fails", settings("varlen", compiled=False)),
        (("pinned",), "copies-wait", settings("varlen", pinned=False)),
    ],
)
def test_what_fails_is_named_and_something_else_runs(
    failing: tuple[str, ...], name: str, expected: dict[str, object]
) -> None:
    abilities, faults = judge(probed(*failing))
    assert name in [fault.name for fault in faults]
    assert all("no kernel image is available)" in fault.said for fault in faults)
    assert abilities is not None
    assert abilities.settings() == expected


@pytest.mark.parametrize(
    ("failing", "name"),
    [
        (("product",), "sandbox-without-cuda"),
        (("varlen", "flex", "masked"), "no-attention"),
        (("varlen", "masked", "compile"), "no-attention"),
    ],
)
def test_without_some_no_run_is_made(failing: tuple[str, ...], name: str) -> None:
    abilities, faults = judge(probed(*failing))
    assert abilities is None
    (ending,) = [fault for fault in faults if fault.ends_it]
    assert ending.name == name
    assert "tiny" in ending.instead


def test_a_long_message_hides_no_result_that_was_printed_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A compiler's messages are longer than what is kept of a sandbox's output."""
    changes = "'triton': lambda _: print('x' * 100_000) or ''"
    monkeypatch.setattr(probing, "_PROGRAM", OTHERWISE.replace("{changes}", changes))
    assert asyncio.run(probe(processor())) == [Probed(name=name, fault=None) for name in NAMES]


@pytest.mark.soak
def test_whatever_one_does_the_others_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """One fails, one hangs, and two end their process, the first with another probe's output."""
    document = json.dumps({"name": "masked", "fault": None, "detail": ""})
    said = repr(f"probe {document}").replace("{", "{{").replace("}", "}}")
    changes = {
        "triton": f"lambda _: (print({said}, flush=True), os.abort())",
        "varlen": "refuse",
        "flex": "lambda _: os._exit(1)",
        "pinned": "lambda _: time.sleep(600)",
    }
    program = OTHERWISE.replace("{changes}", ", ".join(f"{n!r}: {c}" for n, c in changes.items()))
    monkeypatch.setattr(probing, "_PROGRAM", program)
    found = asyncio.run(probe(processor(), limit_s=3.0))
    assert [one.name for one in found] == list(NAMES)
    assert {one.name: one.fault for one in found if one.fault} == {
        "triton": "its process ended",
        "varlen": UNAVAILABLE,
        "flex": "its process ended",
        "pinned": "it took more than 3 s",
    }


# Claims to be torch's CUDA build; the real one is for the processor and knows no card.
CUDA_BUILD = (
    "import os, torch\n"
    "torch.version.cuda, os.environ['CUDA_VISIBLE_DEVICES'] = '13.0', 'GPU-1'\n"
    "def refuse(): raise RuntimeError('Unexpected error from cudaGetDeviceCount(). Error 304: OS"
    " call failed')\n"
    "torch.cuda.init = refuse\n"
    "from trainer.language_model.harness import session\n"
    "session.require_card()\n"
    "print('went on')"
)


def test_where_cuda_does_not_start_that_is_reported_and_nothing_runs_on_the_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in an H100's first sandbox, where this caused all other failures."""
    monkeypatch.setattr(probing, "_PROGRAM", CUDA_BUILD)
    found = asyncio.run(probe(processor()))
    abilities, (fault,) = judge(found)
    assert abilities is None
    assert fault.name == "sandbox-without-cuda"
    assert "Error 304" in fault.said
    assert fault.ends_it
