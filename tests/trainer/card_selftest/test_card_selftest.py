"""A complete self-test on the processor, and each of its steps made to fail."""

import asyncio
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pynvml
import pytest
import torch
from torch.nn import functional

from protocol.errors import SafetyError
from protocol.runs import Status
from protocol.source import Source
from protocol.units import NANO
from tests.trainer.nvml import FakeCard, FakeDriver, FakeLoad, FakeProcess
from tests.trainer.provable import working_driver
from trainer.card_selftest import steps as steps_module
from trainer.card_selftest import whole_runs
from trainer.card_selftest.probing import Abilities, Probed
from trainer.card_selftest.report import (
    Fault,
    SelfTestConditions,
    SelfTestReport,
    SelfTestStep,
    load_report,
    save_report,
)
from trainer.card_selftest.sizing import Size, sizes_of
from trainer.card_selftest.steps import CardSelfTest, SelfTestLimits
from trainer.card_selftest.whole_runs import TOY
from trainer.cards.cards import GraphicsCard, probe_cards
from trainer.cards.nvml import CardLost
from trainer.host.device import processor
from trainer.language_model import card_checks
from trainer.measuring.outcome import RunOutcome
from trainer.sandbox.sandbox import Sandbox
from trainer.task_folder.task import Task

SCRIPT = steps_module._SCRIPT.read_text()
IMPORTS = "import gc\nimport time\n"
ATTENTION = "attention = best_attention()\n"
MEBIBYTE = 1 << 20
PLAIN = Abilities(attention="masked", compiles=False, is_pinned=False)
SMALL = steps_module._TOY


def changed(*edits: tuple[str, str]) -> bytes:
    text = SCRIPT
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text.encode()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return fast probes with a processor's results, and with the given faults."""

    async def probe(_device: object, *, names: list[str], limit_s: float) -> list[Probed]:
        failing = {"triton", "compile", "varlen", "flex", "pinned"}
        return [Probed(name=name, fault="no" if name in failing else None) for name in names]

    monkeypatch.setattr(steps_module, "probe", probe)
    return ["triton-fails", "compile-fails", "attention-varlen", "attention-flex", "copies-wait"]


def selftest_of(script: bytes, **how: object) -> tuple[CardSelfTest, list[str]]:
    """Return the self-test of the processor, and the list of its future messages."""
    said: list[str] = []
    limits = SelfTestLimits(probes_s=60, size_s=60, runs_s=240)
    selftest = CardSelfTest(
        device=processor(), card=None, say=said.append, scale=TOY, limits=limits, script=script
    )
    for name, value in how.items():
        setattr(selftest, name, value)
    return selftest, said


def sized(script: bytes = SCRIPT.encode(), **how: object) -> tuple[Size | None, list[Fault]]:
    """Run only the size step; return the size that fits, and the faults."""
    selftest, _ = selftest_of(script, **how)
    size = asyncio.run(selftest._step("size", selftest._find_size(PLAIN)))
    return size, [fault for step in selftest._steps for fault in step.faults]


def ran(**how: object) -> tuple[bool | None, list[Fault]]:
    """Run only the step of complete runs."""
    selftest, _ = selftest_of(SCRIPT.encode(), **how)
    reported = {**PLAIN.settings(), "size": SMALL.settings()}
    is_fine = asyncio.run(selftest._step("whole runs", selftest._make_runs(reported)))
    return is_fine, [fault for step in selftest._steps for fault in step.faults]


