"""Peers' results for other values of constants, as data for the hyperparameter search.

No untrusted source is parsed for this. Lines of a diff that set a name to a number, a string or a
boolean are read as text; a diff with any other line is ignored. Peers' results are not trusted:
predictions from them are tried here like any idea.
"""

import re
from collections import deque
from collections.abc import Collection, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Final, TypeVar

from agent.proposal import PeerTrial
from agent.source.hunks import is_changed
from agent.source.literals import Scalar, hyperparameter_values
from node.store.experiments import metric_of
from node.store.others_results import did_fail
from protocol.errors import Rejected
from protocol.patches import unpack_diff
from protocol.record_kinds import PatchBody, ResultBody
from protocol.units import NANO
from trainer.task_folder.task import Task

K = TypeVar("K")
V = TypeVar("V")

_MOST_OF_AUTHOR: Final = 60  # the latest
_MOST_AUTHORS: Final = 32  # with the most recent results
_MOST_TREES: Final = 2_000
_MOST_NEW_NAMES: Final = 32  # in addition to those of the task's own source
_MOST_LINES: Final = 40  # of a diff that changes only values
_LINE_CHARACTERS: Final = 200
_SETTING: Final = re.compile(
    r"([A-Za-z_]\w{0,63}) = "
    r"([-+]?\d+(?:_\d+)*(?:\.\d*)?(?:e[-+]?\d{1,3})?|True|False|\"\w{0,64}\")(?:\s*#.*)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _SetValues:
    """The values that a diff sets, `before` and `after` it. `is_pure`: it changes nothing else."""

    before: Mapping[str, Scalar]
    after: Mapping[str, Scalar]
    is_pure: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    step: _SetValues
    values: Mapping[str, Scalar]  # those of its base
    base: bytes
    gain_nano: int | None  # None if the run failed
    metric_nano: int | None
    is_kept: bool


class OthersTrials:
    """Peers' trials of values on a line, added result by result."""

    def __init__(self, task: Task) -> None:
        source = task.source
        self._sign = task.manifest.metric.sign
        self._baseline = source.tree
        self._of_baseline = dict(hyperparameter_values(source, task.editable, task.hyperparameters))
        self._values: dict[bytes, Mapping[str, Scalar]] = {}  # of others' trees
        self._trials: dict[bytes, deque[_Trial]] = {}

    def take(
        self, author: bytes, body: ResultBody, patch: PatchBody, gain_nano: int | None
    ) -> None:
        """Add a peer's result, the patch that it is about, and the reported gain.

        The gain is in 1e-9 units of the metric, positive if better; None if it is not reported.
        """
        values = self._values_of(patch.base)
        if values is None:
            return
        step = _step_of(patch)
        gone = step.before.keys() - step.after.keys()
        made = {**{name: values[name] for name in values if name not in gone}, **step.after}
        if len(made) <= len(self._of_baseline) + _MOST_NEW_NAMES:
            self._values[patch.tree] = made
            _shorten(self._values, _MOST_TREES)
        has_outcome = gain_nano is not None or did_fail(body)
        if step.is_pure and body.stage in ("screen", "keep") and has_outcome:
            is_kept = body.stage == "keep"
            trial = _Trial(
                step=step,
                values=values,
                base=body.base,
                gain_nano=gain_nano,
                metric_nano=metric_of(body),
                is_kept=is_kept,
            )
            trials = self._trials.pop(author, None) or deque(maxlen=_MOST_OF_AUTHOR)
            trials.append(trial)
            self._trials[author] = trials
            _shorten(self._trials, _MOST_AUTHORS)

    def as_peer_trials(
        self,
        run_sd: float,
        *,
        level_nano: int | None,
        authors: Collection[bytes],
    ) -> tuple[PeerTrial, ...]:
        """Return the trials of these authors, each author's latest first.

        Gains are in units of `run_sd`, the standard deviation of one run in the metric's unit.
        `level_nano` is the score of this node's tree, None if peers' scores cannot be compared with
        it.
        """

        def in_sd(gain_nano: int | None) -> float | None:
            return None if gain_nano is None else gain_nano / NANO / run_sd

        def lead_nano(metric_nano: int | None) -> int | None:
            if metric_nano is None or level_nano is None:
                return None
            return self._sign * (level_nano - metric_nano)

        return tuple(
            PeerTrial(
                author=author.hex(),
                base=trial.base.hex(),
                values=tuple(trial.values.items()),
                before=tuple(trial.step.before.items()),
                after=tuple(trial.step.after.items()),
                gain_sd=in_sd(trial.gain_nano),
                lead_sd=in_sd(lead_nano(trial.metric_nano)),
                is_kept=trial.is_kept,
            )
            for author, trials in self._trials.items()
            if author in authors
            for trial in reversed(trials)
        )

    def _values_of(self, tree: bytes) -> Mapping[str, Scalar] | None:
        return self._of_baseline if tree == self._baseline else self._values.get(tree)


def _step_of(patch: PatchBody) -> _SetValues:
    """Return the values that a patch sets, as far as its diff shows them."""
    text = unpack_diff(patch.diff.zlib) if patch.diff.zlib is not None else ""
    rows = [] if isinstance(text, Rejected) else text.splitlines()
    changed = list(filter(is_changed, rows))
    before: dict[str, Scalar] = {}
    after: dict[str, Scalar] = {}
    is_pure = 0 < len(changed) <= _MOST_LINES
    for row in changed[:_MOST_LINES]:
        side = before if row[0] == "-" else after
        found = _SETTING.fullmatch(row[1:]) if len(row) <= _LINE_CHARACTERS else None
        if found is None or found[1] in side:
            is_pure = False
        else:
            side[found[1]] = _value(found[2])
    return _SetValues(before=before, after=after, is_pure=is_pure and before.keys() == after.keys())


def _value(text: str) -> Scalar:
    if text in ("True", "False"):
        return text == "True"
    if text[0] == '"':
        return text[1:-1]
    is_whole = not set(text) & set(".e")
    return int(text) if is_whole else float(text)


def _shorten(known: MutableMapping[K, V], most: int) -> None:
    """Remove the oldest entries beyond `most`."""
    while len(known) > most:
        del known[next(iter(known))]
