"""The input and the output of a proposer, as frozen values.

A `Proposer` answers at once and is always available. A `SlowProposer` (a model or a coding agent)
takes its time and may have no proposal. Neither decides what is kept. Texts of other people are
stored as their authors wrote them: code that shows one must sanitize it first
(`agent.model.quoting`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, Protocol

from agent.completion import NO_COST, ChatMessage, ModelCost
from agent.source.literals import Scalar
from agent.visit.trace import TraceStep
from protocol.codecs import fit_line
from protocol.ideas import Edit, HyperparameterSpec, Move
from protocol.regions import Region
from protocol.rule import DEFAULT, Policy
from protocol.source import Source

Decision = Literal["screened_out", "rechecked_out", "kept", "failed", "rejected"]
DECISION_WORDS: Final[Mapping[Decision, str]] = {
    "kept": "kept",
    "rechecked_out": "rechecked out",
    "screened_out": "screened out",
    "failed": "failed",
    "rejected": "rejected",
}
Level = Literal["claimed", "others", "here"]
Aim = Literal["improve", "elsewhere", "combine", "simplify"]

MAX_REPAIRS: Final = 2  # per idea
_REPAIR: Final = "repair:"
_MAX_KEY: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of an earlier proposal of this node.

    `gain_sd` is base − candidate in standard deviations of one run, and `error_sd` is its standard
    error. `metric` is the mean of the runs with fresh seeds, or the screen's score if there are
    none, in the task's unit. All three are None if no run ended with a score. `values` are the
    hyperparameters of the source that was tried, by name; empty if they were not read. `reason`
    says why a run failed, and `last_line` is the last line that this run printed. `author` is
    the author of a claim that was tried, None for this node's own idea. `number` identifies the
    experiment. `base` is the number of the experiment whose source was changed: 0 for the task's
    own source, None for a source from elsewhere. `seconds` is the duration of one run.
    `was_cut_off`: a run took too long while other programs used its device, so the outcome says
    nothing about the idea. `note` is the owner's note on the experiment; with `leave` its change is
    not to be proposed again.
    """

    key: str
    decision: Decision
    gain_sd: float | None
    title: str = ""
    proposer: str = "search"
    edits: tuple[Edit, ...] = ()
    metric: float | None = None
    values: tuple[tuple[str, Scalar], ...] = ()
    reason: str = ""
    author: str | None = None
    number: int = 0
    base: int | None = None
    error_sd: float | None = None
    seconds: float | None = None
    last_line: str = ""
    was_cut_off: bool = False
    note: str = ""
    leave: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseFigures:
    """The metric and the resource use of the present source on this machine.

    `metric` is the mean of `runs` runs, in the task's unit. `error` is half of its 95 % interval, 0
    if nothing varies. `number` is the experiment that the source came from, as in `Outcome.base`.
    The latest run took `seconds` of wall time, `cpu_seconds` of processor time in training, and at
    most `memory_bytes`. `curve` is the loss that it printed, as (step, loss). Unknown figures are
    None, an unknown curve is empty.
    """

    metric: float
    error: float
    runs: int
    number: int | None = None
    seconds: float | None = None
    cpu_seconds: float | None = None
    memory_bytes: int | None = None
    curve: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """The remaining seconds and experiments of a session, and the day's remaining USD for models.

    None means unlimited, or not counted.
    """

    seconds: float | None = None
    experiments: int | None = None
    usd: float | None = None