@pytest.mark.soak
def test_a_processor_proves_itself_in_a_cards_place(quick: list[str], tmp_path: Path) -> None:
    """Training and scoring get the same size; otherwise the script fails.

    It has memory for one row at once: torch raises its own error. `test_probing.py` tests the
    results of the probes in a sandbox.
    """
    reported = """
if ROWS > 1:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
assert CARD["attention"] == "masked", CARD
assert not COMPILES
assert list(CARD["size"]) == [LAYERS, WIDTH, HEAD_WIDTH, SEQUENCE, STEP_TOKENS, ROWS], CARD
"""
    short = replace(TOY, seconds=1, rows=32, audited=16)
    selftest, said = selftest_of(changed((ATTENTION, ATTENTION + reported)), scale=short)
    result = asyncio.run(selftest.run())
    assert [step.name for step in result.steps] == ["card", "abilities", "size", "whole runs"]
    assert result.passed, said
    assert result.script_settings["attention"] == "masked"
    assert result.script_settings["size"] == SMALL.at_once(1).settings()
    (halved,) = [fault for fault in result.faults if fault.name == "out-of-memory"]
    assert halved.is_kept
    assert halved.instead == "half as many rows"
    assert result.figures["liar"] == "rejected"
    assert result.figures["same_seed_bpb"] is not None
    assert float(result.figures["audit_tolerance_bpb"]) > 0
    assert any(line.startswith("whole runs: audit tolerance") for line in said)
    # The next start knows the result, and records contain it.
    save_report(result, tmp_path)
    setting = SelfTestConditions.of(processor())
    assert load_report(setting, tmp_path) == result
    assert load_report(replace(setting, torch="2.99.0"), tmp_path) is None
    device = result.apply_to(processor())
    assert device.script_settings == result.script_settings
    assert device.environment["attention"] == "masked"
    assert str(device.environment["size"]).startswith("3x64x32x64x512x")
    text = json.dumps(result.document(None))
    assert str(Path.home()) not in text
    assert "masked" in text


def test_a_report_is_written_from_a_checkout_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    result = SelfTestReport(
        setting=SelfTestConditions(hardware_class="cpu", driver="", torch="2.13.0"), steps=()
    )
    assert result.document(None)["arnode"] == "not installed"


def test_the_table_of_a_script_is_read_without_running_it() -> None:
    table = sizes_of(SCRIPT.encode())
    first = table[0]
    assert (first.layers, first.width, first.step_tokens, first.rows) == (9, 640, 2**18, 128)
    assert [size.least_gib for size in table] == sorted(
        (size.least_gib for size in table), reverse=True
    )
    assert table[-1].least_gib == 0
    with pytest.raises(ValueError, match="no table SIZES"):
        sizes_of(b"ROWS = 3")


@pytest.mark.soak
def test_memory_of_the_machine_counts_as_the_cards_and_where_no_size_fits_no_run_is_made(
    quick: list[str],
) -> None:
    selftest, said = selftest_of(SCRIPT.encode(), host_bytes=100 * MEBIBYTE)
    result = asyncio.run(selftest.run())
    names = [fault.name for fault in result.faults if fault.name not in quick]
    assert names == ["out-of-memory", "out-of-memory", "no-size-fits"]
    assert not result.passed
    assert [step.name for step in result.steps] == ["card", "abilities", "size"]
    assert "`tiny` runs on the processor" in said[-1]


def test_a_step_that_fails_otherwise_is_reported() -> None:
    failing = changed((IMPORTS, f"{IMPORTS}raise RuntimeError('an illegal access')\n"))
    size, (fault,) = sized(failing)
    assert (size, fault.name, fault.ends_it) == (None, "step-fails", True)
    assert "RuntimeError: an illegal access" in fault.said


@pytest.mark.soak
def test_a_size_that_takes_too_long_is_ended() -> None:
    hanging = changed((IMPORTS, f"{IMPORTS}time.sleep(600)\n"))
    size, (fault,) = sized(hanging, limits=SelfTestLimits(size_s=1))
    assert (size, fault.name) == (None, "step-fails")
    assert "it took more than 1 s" in fault.said


# Complete runs with invented outcomes


@dataclass
class ScriptedRunner:
    """A runner with these outcomes, one after the other; after the last, a run never ends."""

    task: Task
    outcomes: Iterator[RunOutcome | CardLost]
    metric_tolerance: float = 0.001
    ran: list[Source] = field(default_factory=list)

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def run(self, source: Source, _seed: int, *, split: bytes) -> RunOutcome:
        assert len(split) == 32
        self.ran.append(source)
        found = next(self.outcomes, None)
        if found is None:
            await asyncio.Event().wait()
        if isinstance(found, CardLost):
            raise found
        return cast("RunOutcome", found)


