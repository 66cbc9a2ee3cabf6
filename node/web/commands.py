"""The commands to a running node: one table for its control socket and for the HTTP API.

A command's arguments and its answer have types. `arnode` sends the arguments over the socket. A
command with a `route` is also part of the API, where its body may have a narrower type.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Protocol, TypeAlias, TypedDict, cast

import msgspec

from node.home.control_socket import Handler, Message
from node.reporting.owner import ProgramDocument
from node.reporting.queries import Id, Nothing, OfProposal
from node.store.tags import TAG_PATTERN
from protocol.errors import UsageError

Title = Annotated[str, msgspec.Meta(min_length=1, max_length=120)]
Text = Annotated[str, msgspec.Meta(max_length=2000)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400_000)]  # 1000 days
Files = Annotated[dict[str, str], msgspec.Meta(min_length=1, max_length=8)]
Tag = Annotated[str, msgspec.Meta(pattern=f"^{TAG_PATTERN}$")]
Answer: TypeAlias = Callable[[Any], Awaitable[Any]]


class VerifyRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A claim to re-run on this node, and limits for the re-run."""

    claim: Id
    pairs: Annotated[int, msgspec.Meta(ge=2, le=29)] | None = None
    alpha: Annotated[float, msgspec.Meta(ge=1e-6, le=0.5)] | None = None
    quick: bool = False

    def meant(self) -> "Verify":
        """Return the node's command. It names the claim by its id, and publishes the result."""
        return Verify(claim=self.claim, pairs=self.pairs, alpha=self.alpha, quick=self.quick)


