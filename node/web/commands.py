"""What a running node may be asked: one table of commands, for its socket and for the API.

A command's arguments and answer have types. Over the socket they are what `arnode` sends; a command
with a `route` is one of the API's too, whose body may be of another type that means fewer things.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Protocol, TypeAlias, TypedDict, cast

import msgspec

from node.home.control_socket import Handler, Message
from node.reporting.knowledge import ImportanceDocument
from node.reporting.owner import ProgramDocument
from node.reporting.queries import Id, Nothing
from protocol.errors import UsageError

Title = Annotated[str, msgspec.Meta(min_length=1, max_length=120)]
Text = Annotated[str, msgspec.Meta(max_length=2000)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400_000)]  # 1000 days
Files = Annotated[dict[str, str], msgspec.Meta(min_length=1, max_length=8)]
Answer: TypeAlias = Callable[[Any], Awaitable[Any]]


class VerifyRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A claim to run again here, and how far to go."""

    claim: Id
    pairs: Annotated[int, msgspec.Meta(ge=2, le=29)] | None = None
    alpha: Annotated[float, msgspec.Meta(ge=1e-6, le=0.5)] | None = None
    quick: bool = False

    def meant(self) -> "Verify":
        """Return the command. Over the API nobody names a file, and the answer is published."""
        return Verify(claim=self.claim, pairs=self.pairs, alpha=self.alpha, quick=self.quick)


class Verify(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A claim to run again here: its id, or a file that holds it; None: the mode's own number."""

    claim: str
    pairs: int | None = None
    alpha: float | None = None
    quick: bool = False
    publish: bool = True


class PauseFor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For how long (else until somebody resumes), and whether the run at hand may end first."""

    for_s: Seconds | None = None
    at_end: bool = False


class Stop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether the working line is judged before."""

    at_checkpoint: bool = False


class Try(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A source to be measured, judged and recorded: the files that may be edited, whole."""

    files: Files
    title: Title
    why: Text = ""

    def meant(self) -> "Submit":
        """Return the command."""
        files = {name: text.encode() for name, text in self.files.items()}
        return Submit(files=files, title=self.title, why=self.why)


class Submit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A source to be measured, judged and recorded, as it is in its files."""

    files: dict[str, bytes]
    title: str
    why: str = ""


class Say(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the owner says to anyone who proposes: it stands in their prompts for a day."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class NewHypothesis(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be found out, and why it may hold."""

    title: Title
    why: Annotated[str, msgspec.Meta(max_length=1000)] = ""


class ClosedHypothesis(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A hypothesis, and the experiment that tried it; without one it is dropped."""

    id: Id
    result: Id | None = None


class OfDigest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The digest that names what is meant: a task, a record, or the mark of a source."""

    id: bytes


class Carry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to carry to which task, from the head of which rung (None: the one below)."""

    what: str
    to: bytes
    rung: str | None = None


class Propose(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether only the prompt is wanted."""

    dry: bool = False


class SignReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A report's body and its text, to be signed."""

    body: dict[str, Any]
    text: bytes


class OpenPage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether the link lets its reader steer."""

    steer: bool = False


class Said(TypedDict):
    """When it was said."""

    ts: int


class Registered(TypedDict):
    """The id of a hypothesis, which is that of the intent that announces it."""

    id: str


class Completed(TypedDict):
    """What became of it."""

    state: str


class Queued(TypedDict):
    """The number of a job."""

    job: int


class Paused(TypedDict):
    """Whether it is paused and until when, and what of the runs at hand was lost."""

    paused: bool
    until: str | None
    runs_ended: int
    seconds_lost: float


class Done(TypedDict):
    """That the node was told."""

    done: bool


class Handed(TypedDict):
    """The mark of a source, by which it is asked for."""

    mark: str


DONE: Final[Done] = {"done": True}


class _Body(Protocol):
    def meant(self) -> msgspec.Struct:
        """Return the command that a body means."""


@dataclass(frozen=True, slots=True)
class Command:
    """Something to ask of a running node.

    `asks` is the type of its arguments, `answers` that of the reply. `route`: its method and path
    below the API, none for the socket alone; `body`: what a request there holds, if not `asks`.
    """

    name: str
    asks: type[msgspec.Struct]
    answers: Any
    route: str = ""
    summary: str = ""
    body: type[_Body] | None = None

    def read(self, arguments: Mapping[str, Message]) -> msgspec.Struct:
        """Return what is asked over the socket. Raises UsageError if that makes no sense.

        Arguments of another version are left out: `stop` is taken from every one.
        """
        names = {one.encode_name for one in msgspec.structs.fields(self.asks)}
        known = {name: value for name, value in arguments.items() if name in names}
        try:
            return msgspec.convert(known, self.asks, builtin_types=(bytes,))
        except msgspec.ValidationError as fault:
            raise UsageError(
                f"that is nothing to {self.name}: {fault}", "use the `arnode` command"
            ) from fault


_COMPLETE: Final = "POST /intents/{id}/complete"
_Json = dict[str, Any]
COMMANDS: Final = (
    Command("status", Nothing, _Json, "GET /status", "How things stand."),
    Command("peers", Nothing, _Json, "GET /peers", "Who is connected."),
    Command("importance", Nothing, ImportanceDocument, "GET /importance", "Which knobs matter."),
    Command("program", Nothing, ProgramDocument, "GET /program", "What proposers are told to do."),
    Command("note", Say, Said, "POST /notes", "Say something to anyone who proposes."),
    Command("register", NewHypothesis, Registered, "POST /intents", "Register a hypothesis."),
    Command("complete", ClosedHypothesis, Completed, _COMPLETE, "Close a hypothesis."),
    Command("verify", Verify, Queued, "POST /verify", "Run a claim again here.", VerifyRecord),
    Command("pause", PauseFor, Paused, "POST /pause", "Leave the device alone."),
    Command("resume", Nothing, Done, "POST /resume", "Go on after a pause."),
    Command("stop", Stop, Done, "POST /stop", "Finish the run at hand and stop."),
    Command("submit", Submit, Handed, "POST /tries", "Hand in a source, to be judged.", Try),
    Command("subject", Nothing, _Json),
    Command("is_decided", OfDigest, _Json),
    Command("carry", Carry, list[int]),
    Command("propose", Propose, _Json),
    Command("fetch_task", OfDigest, int),
    Command("publish_report", SignReport, _Json),
    Command("fetch_report", OfDigest, bool),
    Command("page", OpenPage, _Json),
)
"""All of them; those with a route come first."""


def on_socket(answers: Mapping[str, Answer]) -> Mapping[str, Handler]:
    """Return what a control socket calls, of the commands that a node answers."""
    return {one.name: _handler(one, answers[one.name]) for one in COMMANDS if one.name in answers}


def _handler(command: Command, answer: Answer) -> Handler:
    async def handle(arguments: Mapping[str, Message]) -> Message:
        return cast("Message", await answer(command.read(arguments)))

    return handle
