"""The self-test of a device: card, CUDA in a sandbox, model size, complete runs.

Each step prints one line of text. If a step shows that no run can be made, the remaining steps are
skipped. On an H200 the self-test takes six minutes; `make gpu` measures the same more thoroughly.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from protocol.errors import ArnodeError
from protocol.source import Source
from trainer.card_selftest.probing import FAULTS, NAMES, Abilities, Probed, judge, probe
from trainer.card_selftest.report import (
    NOTHING_ELSE,
    Fault,
    SelfTestConditions,
    SelfTestReport,
    SelfTestStep,
)
from trainer.card_selftest.sizing import (
    SHARE,
    Paced,
    Room,
    Size,
    Trial,
    find_fastest,
    find_fitting,
    room_of,
    sizes_of,
    sizes_within,
)
from trainer.card_selftest.whole_runs import (
    Scale,
    WholeRunResult,
    check_whole_runs,
    generated_data,
    selftest_task,
)
from trainer.cards.cards import GraphicsCard
from trainer.cards.nvml import CardLost, CardReader
from trainer.host.device import Device
from trainer.language_model import card_checks
from trainer.runner import Runner
from trainer.sandbox.compiled import CompiledCode
from trainer.task_folder.folder import BUILTIN_FOLDER
from trainer.task_folder.task import Task

_SCRIPT: Final = BUILTIN_FOLDER / "nanochat" / "train.py"
_TOY: Final = Size(
    least_gib=0, layers=3, width=64, head_width=32, sequence=64, step_tokens=512, rows=4
)  # the size that the script uses on a processor
_GIB: Final = 1 << 30
_VOCABULARY: Final = 8192
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTestLimits:
    """Time limits in seconds: for all probes together, each size, and all complete runs."""

    probes_s: float = 120.0
    size_s: float = 180.0
    runs_s: float = 420.0


@dataclass(slots=True, kw_only=True)
class CardSelfTest:
    """A self-test of a device. `card` is the driver's description, None for the processor.

    `known` are faults of an earlier self-test that would occur again (`Fault.is_kept`). Their
    probes are skipped. `say` receives each step's result as a line of text.
    """

    device: Device
    card: GraphicsCard | None
    say: Callable[[str], None]
    scale: Scale
    limits: SelfTestLimits = field(default_factory=SelfTestLimits)
    known: tuple[Fault, ...] = ()
    host_bytes: int = 32 << 30
    script: bytes = field(default_factory=_SCRIPT.read_bytes)
    _steps: list[SelfTestStep] = field(default_factory=list)
    _figures: dict[str, float | str] = field(default_factory=dict)

    async def run(self) -> SelfTestReport:
        """Run the steps, up to the first that shows that no run can be made."""
        settings = await self._find_settings()
        return SelfTestReport(
            setting=SelfTestConditions.of(self.device),
            steps=tuple(self._steps),
            script_settings=settings,
            figures=self._figures,
        )

    async def _find_settings(self) -> dict[str, Any]:
        """Run the steps; return the settings for scripts, empty if no run can be made."""
        if not await self._step("card", self._look_at_card()):
            return {}
        abilities = await self._step("abilities", self._try_abilities())
        if abilities is None:
            return {}
        size = await self._step("size", self._find_size(abilities))
        if size is None:
            return {}
        settings = {**abilities.settings(), "size": size.settings()}
        return settings if await self._step("whole runs", self._make_runs(settings)) else {}

    async def _step(
        self, name: str, work: Coroutine[Any, Any, tuple[T | None, str, list[Fault]]]
    ) -> T | None:
        """Run a step and report on it; return the result of `work`, None if no run can be made."""
        began_s = time.monotonic()
        try:
            result, detail, faults = await work
        except CardLost as lost:
            result, detail, faults = None, "", [_card_lost(lost)]
        except ArnodeError as error:
            result, detail, faults = None, "", [_no_sandbox(error)]
        seconds = round(time.monotonic() - began_s, 1)
        self._steps.append(
            SelfTestStep(name=name, detail=detail, seconds=seconds, faults=tuple(faults))
        )
        for fault in faults:
            self.say(f"{name}: {fault}")
        if result is not None:
            self.say(f"{name}: {detail} ({seconds:.0f} s)")
        return result

    async def _look_at_card(self) -> tuple[bool | None, str, list[Fault]]:
        if self.card is None:
            return True, "the processor, tested instead of a card", []
        faults = await asyncio.to_thread(find_card_faults, self.card)
        if not any(fault.ends_it for fault in faults):
            faults += await find_sandbox_faults(self.card)
        if any(fault.ends_it for fault in faults):
            return None, "", faults
        driver = self.card.env.get("driver", "unknown")
        memory = f"{self.card.memory_bytes / _GIB:.1f} GiB"
        return True, f"{self.card.name}, {memory}, driver {driver}", faults

    async def _try_abilities(self) -> tuple[Abilities | None, str, list[Fault]]:
        self.say("abilities: testing matrix products, compilers, attention and copies …")
        kept = {fault.name: fault for fault in self.known}
        untried = [name for name in NAMES if FAULTS[name].name not in kept]
        probed = await probe(self.device, names=untried, limit_s=self.limits.probes_s)
        said = {one.name: one for one in probed}
        whole = [said.get(name, Probed(name=name, fault="as before")) for name in NAMES]
        abilities, faults = judge(whole)
        found = {fault.name: fault for fault in faults}
        faults = [*(found | kept).values()]
        if abilities is None:
            return None, "", faults
        compiled = "compiled" if abilities.compiles else "not compiled"
        what = "torch" if self.card is None else "CUDA"
        detail = f"{what} in a sandbox: {abilities.attention} attention, {compiled}"
        return abilities, detail, faults

    async def _find_size(self, abilities: Abilities) -> tuple[Size | None, str, list[Fault]]:
        sizes, share = [_TOY], SHARE
        if self.card is not None:
            room = await asyncio.to_thread(room_of, self.card)
            self._say_room(room)
            sizes = sizes_within(sizes_of(self.script), room)
            share = SHARE * room.usable_bytes / room.total_bytes
        trial = Trial(
            device=self.device,
            source=Source.of({"train.py": self.script}),
            abilities=abilities,
            vocabulary_size=_VOCABULARY,
            limit_s=self.limits.size_s,
            share=share,
            host_bytes=self.host_bytes,
        )
        self.say(f"size: trying {sizes[0].layers} layers of {sizes[0].width} …")
        fitting, faults = await find_fitting(trial, sizes)
        if fitting is None:
            return None, "", faults
        best = await find_fastest(trial, fitting, say=self._say_pace)
        self._figures["tokens_per_s"] = round(best.tokens_per_s)
        return best.size, f"{best.size}, {best.tokens_per_s:,.0f} tokens/s", faults

    async def _make_runs(self, settings: dict[str, Any]) -> tuple[bool | None, str, list[Fault]]:
        self.say(f"whole runs: four of {self.scale.seconds} s on generated text, all scored …")
        with tempfile.TemporaryDirectory() as folder:
            task = selftest_task(self.script, self.scale, Path(folder))
            data = await asyncio.to_thread(generated_data, self.scale)
            device = replace(self.device, script_settings=settings)
            runner = Runner(
                task,
                data,
                device=device,
                audit_key=b"a proving run",
                compiled=self._compiled(Path(folder), task),
                patience_s=0.0,
            )
            try:
                async with asyncio.timeout(self.limits.runs_s):
                    await runner.open()
                    found = await check_whole_runs(runner, self.scale)
            except TimeoutError:
                found = WholeRunResult(faults=[_too_slow(self.limits.runs_s)])
            finally:
                await runner.close()
        self._figures.update(found.figures)
        if any(fault.ends_it for fault in found.faults):
            return None, "", found.faults
        figures = found.figures
        detail = (
            f"audit tolerance {figures['audit_tolerance_bpb']:.5f} bits, two seeds differ by"
            f" {abs(float(figures['other_seed_bpb'])):.4f}, {figures['counted_share']:.0%} of"
            f" the time is training, a lying model was {figures['liar']}"
        )
        return True, detail, found.faults

    def _compiled(self, folder: Path, task: Task) -> CompiledCode | None:
        """Return a cache, as a node has, so that only the first run compiles the script."""
        if self.card is None:
            return None
        return CompiledCode(folder / "compiled", baseline=task.source.tree, setting="self-test")

    def _say_room(self, room: Room) -> None:
        free, total = room.free_bytes / _GIB, room.total_bytes / _GIB
        self.say(f"size: {free:.1f} of {total:.1f} GiB are free")
        if room.kept_bytes:
            self.say(
                f"size: {room.kept_bytes >> 20} MiB are reserved for the desktop on this card;"
                " with `arnode start --when-idle` runs start only while no other program uses"
                " the card"
            )

    def _say_pace(self, paced: Paced) -> None:
        self.say(f"size: {paced}")


def find_card_faults(card: GraphicsCard) -> list[Fault]:
    """Return the faults found without using the card; a CardLost error becomes a fault."""
    checks = (card_checks.software_fault(card), card_checks.file_fault(card))
    faults = [_of_check(fault) for fault in checks if fault]
    try:
        taken = _taken(card)
    except CardLost as lost:
        taken = _card_lost(lost)
    return [*faults, *([taken] if taken else [])]


async def find_sandbox_faults(card: GraphicsCard) -> list[Fault]:
    """Try the card in a sandbox, which takes some seconds, and return the fault if it fails."""
    fault = await card_checks.sandbox_fault(card)
    return [_of_check(fault)] if fault else []


def _of_check(fault: card_checks.CardFault) -> Fault:
    is_mild = fault.name == "no-compiler"
    instead = (
        "nothing is compiled, and a micro-batch has half as many rows" if is_mild else NOTHING_ELSE
    )
    return Fault(name=fault.name, said=fault.message, hint=fault.hint, instead=instead)


def _taken(card: GraphicsCard) -> Fault | None:
    """Return a fault if half of a card's memory or more is in use. Raises CardLost."""
    reader = CardReader(card.uuid)
    reader.open()
    try:
        seen = reader.read()
    finally:
        reader.close()
    if not seen.used_bytes or not seen.total_bytes or 2 * seen.used_bytes < seen.total_bytes:
        return None
    return Fault(
        name="card-taken",
        said=(
            f"other programs use {seen.used_bytes / _GIB:.1f} of {seen.total_bytes / _GIB:.1f} GiB"
        ),
        hint="close them (`nvidia-smi` lists them), then start again",
    )


def _card_lost(lost: CardLost) -> Fault:
    return Fault(name="card-lost", said=lost.message, hint=lost.hint)


def _no_sandbox(error: ArnodeError) -> Fault:
    return Fault(name="no-sandbox", said=error.message, hint=error.hint)


def _too_slow(limit_s: float) -> Fault:
    return Fault(
        name="runs-too-slow",
        said=f"whole runs take more than {limit_s:g} s",
        hint="check the card: `nvidia-smi` shows throttling and other programs that use it",
    )
