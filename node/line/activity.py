"""What the node does now and did in this session, for `status` and the live view.

Numbers here are for people to look at; what decides and what is published is in the store.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from node.line.trial import Confirmation
from node.terminal.vocabulary import gain_words, sd_words, word
from protocol.codecs import fit_line
from trainer.measuring.loss_curve import LossCurve, LossPoint

_RECENT = 400
_WORD_WIDTH = 13  # of the longest


@dataclass(frozen=True, slots=True, kw_only=True)
class AtWork:
    """Something that is being done, and since when (monotonic seconds).

    `curve` is that of a run that trains or has trained; it fills as the script prints its loss.
    """

    title: str
    stage: str
    plainly: str
    started_s: float
    curve: LossCurve | None = None

    @property
    def points(self) -> tuple[LossPoint, ...]:
        """The loss so far, none where nothing was printed of it."""
        return () if self.curve is None else self.curve.points

    @property
    def seconds(self) -> float:
        """For how long."""
        return time.monotonic() - self.started_s


class Activity:
    """Filled by the loop, read by whoever shows it."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self.started_s = time.monotonic()
        self._told = AtWork(
            title="", stage="starting", plainly="starting", started_s=self.started_s
        )
        self.lanes = 1
        self.waits_s: Callable[[], tuple[float, ...]] = lambda: ()  # for a quiet minute, at most
        self.runs = 0
        self.counted_ms = 0
        self.confirmation: Confirmation | None = None
        self.messages: deque[str] = deque(maxlen=_RECENT)
        self._at_work: dict[object, AtWork] = {}  # oldest first
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
        """Share of the session's wall-clock in which a counted training ran, of a lane."""
        return self.counted_ms / 1000 / max(1.0, self.elapsed_s) / self.lanes

    @property
    def beside(self) -> int:
        """How many more runs are at work than the one that is told."""
        return max(0, len(self._at_work) - 1)

    @property
    def at_work(self) -> list[AtWork]:
        """The runs at work, the oldest first."""
        return list(self._at_work.values())

    @property
    def points(self) -> tuple[LossPoint, ...]:
        """The loss so far of the run that is told of."""
        return self._told.points

    @property
    def title(self) -> str:
        """What is told of; nothing while nothing runs."""
        return self._told.title

    @property
    def stage(self) -> str:
        """Its stage, for scripts."""
        return self._told.stage

    @property
    def stage_plainly(self) -> str:
        """Its stage, in words that need no manual."""
        return self._told.plainly

    @property
    def stage_seconds(self) -> float:
        """For how long the stage that is told has gone on."""
        return self._told.seconds

    def say(self, text: str, *, record: bytes | None = None) -> None:
        """Tell something once, in the log and in the view."""
        line = _line(text, record)
        self.messages.append(line)
        self._log(line)

    def running(self, title: str, stage: str, plainly: str, *, run: object = None) -> None:
        """A run begins, which is told of until another does, or it has ended and another has not.

        Without a `run` it is something else that is done.
        """
        told = AtWork(title=title, stage=stage, plainly=plainly, started_s=time.monotonic())
        if run is not None:
            self._at_work[run] = told
        self._told = told

    def trains(self, run: object, curve: LossCurve) -> None:
        """A run that is at work begins to train, or to train again; its curve fills from now on."""
        before = self._at_work[run]
        self._at_work[run] = replace(before, curve=curve)
        if self._told is before:
            self._told = self._at_work[run]

    def ended(self, run: object) -> None:
        """A run has ended, whatever came of it; the latest of the others is told of."""
        self._at_work.pop(run, None)
        if self._at_work:
            self._told = list(self._at_work.values())[-1]

    def idle(self, reason: str) -> None:
        """Nothing runs."""
        self.running("", reason, reason)

    def finished(self, ms: int) -> None:
        """A run ended; its training took so many counted milliseconds."""
        self.runs += 1
        self.counted_ms += ms

    def concluded(
        self,
        title: str,
        *,
        decision: str,
        metric: float | None,
        gain_sd: float | None,
        record: bytes,
    ) -> None:
        """An experiment is recorded."""
        measured = "" if metric is None else f"{metric:.4f}  "
        gain = "" if gain_sd is None else f"{sd_words(gain_sd)}  "
        self._log(_line(f"{word(decision):<{_WORD_WIDTH}} {measured}{gain}{title}", record))

    def weighing(self, confirmation: Confirmation) -> None:
        """A confirmation has a new pair."""
        self.confirmation = confirmation

    def confirmed(self, what: str, confirmation: Confirmation, *, record: bytes) -> None:
        """A trial of the head by `what` is recorded."""
        latest, verdict = confirmation.latest, word(confirmation.verdict)
        gain = f", {gain_words(latest, spec='+.4f')}" if latest else ""
        adopted = ": the head from now on" if confirmation.move == "pass" else ""
        told = f"{what} {verdict} after {len(confirmation.pairs)} pairs{gain}{adopted}"
        self.judged(told, record=record)

    def judged(self, told: str, *, record: bytes | None) -> None:
        """A trial in pairs is decided, as told."""
        self.confirmation = None
        self.say(told, record=record)


def _line(text: str, record: bytes | None) -> str:
    return fit_line(text, 400) + (f"  [{record.hex()[:12]}]" if record else "")
