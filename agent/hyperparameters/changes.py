"""Changes of several hyperparameters at once: written as edits, titles and keys, and read back.

Each line gets one edit, even if several of its hyperparameters change. To read an edit back, only
its search text and its replacement are compared, so its base need not be available. The
changes that one experiment makes are called a step.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

from agent.proposal import Outcome
from agent.source.edits import line_edit, reapply
from agent.source.literals import Hyperparameter, Scalar, find_hyperparameters
from protocol.ideas import Edit, HyperparameterSpec
from protocol.source import Source


@dataclass(frozen=True, slots=True)
class Change:
    """A new value for a hyperparameter's literal."""

    hyperparameter: Hyperparameter
    value: Scalar

    @property
    def literal(self) -> str:
        """The literal of the new value."""
        return self.hyperparameter.render(self.value)

    @property
    def does_nothing(self) -> bool:
        """True if the hyperparameter has this value already."""
        return self.literal == self.hyperparameter.text or self.value == self.hyperparameter.value

    @property
    def direction(self) -> str:
        """The direction of a number's change, "up" or "down"; "set" for any other value."""
        old, new = self.hyperparameter.value, self.value
        if isinstance(old, bool | str) or isinstance(new, bool | str):
            return "set"
        return "up" if new > old else "down"

    def __str__(self) -> str:
        return f"{self.hyperparameter.name} {self.hyperparameter.text} → {self.literal}"


def title_of(changes: Sequence[Change]) -> str:
    """Return a title for people that lists the changes."""
    return ", ".join(map(str, changes))


def key_of(changes: Sequence[Change]) -> str:
    """Return the key of the idea: one change's name and direction, or the names of several."""
    if len(changes) == 1:
        return f"hyperparameter:{changes[0].hyperparameter.name}:{changes[0].direction}"
    return "hyperparameters:" + "+".join(change.hyperparameter.name for change in changes)


def edits_of(source: Source, changes: Sequence[Change]) -> tuple[Edit, ...]:
    """Return the edits that make all changes to `source`, one for each line."""
    ordered = sorted(
        changes, key=lambda change: (change.hyperparameter.path, change.hyperparameter.start)
    )
    by_file = [
        list(group) for _, group in groupby(ordered, key=lambda one: one.hyperparameter.path)
    ]
    edits: list[Edit] = []
    for together in by_file:
        text = source[together[0].hyperparameter.path].decode("utf-8")
        by_line = groupby(together, key=lambda one: text.count("\n", 0, one.hyperparameter.start))
        separate = [_edit(text, list(group)) for _, group in by_line]
        # Edits that need neighbouring lines to be unique may overlap.
        fits = reapply(separate, source) is not None
        edits += separate if fits else [_edit(text, together)]
    return tuple(edits)


def _edit(text: str, changes: Sequence[Change]) -> Edit:
    """Return one edit that makes all of these changes, which are sorted by position in `text`."""
    start, end = changes[0].hyperparameter.start, changes[-1].hyperparameter.end
    replacement, at = "", start
    for change in changes:
        replacement += text[at : change.hyperparameter.start] + change.literal
        at = change.hyperparameter.end
    return line_edit(changes[0].hyperparameter.path, text, start, end, replacement)


@dataclass(frozen=True, slots=True)
class HyperparameterChanges:
    """The hyperparameters that edits change, by name: their values before and after."""

    before: Mapping[str, Scalar]
    after: Mapping[str, Scalar]


@dataclass(frozen=True, slots=True)
class HyperparameterTrial:
    """A step that this node tried, with its outcome.

    `reference_group` is the number of the reference runs that the step was compared with. The
    latest reference runs have the lowest number.
    """

    outcome: Outcome
    step: HyperparameterChanges
    reference_group: int


@lru_cache(maxsize=1024)  # the history is read again for every proposal
def read_back(
    edits: tuple[Edit, ...], specs: tuple[HyperparameterSpec, ...]
) -> HyperparameterChanges | None:
    """Return the changes of hyperparameters that edits make, or None if they change anything else.

    Return None also if the edits cannot be read without the surrounding text.
    """
    before: dict[str, Scalar] = {}
    after: dict[str, Scalar] = {}
    for edit in edits:
        olds = _hyperparameters_of(edit.path, edit.search, specs)
        news = _hyperparameters_of(edit.path, edit.replace, specs)
        if _around(edit.search, olds) != _around(edit.replace, news):
            return None
        for old, new in zip(olds, news, strict=True):
            if old.text != new.text:
                before[old.name], after[new.name] = old.value, new.value
    return HyperparameterChanges(before, after) if after else None


def trials(
    history: Sequence[Outcome], specs: tuple[HyperparameterSpec, ...]
) -> Iterator[HyperparameterTrial]:
    """Yield the outcomes that changed hyperparameters and nothing else, the latest first."""
    reference_group = 0
    for outcome in reversed(history):
        # A kept patch is the base of later ones, not of itself.
        reference_group += outcome.decision == "kept"
        step = read_back(outcome.edits, specs)
        if step is not None:
            yield HyperparameterTrial(outcome, step, reference_group)


def _hyperparameters_of(
    path: str, text: str, specs: Sequence[HyperparameterSpec]
) -> tuple[Hyperparameter, ...]:
    return find_hyperparameters(Source.of({path: text.encode()}), (path,), specs)


def _around(text: str, hyperparameters: Sequence[Hyperparameter]) -> list[str]:
    """Return the hyperparameters' names and the text before, between and after their literals."""
    bounds = [
        0,
        *(
            at
            for hyperparameter in hyperparameters
            for at in (hyperparameter.start, hyperparameter.end)
        ),
        len(text),
    ]
    parts = [text[start:end] for start, end in zip(bounds[::2], bounds[1::2], strict=True)]
    return [*parts, *(hyperparameter.name for hyperparameter in hyperparameters)]