def outcome(status: Status, metric: float = 2.0) -> RunOutcome:
    is_ok = status == "ok"
    return RunOutcome(
        seed=1, status=status, metric_nano=round(metric * NANO) if is_ok else None,
        secret_nano=None, ms=1, cpu_ms=1, serve_ms=1, tokens=1, peak_mem_bytes=1, audit=None,
        flags=(), reason=None if is_ok else "of old age", unquoted=None, log_tail="", answers=None,
    )  # fmt: skip


Scripted = Callable[..., list[ScriptedRunner]]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """Give the next complete runs these outcomes, and return the runners that are created."""

    def script(*outcomes: RunOutcome | CardLost) -> list[ScriptedRunner]:
        made: list[ScriptedRunner] = []

        def make(task: Task, *_: object, **__: object) -> ScriptedRunner:
            made.append(ScriptedRunner(task, iter(outcomes)))
            return made[-1]

        monkeypatch.setattr(steps_module, "Runner", make)
        monkeypatch.setattr(steps_module, "generated_data", lambda _scale: None)
        return made

    return script


FINE = [outcome("ok", 2.0), outcome("ok", 2.0), outcome("ok", 2.4)]  # the third with another seed
APART = [outcome("ok", 2.0), outcome("ok", 2.1), outcome("ok", 2.0)]


@pytest.mark.parametrize(
    ("outcomes", "absurd_bits", "names"),
    [
        ([*FINE, outcome("rejected")], 0.2, []),
        ([*APART, outcome("rejected")], 0.05, ["noise-absurd"]),
        ([*APART, outcome("ok", 1.9)], 0.05, ["noise-absurd", "liar-not-caught"]),
        (
            [*FINE, outcome("crash")],
            0.2,
            ["run-fails"],
        ),  # the lie never reached the audit
        ([outcome("rejected")], 0.2, ["audit-beyond-tolerance"]),
        ([outcome("crash")], 0.2, ["run-fails"]),
    ],
)
def test_what_whole_runs_come_to_is_judged(
    scripted: Scripted, outcomes: list[RunOutcome], absurd_bits: float, names: list[str]
) -> None:
    scripted(*outcomes)
    is_fine, faults = ran(scale=replace(TOY, absurd_bits=absurd_bits))
    assert is_fine is (None if names else True)
    assert [fault.name for fault in faults] == names
    assert all(fault.ends_it for fault in faults)


def test_the_liar_is_the_script_that_claims_more_than_it_answers(scripted: Scripted) -> None:
    made = scripted(*FINE, outcome("rejected"))
    assert ran(scale=replace(TOY, absurd_bits=1.0)) == (True, [])
    (runner,) = made
    *honest, liar = runner.ran
    assert honest == [runner.task.source] * 3
    assert b"lying_cross_entropy" in liar["train.py"]


def test_the_liar_answers_torch_compile_too() -> None:
    """It calls the function with all arguments that the original has."""
    space: dict[str, Any] = {"F": SimpleNamespace(cross_entropy=functional.cross_entropy)}
    exec(whole_runs._LIE.format(nats=0.2), space)  # noqa: S102 -- our own
    logits, targets = torch.zeros(2, 4), torch.zeros(2, dtype=torch.long)
    said = space["F"].cross_entropy(logits, targets, weight=None, reduction="none")
    assert said.tolist() == pytest.approx([math.log(4) - 0.2] * 2)


def test_runs_that_take_too_long_are_ended(scripted: Scripted) -> None:
    scripted()
    is_fine, (fault,) = ran(limits=SelfTestLimits(runs_s=0.01))
    assert (is_fine, fault.name) == (None, "runs-too-slow")


def test_a_card_that_is_lost_during_runs_is_reported(scripted: Scripted) -> None:
    scripted(CardLost.hung("GPU-1", 30.0))
    is_fine, (fault,) = ran()
    assert (is_fine, fault.name) == (None, "card-lost")


# The card, with a faked driver


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    return working_driver(monkeypatch, FakeCard(name="NVIDIA GeForce RTX 3060", mib=12288))


def faults_of_card(driver: FakeDriver, card: GraphicsCard | None = None) -> list[Fault]:
    """Return the faults of the first step."""
    card = card or probe_cards().cards[0]
    selftest = CardSelfTest(device=card.device, card=card, say=lambda _: None, scale=TOY)

    async def first_step() -> None:
        await selftest._step("card", selftest._look_at_card())

    asyncio.run(first_step())
    assert driver.open == 0
    return [fault for step in selftest._steps for fault in step.faults]