NO_END: Final = Left()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A proposal that the owner rejected: its title, and the owner's note, maybe empty."""

    title: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """The task in words. `program` is the user's instructions, read again for every proposal.

    `measured` has one point per line on how this kind of task measures a change. `noise_sd` is the
    noise of one run here, in the metric's unit. `base` has the working line's figures. `policy`
    says when a change is kept. `imports` are modules that a source may import in addition to those
    it already has. `notes` are the owner's latest notes, `rejections` the latest proposals that the
    owner rejected. `waiting` has the titles of proposals that wait for the owner. `planner_aim` is
    the planning model's text, "" without a planner. `left` is what may still be spent.
    """

    task: str
    program: str
    metric: str
    unit: str
    is_minimised: bool
    budget: str
    hardware_class: str
    limits: str
    measured: str
    noise_sd: float
    base: BaseFigures | None
    imports: frozenset[str]
    policy: Policy = DEFAULT
    notes: tuple[str, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    waiting: tuple[str, ...] = ()
    planner_aim: str = ""
    left: Left = NO_END


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerPatch:
    """A patch that a peer claims is a gain. `level` says who measured it.

    `diff` is unified, `edits` is the same change. `gain_sd` is in standard deviations of one run
    here.
    """

    patch: bytes
    author: str
    level: Level
    hardware_class: str
    is_near: bool
    gain_sd: float
    title: str
    why: str
    diff: str
    edits: tuple[Edit, ...]


def hyperparameter_key(name: str) -> str:
    """Return the key of a hyperparameter among ideas that are assigned to nodes."""
    return f"hyperparameter:{name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerTrial:
    """The result that a peer reports for other hyperparameter values.

    `values` are the values of the base, by name; `before` and `after` are those that changed.
    `gain_sd` is base − candidate in standard deviations of one run here, None if the run failed.
    `lead_sd` is the gain over this node's tree, in the same unit; None unless the task's scores are
    exact. `is_kept`: the peer kept the change after rechecks.
    """

    author: str
    base: str
    values: tuple[tuple[str, Scalar], ...]
    before: tuple[tuple[str, Scalar], ...]
    after: tuple[tuple[str, Scalar], ...]
    gain_sd: float | None
    lead_sd: float | None = None
    is_kept: bool = False

    @property
    def made(self) -> dict[str, Scalar]:
        """The values of the tree that was tried, by name."""
        return {**dict(self.values), **dict(self.after)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Insight:
    """A lesson from a series of results. `is_own`: this node drew it, not a peer."""

    author: str
    is_own: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerReport:
    """A peer's published session report: a title and the author's figures, not verified.

    `figures` are by name (docs/protocol.md, kind report). `gain_sd` is in standard deviations of
    one run here, None if the report has none. The report's text is not included.
    """

    author: str
    hardware_class: str
    is_near: bool
    hours: float
    figures: tuple[tuple[str, int], ...]
    gain_sd: float | None
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HyperparameterImportance:
    """A hyperparameter, its share of the variance, and each value's gain over the present one (sd).

    The share lies between `low` and `high` in nine of ten bootstrap samples of the trials.
    """

    name: str
    share: float
    low: float
    high: float
    gains: tuple[tuple[Scalar, float], ...]

    @property
    def best(self) -> Scalar:
        """The value with the largest expected gain."""
        return max(self.gains, key=lambda one: one[1])[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """This node's own proposal that failed and needs a repair: its source and last output."""

    source: Source
    key: str
    title: str
    status: str
    reason: str
    log_tail: str
    attempt: int


def repair_key(crash: Crash) -> str:
    """Return the key of a repair: its number and the unchanged key of the idea."""
    return fit_line(f"{_REPAIR}{crash.attempt}:{repairs_of(crash.key)[1]}", _MAX_KEY)


def repairs_of(key: str) -> tuple[int, str]:
    """Return how often an idea was repaired, and its key without the repair prefix."""
    count, _, rest = key.removeprefix(_REPAIR).partition(":")
    if key.startswith(_REPAIR) and count.isdecimal() and rest:
        return int(count), rest
    return 0, key


class FromOthers(NamedTuple):
    """Reports of accepted peers on listed moves, by title, and what is assigned to others at work.

    Moves `in_vain` were screened out, and kept too rarely; enough nodes screened out those that are
    `given_up`. Those `kept` have their claimed gains in standard deviations, the best first.
    `assigned` has moves by name, and `hyperparameter_key`s.
    """

    in_vain: frozenset[str] = frozenset()
    given_up: frozenset[str] = frozenset()
    kept: Mapping[str, float] = MappingProxyType({})
    assigned: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Everything that a proposer may know. `tried` says whether a canonical AST was ever run.

    `history` has this node's own outcomes, oldest first. `imported` has outcomes that another tool
    reports. `others` has outcomes that peers report, the latest of each author first. A `crash`
    asks for a repair of that proposal. `aim` is the kind of change to propose. `scales` has the
    results of this node's own gains on other rungs. `importance` says which hyperparameters
    matter, as of the last computation. `drafted` has the titles of earlier proposals for the same
    experiment. In files that have `regions`, only these may change. `show_unverified_words`: the
    user lets models read text by peers that this node did not verify.
    """

    source: Source
    editable: tuple[str, ...]
    hyperparameters: tuple[HyperparameterSpec, ...]
    moves: tuple[Move, ...]
    history: tuple[Outcome, ...]
    tried: Callable[[bytes], bool]
    seed: int
    brief: Brief | None = None
    imported: tuple[Outcome, ...] = ()
    peers: tuple[PeerPatch, ...] = ()
    others: tuple[PeerTrial, ...] = ()
    insights: tuple[Insight, ...] = ()
    reports: tuple[PeerReport, ...] = ()
    scales: tuple[str, ...] = ()
    importance: tuple[HyperparameterImportance, ...] = ()
    intents: tuple[str, ...] = ()
    aim: Aim = "improve"
    crash: Crash | None = None
    drafted: tuple[str, ...] = ()
    show_unverified_words: bool = False
    regions: tuple[Region, ...] = ()
    from_others: FromOthers = field(default_factory=FromOthers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A patch to try.

    `key` names the idea (`hyperparameter:LEARNING_RATE`, `move:rope`), whatever the base. `edits`
    apply the patch to another base; empty if that is impossible. `model` wrote the patch, and
    `program` is the hash of the instructions that the model was given. `parents` are the patches
    that this one builds on. `steps` are those of the visit that it comes from, and `trace` is the
    number under which they are stored. `is_find`: it adopts what peers kept, or takes it out. Each
    node measures that itself, so it need not wait while another one does.
    """

    parent: bytes
    source: Source
    edits: tuple[Edit, ...]
    key: str
    title: str
    why: str
    proposer: str
    fingerprint: bytes = field(repr=False)
    is_find: bool = False
    model: str | None = None
    program: bytes | None = None
    parents: tuple[bytes, ...] = ()
    cost: ModelCost = NO_COST
    steps: tuple[TraceStep, ...] = field(default=(), repr=False, compare=False)
    trace: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoProposal:
    """The reason a slow proposer has no proposal, and the seconds to wait before asking again.

    `steps` are those of the visit that led to nothing.
    """

    reason: str
    retry_s: float
    cost: ModelCost = NO_COST
    steps: tuple[TraceStep, ...] = field(default=(), repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposerQuestion:
    """The first turns that a slow proposer sends. `room` describes their length limit."""

    turns: tuple[ChatMessage, ...]
    room: str


class Proposer(Protocol):
    """Something that proposes patches without delay."""

    def propose(self, context: Context) -> Proposal | None:
        """Return a patch that was never tried, or None when this proposer is out of ideas."""
        ...


class NullProposer:
    """A proposer without ideas, for a node that only tries peers' claims and given patches."""

    def propose(self, _context: Context) -> Proposal | None:
        """Return None."""
        return None


class SlowProposer(Protocol):
    """Something that writes patches in its own time: a model, or a coding agent."""

    @property
    def name(self) -> str:
        """The proposer's display name."""
        ...

    async def propose(self, context: Context) -> Proposal | NoProposal:
        """Return a patch that was never tried, or the reason there is none. Raises nothing."""
        ...

    def question(self, context: Context) -> ProposerQuestion | NoProposal:
        """Return the first turns of `propose`, or the reason there are none. Asks no model."""
        ...
