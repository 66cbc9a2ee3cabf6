"""The node's current work and the session's counts, for `status` and the live view.

Numbers here are for people to read. Decisions and records depend only on the store.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from node.line.trial import Confirmation
from node.terminal.vocabulary import gain_words, many, word
from protocol.codecs import fit_line
from trainer.measuring.loss_curve import LossCurve, LossPoint

_RECENT = 400
_WORD_WIDTH = 13  # length of the longest word


@dataclass(frozen=True, slots=True, kw_only=True)
class AtWork:
    """A piece of work in progress; `started_s` is in monotonic seconds.

    `curve` is set once a run trains. It grows as the script prints its loss.
    """

    title: str
    stage: str
    text: str
    started_s: float
    curve: LossCurve | None = None

    @property
    def points(self) -> tuple[LossPoint, ...]:
        """The loss so far; empty if the script printed none."""
        return () if self.curve is None else self.curve.points

    @property
    def seconds(self) -> float:
        """Seconds since the work started."""
        return time.monotonic() - self.started_s


class Activity:
    """The state of the current session: the loop writes it, the views read it."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self.started_s = time.monotonic()
        self._shown = AtWork(title="", stage="starting", text="starting", started_s=self.started_s)
        self.lanes = 1
        self.waits_s: Callable[[], tuple[float, ...]] = lambda: ()  # of runs, for an idle machine
        self.runs = 0
        self.counted_ms = 0
        self.confirmation: Confirmation | None = None
        self.messages: deque[str] = deque(maxlen=_RECENT)
        self._at_work: dict[object, AtWork] = {}  # oldest first
        self._log = log

    @property
    def elapsed_s(self) -> float:
        """Seconds since the session started."""
        return time.monotonic() - self.started_s

    @property
    def runs_per_hour(self) -> float:
        """Finished runs per hour over the whole session."""
        return self.runs * 3600 / max(1.0, self.elapsed_s)

    @property
    def counted_share(self) -> float:
        """The fraction of the session's wall-clock time that an average lane spent training."""
        return self.counted_ms / 1000 / max(1.0, self.elapsed_s) / self.lanes

    @property
    def also_running(self) -> int:
        """The number of runs in progress in addition to the one that is shown."""
        return max(0, len(self._at_work) - 1)

    @property
    def at_work(self) -> list[AtWork]:
        """The runs in progress, oldest first."""
        return list(self._at_work.values())

    @property
    def points(self) -> tuple[LossPoint, ...]:
        """The loss so far of the run that is shown."""
        return self._shown.points

    @property
    def title(self) -> str:
        """The title of the work that is shown; empty while nothing runs."""
        return self._shown.title

    @property
    def stage(self) -> str:
        """The stage of the work that is shown, for scripts."""
        return self._shown.stage

    @property
    def stage_text(self) -> str:
        """The stage of the work that is shown, in plain words."""
        return self._shown.text

    @property
    def stage_seconds(self) -> float:
        """Seconds since the stage that is shown started."""
        return self._shown.seconds

    def say(self, text: str, *, record: bytes | None = None) -> None:
        """Write a message to the log and the view."""
        line = _line(text, record)
        self.messages.append(line)
        self._log(line)

    def running(self, title: str, stage: str, text: str, *, run: object = None) -> None:
        """Record that a run started and show it, until it ends or another run starts.

        `run` is None for work that is not a run.
        """
        shown = AtWork(title=title, stage=stage, text=text, started_s=time.monotonic())
        if run is not None:
            self._at_work[run] = shown
        self._shown = shown

    def trains(self, run: object, curve: LossCurve) -> None:
        """Record that a run in progress starts to train, or to train again, and show its curve."""
        before = self._at_work[run]
        self._at_work[run] = replace(before, curve=curve)
        if self._shown is before:
            self._shown = self._at_work[run]

    def ended(self, run: object) -> None:
        """Record that a run ended, and show the latest run still in progress."""
        self._at_work.pop(run, None)
        if self._at_work:
            self._shown = list(self._at_work.values())[-1]

    def idle(self, reason: str) -> None:
        """Record that no run is in progress."""
        self.running("", reason, reason)

    def finished(self, ms: int) -> None:
        """Count a finished run; `ms` is its training time as the budget counts it."""
        self.runs += 1
        self.counted_ms += ms

    def concluded(
        self,
        title: str,
        *,
        decision: str,
        metric: float | None,
        gain: str,
        record: bytes,
    ) -> None:
        """Log the decision on an experiment; `gain` is its gain as text, empty if unknown."""
        measured = "" if metric is None else f"{metric:.4f}  "
        again = "; the working line had changed: tried again" if decision == "rebased" else ""
        gained = gain and f"{gain}  "
        shown = f"{word(decision):<{_WORD_WIDTH}} {measured}{gained}{title}{again}"
        self._log(_line(shown, record))

    def weighing(self, confirmation: Confirmation) -> None:
        """Show the state of a trial after a new pair."""
        self.confirmation = confirmation

    def confirmed(self, what: str, confirmation: Confirmation, *, record: bytes) -> None:
        """Report the end of a trial of `what` against the verified head."""
        latest, verdict = confirmation.latest, word(confirmation.verdict)
        gain = f", {gain_words(latest, spec='+.4f')}" if latest else ""
        adopted = ": it is the new head" if confirmation.move == "pass" else ""
        shown = f"{what} {verdict} after {many(len(confirmation.pairs), 'pair')}{gain}{adopted}"
        self.judged(shown, record=record)

    def judged(self, shown: str, *, record: bytes | None) -> None:
        """Report the decision of a trial in pairs with the message `shown`."""
        self.confirmation = None
        self.say(shown, record=record)


def _line(text: str, record: bytes | None) -> str:
    return fit_line(text, 400) + (f"  [{record.hex()[:12]}]" if record else "")
