"""The routes that change something: what a running node is told, by the handlers of its socket."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, TypedDict

import msgspec

from agent.source.canonical import fingerprint
from node.home.control import Handler, Message
from node.web.library import Library
from node.web.routes import ID, Ask, Nothing, Route
from protocol.errors import NotRunningError
from protocol.source import Source

Line = Annotated[str, msgspec.Meta(min_length=1, max_length=120)]
Text = Annotated[str, msgspec.Meta(max_length=2000)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=31_536_000)]
Files = Annotated[dict[str, str], msgspec.Meta(min_length=1, max_length=8)]
Id = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{4,64}$")]


class Verify(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A claim to run again here, and how far to go."""

    claim: Id
    pairs: Annotated[int, msgspec.Meta(ge=2, le=29)] | None = None
    alpha: Annotated[float, msgspec.Meta(ge=1e-6, le=0.5)] | None = None
    quick: bool = False


class Pause(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For how long (else until somebody resumes), and whether the run at hand may end first."""

    for_s: Seconds | None = None
    at_end: bool = False


class Stop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether the working line is judged before."""

    at_checkpoint: bool = False


class Try(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A source to be measured, judged and recorded: the files that may be edited, whole."""

    files: Files
    title: Line
    why: Text = ""


class Say(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the owner says to whoever proposes: it stands in their prompts for a day."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class Hypothesis(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be found out, and why it may hold."""

    title: Line
    why: Annotated[str, msgspec.Meta(max_length=1000)] = ""


class Completion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The experiment that tried a hypothesis; without one it is dropped."""

    result: Id | None = None


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
    """That it was said to the node."""

    done: bool


class Handed(TypedDict):
    """The mark of a source, by which it is asked for."""

    mark: str


def steering_routes(handlers: Mapping[str, Handler], library: Library) -> list[Route]:
    """Return the routes; without handlers no node runs, and each says so."""

    async def told(command: str, arguments: Mapping[str, Message]) -> Any:
        if command not in handlers:
            raise NotRunningError("no node is running on this home", "start it: `arnode start`")
        return await handlers[command](arguments)

    async def verify(ask: Ask) -> Queued:
        body: Verify = ask.body
        question: dict[str, Message] = {
            "claim": body.claim,
            "pairs": body.pairs,
            "alpha": body.alpha,
            "quick": body.quick,
            "publish": True,
        }
        return {"job": await told("verify", question)}

    async def pause(ask: Ask) -> Paused:
        wanted: dict[str, Message] = {"at_end": ask.body.at_end}
        if ask.body.for_s is not None:
            wanted["for_s"] = ask.body.for_s
        return await told("pause", wanted)  # type: ignore[no-any-return]

    async def resume(_: Ask) -> Done:
        await told("resume", {})
        return {"done": True}

    async def stop(ask: Ask) -> Done:
        await told("stop", {"at_checkpoint": ask.body.at_checkpoint})
        return {"done": True}

    async def hand_in(ask: Ask) -> Handed:
        body: Try = ask.body
        files: dict[str, Message] = {name: text.encode() for name, text in body.files.items()}
        await told("submit", {"files": files, "title": body.title, "why": body.why})
        source = Source.of({name: text.encode() for name, text in body.files.items()})
        return {"mark": fingerprint(source).hex()}

    async def say(ask: Ask) -> Said:
        return {"ts": await told("note", {"text": ask.body.text})}

    async def register(ask: Ask) -> Registered:
        asked: dict[str, Message] = {"title": ask.body.title, "why": ask.body.why}
        return {"id": (await told("register", asked)).hex()}

    async def complete(ask: Ask) -> Completed:
        result: bytes | None = None
        if (wanted := ask.body.result) is not None:
            result = await library.read(lambda shelves: shelves.store.records.find(wanted).id)
        return {"state": await told("complete", {"id": ask.path["id"], "result": result})}

    def route(
        path: str,
        summary: str,
        answer: Any,
        handle: Callable[[Ask], Awaitable[Any]],
        body: type[msgspec.Struct],
    ) -> Route:
        return Route(
            method="POST",
            path=path,
            summary=summary,
            answer=answer,
            handle=handle,
            body=body,
            needs="steer",
            words={"id": ID} if "{id}" in path else {},
        )

    return [
        route("/notes", "Say something to whoever proposes.", Said, say, Say),
        route("/intents", "Register a hypothesis.", Registered, register, Hypothesis),
        route("/intents/{id}/complete", "Close a hypothesis.", Completed, complete, Completion),
        route("/verify", "Run a claim again here.", Queued, verify, Verify),
        route("/pause", "Leave the device alone.", Paused, pause, Pause),
        route("/resume", "Go on after a pause.", Done, resume, Nothing),
        route("/stop", "Finish the run at hand and stop.", Done, stop, Stop),
        route("/tries", "Hand in a source, to be measured and judged.", Handed, hand_in, Try),
    ]
