"""A whole proving run with the processor in a card's place, and each of its steps made to fail."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pynvml
import pytest

from protocol.errors import SafetyError
from tests.trainer.nvml import FakeCard, FakeDriver, FakeLoad, FakeProcess
from tests.trainer.provable import working_driver
from trainer.cards.cards import Card, probe_cards
from trainer.cards.nvml import CardLost
from trainer.host.device import processor
from trainer.language_model import card_checks
from trainer.proving import proving as proving_module
from trainer.proving.contract import TOY
from trainer.proving.faults import Fault
from trainer.proving.probing import Abilities, Probed
from trainer.proving.proof import Proof, Setting, Step, keep, remembered
from trainer.proving.proving import Limits, Proving
from trainer.proving.sizing import Size, sizes_of
from trainer.runner import Runner
from trainer.sandbox.sandbox import Sandbox

SCRIPT = proving_module._SCRIPT.read_text()
IMPORTS = "import gc\nimport time\n"
ATTENTION = "attention = best_attention()\n"
MEBIBYTE = 1 << 20
PLAIN = Abilities(attention="masked", compiles=False, is_pinned=False)
SMALL = proving_module._TOY


def changed(*edits: tuple[str, str]) -> bytes:
    text = SCRIPT
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text.encode()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Probes that say at once what they say on a processor, and the faults that they make."""

    async def probe(_device: object, *, names: list[str], limit_s: float) -> list[Probed]:
        failing = {"triton", "compile", "varlen", "flex", "pinned"}
        return [Probed(name=name, fault="no" if name in failing else None) for name in names]

    monkeypatch.setattr(proving_module, "probe", probe)
    return ["triton-fails", "compile-fails", "attention-varlen", "attention-flex", "copies-wait"]


def proving_of(script: bytes, **how: object) -> tuple[Proving, list[str]]:
    """Return a proving run of the processor, and what it is going to say."""
    said: list[str] = []
    limits = Limits(probes_s=60, size_s=60, runs_s=240)
    proving = Proving(
        device=processor(), card=None, say=said.append, scale=TOY, limits=limits, script=script
    )
    for name, value in how.items():
        setattr(proving, name, value)
    return proving, said


def sized(script: bytes = SCRIPT.encode(), **how: object) -> tuple[Size | None, list[Fault]]:
    """Make the step that finds a size alone: what fits, and what did not."""
    proving, _ = proving_of(script, **how)
    size = asyncio.run(proving._step("size", proving._find_size(PLAIN)))
    return size, [fault for step in proving._steps for fault in step.faults]


def ran(script: bytes = SCRIPT.encode(), **how: object) -> tuple[bool | None, list[Fault]]:
    """Make the step of whole runs alone."""
    proving, _ = proving_of(script, **how)
    told = {**PLAIN.told(), "size": SMALL.told()}
    is_fine = asyncio.run(proving._step("whole runs", proving._make_runs(told)))
    return is_fine, [fault for step in proving._steps for fault in step.faults]


def test_a_processor_proves_itself_in_a_cards_place(tmp_path: Path) -> None:
    """Training and scoring are told alike: a script that takes anything else fails."""
    told = """
assert CARD["attention"] == "masked", CARD
assert not COMPILES
assert list(CARD["size"]) == [LAYERS, WIDTH, HEAD_WIDTH, SEQUENCE, STEP_TOKENS, ROWS], CARD
"""
    proving, said = proving_of(changed((ATTENTION, ATTENTION + told)))
    proof = asyncio.run(proving.prove())
    assert [step.name for step in proof.steps] == ["card", "abilities", "size", "whole runs"]
    assert proof.is_usable, said
    assert proof.told["attention"] == "masked"
    assert proof.told["size"][:4] == [3, 64, 32, 64]
    assert proof.figures["liar"] == "rejected"
    assert proof.figures["same_seed_bpb"] is not None
    assert float(proof.figures["audit_tolerance_bpb"]) > 0
    assert any(line.startswith("whole runs: audits allow") for line in said)
    # The next start knows it, and so do records.
    keep(proof, tmp_path)
    setting = Setting.of(processor())
    assert remembered(setting, tmp_path) == proof
    assert remembered(replace(setting, torch="2.99.0"), tmp_path) is None
    device = proof.told_device(processor())
    assert device.told == proof.told
    assert device.environment["attention"] == "masked"
    assert str(device.environment["size"]).startswith("3x64x32x64x512x")
    text = json.dumps(proof.report(None))
    assert str(Path.home()) not in text
    assert "masked" in text


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


# Out of memory: torch raises its own error, at so many rows at once


def oom_above(rows: int) -> bytes:
    raised = f"""
if ROWS > {rows}:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
"""
    return changed((ATTENTION, ATTENTION + raised))


@pytest.mark.parametrize(("rows", "failed"), [(1, 1), (2, 0)])
def test_a_size_that_does_not_fit_is_halved_until_it_does(rows: int, failed: int) -> None:
    size, faults = sized(oom_above(rows))
    assert [fault.name for fault in faults] == ["out-of-memory"] * failed
    assert all(fault.is_kept and fault.instead == "half as many rows at once" for fault in faults)
    assert size is not None
    assert size.rows <= rows


