"""What the node is doing right now and did in this session: the source of status and live view.

Numbers here are for people to look at; what decides and what is published is in the store.
"""

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from node.loop.branches import BranchStep
from node.loop.steps import AttestationStep
from node.loop.trial import Confirmation
from node.terminal.vocabulary import word
from protocol.fields import fit_line
from protocol.units import NANO

_RECENT = 400
_WORD_WIDTH = 13  # of the longest


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """One concluded experiment: its last metric and what was decided."""

    title: str
    decision: str
    metric: float | None
    gain_sd: float | None
    record: bytes


class Activity:
    """Filled by the loop, read by whoever shows it."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self.started_s = time.monotonic()
        self.title = ""
        self.stage = "starting"
        self.stage_started_s = self.started_s
        self.dots: deque[Dot] = deque(maxlen=_RECENT)
        self.decisions: Counter[str] = Counter()
        self.verdicts: Counter[str] = Counter()
        self.runs = 0
        self.counted_ms = 0
        self.confirmation: Confirmation | None = None
        self.messages: deque[str] = deque(maxlen=_RECENT)
        self._log = log

    @property
    def elapsed_s(self) -> float:
        """Seconds since the session began."""
        return time.monotonic() - self.started_s

    @property
    def runs_per_hour(self) -> float:
        """Finished runs an hour, over the whole session."""
        return self.runs * 3600 / max(1.0, self.elapsed_s)

    @property
    def counted_share(self) -> float:
        """Share of the session's wall-clock in which a counted training ran."""
        return self.counted_ms / 1000 / max(1.0, self.elapsed_s)

    def say(self, text: str, *, record: bytes | None = None) -> None:
        """Tell something once, in the log and in the view."""
        line = _line(text, record)
        self.messages.append(line)
        self._log(line)

    def running(self, title: str, stage: str) -> None:
        """A run begins."""
        self.title, self.stage, self.stage_started_s = title, stage, time.monotonic()

    def idle(self, reason: str) -> None:
        """Nothing runs."""
        self.running("", reason)

    def finished(self, ms: int) -> None:
        """A run ended; its training took so many counted milliseconds."""
        self.runs += 1
        self.counted_ms += ms

    def concluded(self, dot: Dot) -> None:
        """An experiment is recorded."""
        self.dots.append(dot)
        self.decisions[dot.decision] += 1
        metric = "" if dot.metric is None else f"{dot.metric:.4f}  "
        gain = "" if dot.gain_sd is None else f"{dot.gain_sd:+.1f} sd  "
        self._log(
            _line(f"{word(dot.decision):<{_WORD_WIDTH}} {metric}{gain}{dot.title}", dot.record)
        )

    def branching(self, step: BranchStep) -> None:
        """The line is about to go on from another tree, or back."""
        self.say(f"{step.why}: going {step.title}")

    def branched(self, step: BranchStep, behind_sd: float | None) -> None:
        """That tree was measured."""
        if not step.is_taken:
            self.say(f"not going {step.title}: see its runs", record=step.record)
        elif step.where != "head" and behind_sd is not None:
            where = "below" if behind_sd > 0 else "above"
            self.say(f"{step.title}: {abs(behind_sd):.1f} sd {where} it", record=step.record)

    def weighing(self, confirmation: Confirmation) -> None:
        """A confirmation has a new pair."""
        self.confirmation = confirmation

    def checkpointed(self, confirmation: Confirmation, patches: int, *, record: bytes) -> None:
        """A checkpoint is recorded."""
        what = f"checkpoint of {patches} {'patch' if patches == 1 else 'patches'}"
        self._confirmed(what, confirmation, record)

    def caught_up(self, confirmation: Confirmation, author: bytes, *, record: bytes) -> None:
        """A peer's best tree was tried against the head."""
        self._confirmed(f"best tree of {author.hex()[:12]}", confirmation, record)

    def remeasured(
        self, confirmation: Confirmation, *, is_rolled_back: bool, record: bytes
    ) -> None:
        """A head in doubt was measured again."""
        self.confirmation = None
        self.verdicts[confirmation.verdict] += 1
        outcome = "does not hold: back to the one before it" if is_rolled_back else "stays"
        self.say(
            f"the head in doubt {outcome} ({word(confirmation.verdict)} after "
            f"{len(confirmation.pairs)} pairs)",
            record=record,
        )

    def _confirmed(self, what: str, confirmation: Confirmation, record: bytes) -> None:
        self.confirmation = None
        self.verdicts[confirmation.verdict] += 1
        latest = confirmation.latest
        gain = (
            f", gain {latest.gain:.4f} [{latest.lower:.4f}, {latest.upper:.4f}]" if latest else ""
        )
        verdict, adopted = word(confirmation.verdict), confirmation.move == "pass"
        self.say(
            f"{what} {verdict} after {len(confirmation.pairs)} pairs{gain}"
            f"{': the head from now on' if adopted else ''}",
            record=record,
        )

    def attested(self, step: AttestationStep, pairs: int) -> None:
        """A claim was run again."""
        self.confirmation = None
        gain = "" if step.measured_nano is None else f", gain {step.measured_nano / NANO:.4f}"
        why = f": {step.reason}" if step.reason else ""
        whose = "a part of the head" if step.part else f"claim of {step.author.hex()[:12]}"
        self.say(
            f"{whose} {word(step.verdict)} after {pairs} pairs{gain}{why}",
            record=step.record,
        )


def _line(text: str, record: bytes | None) -> str:
    return fit_line(text, 400) + (f"  [{record.hex()[:12]}]" if record else "")