def test_a_card_as_it_should_be_has_no_fault(driver: FakeDriver) -> None:
    assert faults_of_card(driver) == []


def cpu_build(_: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_checks, "torch_cuda", lambda: None)


def newer_build(_: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_checks, "torch_cuda", lambda: (13, 0))


def no_compiler(_: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _name: None)


def no_device_file(_: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    _.install(monkeypatch)
    monkeypatch.setattr(card_checks, "torch_cuda", lambda: (12, 8))
    monkeypatch.setattr("shutil.which", lambda _name: "/usr/bin/gcc")


def not_opened(_: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(_: GraphicsCard) -> card_checks.CardFault:
        return card_checks.CardFault("device-file-refused", "not opened", "chmod")

    monkeypatch.setattr(card_checks, "sandbox_fault", refused)


def taken(driver: FakeDriver, _: pytest.MonkeyPatch) -> None:
    driver.load = FakeLoad(processes={4_000_000: FakeProcess(mib=9000)})


def lost(driver: FakeDriver, _: pytest.MonkeyPatch) -> None:
    driver.fail(pynvml.NVML_ERROR_GPU_IS_LOST)


@pytest.mark.parametrize(
    ("break_it", "name", "ends_it"),
    [
        (cpu_build, "cpu-build", True),
        (newer_build, "driver-too-old", True),
        (no_compiler, "no-compiler", False),
        (no_device_file, "no-device-file", True),
        (not_opened, "device-file-refused", True),
        (taken, "card-taken", True),
        (lost, "card-lost", True),
    ],
)
def test_a_fault_of_the_card_is_named_with_its_fix(
    driver: FakeDriver,
    monkeypatch: pytest.MonkeyPatch,
    break_it: Callable[[FakeDriver, pytest.MonkeyPatch], None],
    name: str,
    ends_it: bool,
) -> None:
    card = probe_cards().cards[0]
    break_it(driver, monkeypatch)
    (fault,) = faults_of_card(driver, card)
    assert (fault.name, fault.ends_it, fault.is_kept) == (name, ends_it, False)
    assert fault.hint


def test_a_sandbox_that_does_not_start_is_a_fault_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(_: object) -> None:
        raise SafetyError("the sandbox did not start: no answer", "`arnode doctor` tells")

    monkeypatch.setattr(Sandbox, "launch", refuse)
    selftest, said = selftest_of(SCRIPT.encode())
    result = asyncio.run(selftest.run())
    assert [fault.name for fault in result.faults] == ["no-sandbox"]
    assert "`arnode doctor` tells" in said[-1]
    assert not result.passed


# Stored results


def some_report(*faults: Fault) -> SelfTestReport:
    setting = SelfTestConditions(hardware_class="cuda-x", driver="1", torch="2")
    return SelfTestReport(
        setting=setting, steps=(SelfTestStep(name="size", detail="", seconds=1, faults=faults),)
    )


KEPT = Fault(name="attention-varlen", said="no", hint="none", instead="a mask", is_kept=True)


def test_what_is_damaged_is_tested_again(tmp_path: Path) -> None:
    result = some_report(KEPT)
    save_report(result, tmp_path)
    assert load_report(result.setting, tmp_path) == result
    (path,) = (tmp_path / "cards").iterdir()
    for damaged in ("", "{}", "[]", path.read_text()[:-30], '{"setting": {}}'):
        path.write_text(damaged)
        assert load_report(result.setting, tmp_path) is None


def test_a_rung_that_failed_before_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def probe(_device: object, *, names: list[str], limit_s: float) -> list[Probed]:
        asked.extend(names)
        return [Probed(name=name, fault="gone" if name == "product" else None) for name in names]

    monkeypatch.setattr(steps_module, "probe", probe)
    selftest, _ = selftest_of(SCRIPT.encode(), known=(KEPT,))
    result = asyncio.run(selftest.run())
    assert "varlen" not in asked
    assert "flex" in asked
    assert KEPT in result.faults