def test_memory_of_the_machine_that_is_used_up_counts_as_the_cards_does() -> None:
    size, faults = sized(host_bytes=100 * MEBIBYTE)
    assert [fault.name for fault in faults] == ["out-of-memory", "out-of-memory", "no-size-fits"]
    assert size is None


def test_where_no_size_fits_no_run_is_made(quick: list[str]) -> None:
    proving, said = proving_of(oom_above(0))
    proof = asyncio.run(proving.prove())
    names = [fault.name for fault in proof.faults if fault.name not in quick]
    assert names == ["out-of-memory", "out-of-memory", "no-size-fits"]
    assert not proof.is_usable
    assert [step.name for step in proof.steps] == ["card", "abilities", "size"]
    assert "`tiny` runs on the processor" in said[-1]


def test_a_step_that_fails_otherwise_is_told() -> None:
    failing = changed((IMPORTS, f"{IMPORTS}raise RuntimeError('an illegal access')\n"))
    size, (fault,) = sized(failing)
    assert (size, fault.name, fault.ends_it) == (None, "step-fails", True)
    assert "RuntimeError: an illegal access" in fault.said


def test_a_size_that_takes_too_long_is_ended() -> None:
    hanging = changed((IMPORTS, f"{IMPORTS}time.sleep(600)\n"))
    size, (fault,) = sized(hanging, limits=Limits(size_s=6))
    assert (size, fault.name) == (None, "step-fails")
    assert "it took more than 6 s" in fault.said


# Whole runs


def test_an_audit_beyond_tolerance_is_told() -> None:
    """A model that answers anew each time is another one when it is looked at."""
    restless = changed(
        ("        if targets is None:\n            return logits\n",
         "        if targets is None:\n            return logits + torch.randn_like(logits)\n"),
    )  # fmt: skip
    is_fine, (fault,) = ran(restless)
    assert is_fine is None
    assert (fault.name, fault.ends_it) == ("audit-beyond-tolerance", True)


def test_absurd_noise_and_a_liar_that_is_not_caught_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trainer.proving.contract._LIE_NATS", 0.0)
    is_fine, faults = ran(scale=replace(TOY, absurd_bits=1e-9))
    assert is_fine is None
    assert [fault.name for fault in faults] == ["noise-absurd", "liar-not-caught"]
    assert all(fault.ends_it for fault in faults)


def test_runs_that_take_too_long_are_ended() -> None:
    is_fine, (fault,) = ran(limits=Limits(runs_s=1.0))
    assert (is_fine, fault.name) == (None, "runs-too-slow")


def test_a_card_that_is_lost_during_runs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def open_and_lose(_: Runner) -> None:
        raise CardLost.hung("GPU-1", 30.0)

    monkeypatch.setattr(Runner, "open", open_and_lose)
    is_fine, (fault,) = ran()
    assert (is_fine, fault.name) == (None, "card-lost")


# The card, by a driver that is faked


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    return working_driver(monkeypatch, FakeCard(name="NVIDIA GeForce RTX 3060", mib=12288))


def faults_of_card(driver: FakeDriver, card: Card | None = None) -> list[Fault]:
    """Return what the first step finds."""
    card = card or probe_cards().cards[0]
    proving = Proving(device=card.device, card=card, say=lambda _: None, scale=TOY)

    async def first_step() -> None:
        await proving._step("card", proving._look_at_card())

    asyncio.run(first_step())
    assert driver.open == 0
    return [fault for step in proving._steps for fault in step.faults]


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
    async def refused(_: Card) -> card_checks.CardFault:
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
def test_a_fault_of_the_card_is_named_with_its_mend(
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
    assert fault.mend


def test_a_sandbox_that_does_not_start_is_a_fault_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(_: object) -> None:
        raise SafetyError("the sandbox did not start: no answer", "`arnode doctor` tells")

    monkeypatch.setattr(Sandbox, "launch", refuse)
    proving, said = proving_of(SCRIPT.encode())
    proof = asyncio.run(proving.prove())
    assert [fault.name for fault in proof.faults] == ["no-sandbox"]
    assert "`arnode doctor` tells" in said[-1]
    assert not proof.is_usable


# What is remembered


def some_proof(*faults: Fault) -> Proof:
    setting = Setting(hardware_class="cuda-x", driver="1", torch="2")
    return Proof(setting=setting, steps=(Step(name="size", detail="", seconds=1, faults=faults),))


KEPT = Fault(name="attention-varlen", said="no", mend="none", instead="a mask", is_kept=True)


def test_what_is_damaged_is_proven_anew(tmp_path: Path) -> None:
    proof = some_proof(KEPT)
    keep(proof, tmp_path)
    assert remembered(proof.setting, tmp_path) == proof
    (path,) = (tmp_path / "cards").iterdir()
    for damaged in ("", "{}", "[]", path.read_text()[:-30], '{"setting": {}}'):
        path.write_text(damaged)
        assert remembered(proof.setting, tmp_path) is None


def test_a_rung_that_failed_before_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def probe(_device: object, *, names: list[str], limit_s: float) -> list[Probed]:
        asked.extend(names)
        return [Probed(name=name, fault="gone" if name == "product" else None) for name in names]

    monkeypatch.setattr(proving_module, "probe", probe)
    proving, _ = proving_of(SCRIPT.encode(), known=(KEPT,))
    proof = asyncio.run(proving.prove())
    assert "varlen" not in asked
    assert "flex" in asked
    assert KEPT in proof.faults
