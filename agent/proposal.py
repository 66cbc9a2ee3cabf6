"""What a proposer is told and what it answers: frozen values, nothing else crosses over.

A `Proposer` answers at once and is always there; a `SlowProposer`, a model or a coding agent, takes
its time and may have nothing. Neither decides what is kept. Texts of others are as their authors
wrote them: whoever shows one makes it harmless first (`agent.model.quoting`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from agent.completion import NO_COST, ChatMessage, ModelCost
from agent.source.literals import Scalar
from protocol.codecs import fit_line
from protocol.ideas import Edit, KnobSpec, Move
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

MAX_REPAIRS: Final = 2  # of one idea
_REPAIR: Final = "repair:"
_MAX_KEY: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of an earlier proposal of this node's.

    `gain_sd` is base − candidate in standard deviations of one run, `error_sd` its standard error,
    and `metric` what its own runs came to, in the task's unit; all None without a metric. `values`
    are the knobs of what was tried, by name; none where nobody looked. `reason` says why it failed,
    `last_line` is the last that it printed then. `author` is whose claim it was, None of an own
    idea. `number` names it; `base` is the number of the experiment whose source it changed, 0 for
    the task's own source, None for one from elsewhere. `seconds` is what a run of it took.
    `was_cut_off`: it took too long while others kept it from its device, which says nothing of it.
    """

    key: str
    decision: Decision
    gain_sd: float | None
    title: str = ""
    proposer: str = "knobs"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseFigures:
    """What the present source measures and takes here.

    `metric` is the mean of `runs` runs, in the task's unit, `error` half of its 95 % interval, 0
    where nothing scatters. `number` is the experiment that it came from, as an outcome's `base`.
    The latest of its runs took `seconds` of the clock and `cpu_seconds` of processors in training,
    and `memory_bytes` at most; `curve` is the loss that it printed, (step, loss), None and empty
    where nobody knows.
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
    """What is left of a session, in seconds and experiments, and of the day's money for models.

    None: without an end, or nobody counts.
    """

    seconds: float | None = None
    experiments: int | None = None
    usd: float | None = None


NO_END: Final = Left()


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """The task in words: `program` is the user's, read anew for every proposal.

    `measured` are points, a line each: how the task's kind measures a change. `noise_sd` is of one
    run here, in the metric's unit; `base` what the working line measures; `policy` says when a
    change is kept. `imports` are modules that a source may import beside those that it has;
    `notes` are the owner's latest words, `planner_aim` those of the model that plans, "" if none
    does; `left` is what there is still to spend.
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
    planner_aim: str = ""
    left: Left = NO_END


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerPatch:
    """A patch that somebody else says gains; how much, and who says so, are told apart.

    `diff` is unified, `edits` the same step. `gain_sd` in standard deviations of one run here.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerTrial:
    """What somebody says came of other values of constants.

    `values` are those of the base, by name; `before` and `after` those that were changed. `gain_sd`
    is base − candidate in standard deviations of one run here, None of what did not come through.
    """

    author: str
    base: str
    values: tuple[tuple[str, Scalar], ...]
    before: tuple[tuple[str, Scalar], ...]
    after: tuple[tuple[str, Scalar], ...]
    gain_sd: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Insight:
    """What somebody says that a series of results taught; `is_own` of this node."""

    author: str
    is_own: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerReport:
    """What somebody else published of a session: figures as its author counted them, and a title.

    `figures` are by name (docs/protocol.md, kind report); `gain_sd` is in standard deviations of
    one run here, None where none is told. Nothing of the report's text is here.
    """

    author: str
    hardware_class: str
    is_near: bool
    hours: float
    figures: tuple[tuple[str, int], ...]
    gain_sd: float | None
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KnobImportance:
    """A knob, its share of the variance, and what each value would gain over the present (sd).

    From `low` to `high` the share lies in nine of ten bootstrap samples of the trials.
    """

    name: str
    share: float
    low: float
    high: float
    gains: tuple[tuple[Scalar, float], ...]

    @property
    def best(self) -> Scalar:
        """The value that the model thinks gains most."""
        return max(self.gains, key=lambda one: one[1])[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """An own proposal that failed, to be mended: what it was and the last that it printed."""

    source: Source
    key: str
    title: str
    status: str
    reason: str
    log_tail: str
    attempt: int


def repair_key(crash: Crash) -> str:
    """Return the key of a mend: its number and the key of the idea, which stays the same."""
    return fit_line(f"{_REPAIR}{crash.attempt}:{repairs_of(crash.key)[1]}", _MAX_KEY)


def repairs_of(key: str) -> tuple[int, str]:
    """Return how often an idea was mended, and its key without that."""
    count, _, rest = key.removeprefix(_REPAIR).partition(":")
    if key.startswith(_REPAIR) and count.isdecimal() and rest:
        return int(count), rest
    return 0, key


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Everything a proposer may know. `tried` answers whether a canonical AST was ever run.

    `history` is this node's own, oldest first, `imported` what another tool says came of what it
    tried, `others` what peers do, each one's latest first. `crash` asks for a mend of that, `aim`
    says what is wanted most, `scales` what became of its own finds on other rungs, `importance`
    which knobs matter, as last reckoned, `drafted` has the titles of what was proposed for the same
    slot already. Of files with `regions` only these may change.
    `show_unverified_words`: the user lets models read what nobody checked here. `in_vain` are
    titles of what others say to have tried for nothing, `praised` of what they kept, the best
    first, `others_part` the names of moves that fall to others of those who draw on the same list.
    """

    source: Source
    editable: tuple[str, ...]
    knobs: tuple[KnobSpec, ...]
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
    importance: tuple[KnobImportance, ...] = ()
    intents: tuple[str, ...] = ()
    aim: Aim = "improve"
    crash: Crash | None = None
    drafted: tuple[str, ...] = ()
    show_unverified_words: bool = False
    regions: tuple[Region, ...] = ()
    in_vain: frozenset[str] = frozenset()
    praised: tuple[str, ...] = ()
    others_part: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A patch to try. `key` names the idea (`knob:LEARNING_RATE`, `move:rope`) across bases;
    `edits` re-apply it to another base, none where that cannot be.

    `model` and `program`, the hash of the program it was given, say where it came from, `parents`
    which patches it builds on.
    """

    parent: bytes
    source: Source
    edits: tuple[Edit, ...]
    key: str
    title: str
    why: str
    proposer: str
    fingerprint: bytes = field(repr=False)
    model: str | None = None
    program: bytes | None = None
    parents: tuple[bytes, ...] = ()
    cost: ModelCost = NO_COST


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Why a slow proposer has nothing, and in how many seconds it is worth asking again."""

    reason: str
    retry_s: float
    cost: ModelCost = NO_COST


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposerQuestion:
    """What a slow proposer begins with, and in words what bounds its length."""

    turns: tuple[ChatMessage, ...]
    room: str


class Proposer(Protocol):
    """Something that proposes patches at once."""

    def propose(self, context: Context) -> Proposal | None:
        """Return a patch nobody tried before, or None when this proposer is out of ideas."""
        ...


class Silent:
    """A proposer of a node that only tries what others claim or is handed in."""

    def propose(self, _context: Context) -> Proposal | None:
        """Return None."""
        return None


class SlowProposer(Protocol):
    """Something that writes patches in its own time: a model, or a coding agent."""

    @property
    def name(self) -> str:
        """Who it is, for people."""
        ...

    async def propose(self, context: Context) -> Proposal | Silence:
        """Return a patch nobody tried before, or why there is none. Raises nothing of its own."""
        ...

    def question(self, context: Context) -> ProposerQuestion | Silence:
        """Return what `propose` would begin with, or why it would not; nobody is asked."""
        ...
