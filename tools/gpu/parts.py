"""A part from start to end: the machine, the text, the runs, the document."""

import asyncio
import json
import tempfile
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protocol.errors import ArnodeError, SafetyError
from tools.figures import provenance
from tools.gpu.card import probe_machine
from tools.gpu.compare import run_compare
from tools.gpu.ground import CARD, TOY, prepare_ground
from tools.gpu.measuring import Report, Session
from tools.gpu.noise import run_noise
from tools.gpu.pipeline import run_pipeline
from tools.gpu.progress import say
from tools.gpu.self_test import self_tested_device
from trainer.sandbox.tier import probe_tier
from trainer.sandbox.visible import visible_tree

_SECONDS: Final = {"compare": 60, "noise": 30, "pipeline": 60}
_TOY_SECONDS: Final = 2
_MINUTES, _TOY_MINUTES = 8.5, 2.0
_SWEEP_SHARE: Final = 3  # a smaller card's run on this card gets the budget divided by this
_STEPS, _TOY_STEPS = 40, 5
_GRACE_S: Final = 20
_PUBLISHED_S: Final = 300  # autoresearch's budget


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line's options; None leaves the choice to the part and the machine."""

    part: str
    seconds: int | None
    minutes: float | None
    out: Path | None
    home: Path
    runs: int | None
    memory: float
    points: int
    from_point: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sizes:
    """The options with all choices made."""

    options: Options
    is_card: bool
    seconds: int

    @property
    def points(self) -> slice:
        """The points of the ablations or of the sweep to run."""
        first = self.options.from_point
        return slice(first, first + self.options.points)

    def runs(self, usual: int) -> int:
        """Return how many of the part's runs to make."""
        return usual if self.options.runs is None else self.options.runs


def _compare(session: Session, report: Report, sizes: _Sizes) -> Coroutine[object, object, None]:
    return run_compare(session, report, pairs=sizes.runs(3), points=sizes.points)


def _noise(session: Session, report: Report, sizes: _Sizes) -> Coroutine[object, object, None]:
    return run_noise(
        session,
        report,
        seeds=sizes.runs(5),
        memory_gib=sizes.options.memory,
        sweep_seconds=max(1, sizes.seconds // _SWEEP_SHARE),
        points=sizes.points,
    )


def _pipeline(session: Session, report: Report, sizes: _Sizes) -> Coroutine[object, object, None]:
    steps = _STEPS if sizes.is_card else _TOY_STEPS
    return run_pipeline(session, report, experiments=sizes.runs(3), steps=steps)


PARTS: Final[dict[str, Callable[[Session, Report, _Sizes], Coroutine[object, object, None]]]] = {
    "compare": _compare,
    "noise": _noise,
    "pipeline": _pipeline,
}


def measure(options: Options) -> int:
    """Measure a part and write its document; return 1 if it failed."""
    started_s = time.monotonic()
    report = Report()
    document: dict[str, object] = {"part": options.part, **provenance()}
    try:
        _measure(options, report, document, started_s)
    except ArnodeError as error:
        say(f"{error.message} ({error.hint})" if error.hint else error.message)
        report.skipped.append(f"ended: {error.message}")
        return 1
    finally:  # in any case: minutes on a card are too precious to lose
        document |= {
            "took_s": round(time.monotonic() - started_s, 1),
            "figures": report.figures,
            "skipped": report.skipped,
        }
        text = json.dumps(document, indent=1)
        out = options.out or options.home / f"{options.part}.json"
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(f"{text}\n")
        print(text)
    return 0


def _measure(
    options: Options, report: Report, document: dict[str, object], started_s: float
) -> None:
    """Fill in the document and the report. Raises ArnodeError if it cannot continue."""
    machine = probe_machine()
    document |= machine.figures()
    seconds = options.seconds or (_SECONDS[options.part] if machine.is_card else _TOY_SECONDS)
    minutes = options.minutes or (_MINUTES if machine.is_card else _TOY_MINUTES)
    document["budget_s"] = seconds
    if not machine.is_card:
        document["size"] = "toy size on the CPU: figures of no card"
    elif seconds < _PUBLISHED_S:
        document["size"] = (
            f"{seconds} s a run: {_PUBLISHED_S} s do not fit into {minutes:g} minutes"
        )
    say(str(document.get("size", machine.name)))
    tier = probe_tier()
    document |= {"tier": tier.name, "tier_detail": tier.detail}
    say(f"sandbox tier {tier.name}: {tier.detail}")
    with tempfile.TemporaryDirectory() as folder:
        ground = prepare_ground(
            CARD if machine.is_card else TOY,
            shown=visible_tree(with_cuda=machine.is_card).host_files(),
            kept=options.home,
            seconds=seconds,
            folder=Path(folder),
        )
        document["text"] = ground.account
        if tier.name == "none":
            raise SafetyError(f"no sandbox, no run: {tier.detail}", tier.hint)
        device = self_tested_device(machine, report, options.home)
        session = Session(
            ground,
            machine,
            device=device,
            ends_s=started_s + 60 * minutes,
            compiled=options.home / "compiled",
        )
        sizes = _Sizes(options=options, is_card=machine.is_card, seconds=seconds)
        asyncio.run(_in_time(session, PARTS[options.part](session, report, sizes)))


async def _in_time(session: Session, part: Coroutine[object, object, None]) -> None:
    """Run a part, and cancel it if it runs late; it starts no run that would end late."""
    try:
        async with asyncio.timeout(session.left_s + _GRACE_S):
            await part
    except TimeoutError as error:
        raise ArnodeError("the time is up before its figures are there", "--minutes") from error
    finally:
        await session.close()