class Verify(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A claim to re-run on this node, by its id or by a file.

    If `pairs` or `alpha` is None, the default of a quick or a full re-run applies.
    """

    claim: str
    pairs: int | None = None
    alpha: float | None = None
    quick: bool = False
    publish: bool = True


class PauseFor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The length of a pause (default: until `resume`). `at_end` lets the current run end first."""

    for_s: Seconds | None = None
    at_end: bool = False


class Stop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request to stop: after the current run, or after a promotion trial of the working line."""

    after_promotion_trial: bool = False


class Try(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A source to measure, judge and record, with the full text of each editable file."""

    files: Files
    title: Title
    why: Text = ""

    def meant(self) -> "Submit":
        """Return the command for the node."""
        files = {name: text.encode() for name, text in self.files.items()}
        return Submit(files=files, title=self.title, why=self.why)


class Submit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A source to measure, judge and record, as the bytes of its files."""

    files: dict[str, bytes]
    title: str
    why: str = ""


class Say(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A note of the owner to proposers, which is part of their prompts for a day.

    With `experiment` it is a note on this experiment, in place of an earlier one, and stays in the
    prompts; an empty text removes it. With `leave` the experiment's change is not proposed again.
    """

    text: Annotated[str, msgspec.Meta(max_length=1000)]
    experiment: Id | None = None
    leave: bool = False

    def __post_init__(self) -> None:
        if not self.text and self.experiment is None:
            raise ValueError("a note to the proposers needs a text")


class NewHypothesis(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A hypothesis to test, and the reason why it may hold."""

    title: Title
    why: Annotated[str, msgspec.Meta(max_length=1000)] = ""


class TagExperiment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An experiment, and tags to add to it and to remove. The tag `star` marks a favourite."""

    id: Id
    add: list[Tag] = []
    remove: list[Tag] = []


class ClosedHypothesis(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A hypothesis and the experiment that tested it. Without an experiment it is dropped."""

    id: Id
    result: Id | None = None


class RejectProposal(OfProposal, frozen=True):
    """A proposal to drop, and a note that its proposer reads."""

    note: Annotated[str, msgspec.Meta(max_length=1000)] = ""


class EditProposal(OfProposal, frozen=True):
    """A proposal, and the full text of each file to run instead of the proposed one."""

    files: Files

    def meant(self) -> "EditedProposal":
        """Return the command for the node."""
        files = {name: text.encode() for name, text in self.files.items()}
        return EditedProposal(id=self.id, files=files)


class EditedProposal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A proposal, and the bytes of each file to run instead of the proposed one."""

    id: int
    files: dict[str, bytes]


class OfDigest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The digest of a task, a record or a submitted source."""

    id: bytes


class Carry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A transfer to the task `to`: of the patch or claim `what`, or of all patches of a head.

    If `what` is "head", it is the head of the task `rung`, or of the rung below without `rung`.
    """

    what: str
    to: bytes
    rung: str | None = None


class Propose(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request for a proposal. With `dry` only the prompt is made."""

    dry: bool = False


class SignReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A report to sign: the fields of its record and its text."""

    body: dict[str, Any]
    text: bytes


class OpenPage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request for a link to the page. With `steer` the link allows commands."""

    steer: bool = False


class Said(TypedDict):
    """The time at which a note was stored, in milliseconds since 1970."""

    ts: int


class Decided(TypedDict):
    """The decision on a proposal."""

    state: str


class Registered(TypedDict):
    """The id of a hypothesis, which is the id of its intent record."""

    id: str


class Tagged(TypedDict):
    """The tags that an experiment has now."""

    tags: list[str]


class Completed(TypedDict):
    """The final state of a hypothesis."""

    state: str


class Queued(TypedDict):
    """The number of a queued job."""

    job: int


class Paused(TypedDict):
    """The state of a pause, its end, and how much of the current runs was lost."""

    paused: bool
    until: str | None
    runs_ended: int
    seconds_lost: float


class Done(TypedDict):
    """A confirmation that the node accepted the command."""

    done: bool


class Handed(TypedDict):
    """The digest with which the state of a submitted source can be requested."""

    mark: str


DONE: Final[Done] = {"done": True}


class _Body(Protocol):
    def meant(self) -> msgspec.Struct:
        """Return the command that the body describes."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command to a running node.

    `asks` is the type of its arguments and `answers` the type of the reply. `route` is its method
    and path in the API, empty for a command of the socket only. `body` is the type of the API
    request's body if it differs from `asks`.
    """

    name: str
    asks: type[msgspec.Struct]
    answers: Any
    route: str = ""
    summary: str = ""
    body: type[_Body] | None = None

    def read(self, arguments: Mapping[str, Message]) -> msgspec.Struct:
        """Parse arguments from the socket. Raises UsageError if they do not fit.

        Unknown arguments are ignored, so that any version of `arnode` can send `stop`.
        """
        names = {one.encode_name for one in msgspec.structs.fields(self.asks)}
        known = {name: value for name, value in arguments.items() if name in names}
        try:
            return msgspec.convert(known, self.asks, builtin_types=(bytes,))
        except msgspec.ValidationError as fault:
            raise UsageError(
                f"{self.name} does not accept this: {fault}", "use the `arnode` command"
            ) from fault


_PROPOSAL: Final = "/proposals/{id}"
_COMPLETE: Final = "POST /intents/{id}/complete"
_TAG: Final = "POST /experiments/{id}/tags"
_Json = dict[str, Any]
COMMANDS: Final = (
    Command("status", Nothing, _Json, "GET /status", "The node's status."),
    Command("peers", Nothing, _Json, "GET /peers", "The connected peers."),
    Command("program", Nothing, ProgramDocument, "GET /program", "The instructions of proposers."),
    Command("note", Say, Said, "POST /notes", "A note to the proposers or on an experiment."),
    Command("approve", OfProposal, Decided, f"POST {_PROPOSAL}/approve", "Let a proposal run."),
    Command("reject", RejectProposal, Decided, f"POST {_PROPOSAL}/reject", "Drop a proposal."),
    Command(
        "edit",
        EditedProposal,
        Decided,
        f"POST {_PROPOSAL}/edit",
        "Run your source instead of a proposal's.",
        EditProposal,
    ),
    Command("register", NewHypothesis, Registered, "POST /intents", "Register a hypothesis."),
    Command("complete", ClosedHypothesis, Completed, _COMPLETE, "Close a hypothesis."),
    Command("tag", TagExperiment, Tagged, _TAG, "Add and remove tags of an experiment."),
    Command("verify", Verify, Queued, "POST /verify", "Re-run a claim here.", VerifyRecord),
    Command("pause", PauseFor, Paused, "POST /pause", "Pause the runs and free the device."),
    Command("resume", Nothing, Done, "POST /resume", "End a pause."),
    Command("stop", Stop, Done, "POST /stop", "Stop after the current run."),
    Command(
        "submit", Submit, Handed, "POST /tries", "Submit a source to be measured and judged.", Try
    ),
    Command("subject", Nothing, _Json),
    Command("is_decided", OfDigest, _Json),
    Command("carry", Carry, list[int]),
    Command("propose", Propose, _Json),
    Command("fetch_task", OfDigest, int),
    Command("publish_report", SignReport, _Json),
    Command("fetch_report", OfDigest, bool),
    Command("page", OpenPage, _Json),
)
"""All commands; those with a route come first."""


def on_socket(answers: Mapping[str, Answer]) -> Mapping[str, Handler]:
    """Return the control socket's handlers for the commands that a node answers."""
    return {one.name: _handler(one, answers[one.name]) for one in COMMANDS if one.name in answers}


def _handler(command: Command, answer: Answer) -> Handler:
    async def handle(arguments: Mapping[str, Message]) -> Message:
        return cast("Message", await answer(command.read(arguments)))

    return handle
