"""The command `arnode try`: submit a source and wait for the rule's decision.

If a node runs, it gets the source over its socket. Otherwise this process acts as the node for this
experiment. Either way the experiment is queued in the store, and the result is read from the store.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from agent.source.canonical import fingerprint
from node.home.control_socket import Message, call, is_running, nonsense
from node.home.home import Home
from node.line.attempts import Attempt, attempt_of, repeated_attempt
from node.line.handed_in import check_submission, read_folder, title_of
from node.line.run_estimates import experiment_duration_text, run_seconds
from node.on_demand.session import POLL_S, CommandSession, act_as_node, find_command_session
from node.running.node import Node
from node.running.program import at_work
from node.store.blobs import Blobs
from node.store.jobs import LineKey
from node.store.store import Store
from protocol.codecs import plain
from protocol.errors import NotRunningError, UsageError
from protocol.manifest import TaskManifest
from protocol.rule import DEFAULT
from protocol.source import Source
from trainer.cards.cards import probe_devices

_STAYS = "it stays in the queue: the same `arnode try` or `arnode start` continues it"


@dataclass(frozen=True, slots=True, kw_only=True)
class TryOutcome:
    """The result and its line; `is_repeat` is True if the source was decided before."""

    key: LineKey
    manifest: TaskManifest
    attempt: Attempt
    is_repeat: bool


def try_folder(folder: Path, why: str, *, task: str | None, text: Path | None) -> TryOutcome:
    """Measure and judge a working folder's source. Raises ArnodeError, KeyboardInterrupt."""
    home = Home.here()
    is_there = is_running(home.socket)
    command = None if is_there and not (task or text) else find_command_session(task, text)
    if is_there:
        key, editable = _asked(home, command)
    elif command:
        device = probe_devices(command.task.manifest, command.config.gpus)[0]
        key = LineKey(task=command.task.id, hardware_class=device.slug)
        editable = command.task.editable
    source = read_folder(folder, editable)
    if command:
        check_submission(source, command.task.manifest, command.task.source)
    mark = fingerprint(source)
    if (known := _answer(home, key, mark)) is not None:
        return replace(known, attempt=repeated_attempt(known.attempt), is_repeat=True)
    title = title_of(folder, source, why)  # an empty title is replaced by one from the diff
    has_ended = False
    with contextlib.suppress(KeyboardInterrupt):
        if is_there:
            has_ended = hand_over(home, key, mark, source, title=title, why=why)
        elif command:
            work_alone(command, source, title=title, why=why)
    answer = _answer(home, key, mark)
    if answer is None and has_ended:
        raise NotRunningError("the node ended before it decided this experiment", _STAYS)
    if answer is None:  # the user stopped it
        print(f"  not decided yet; {_STAYS}", file=sys.stderr)
        raise KeyboardInterrupt
    if answer.attempt.word == "keep" and not answer.attempt.patch:  # the baseline, just measured
        return replace(answer, attempt=repeated_attempt(answer.attempt))
    return answer


def _asked(home: Home, command: CommandSession | None) -> tuple[LineKey, tuple[str, ...]]:
    """Return the running node's line. Raises UsageError if the command chose another task."""
    match call(home.socket, "subject"):
        case {"task": bytes() as task, "class": str() as name, "editable": list() as paths}:
            if command and command.task.id != task:
                raise UsageError(
                    f"the running node works on a task other than {command.task.name}",
                    "leave out --task and --text, or stop it first (`arnode stop`)",
                )
            editable = tuple(path for path in paths if isinstance(path, str))
            return LineKey(task=task, hardware_class=name), editable
    raise nonsense()


def _answer(home: Home, key: LineKey, mark: bytes) -> TryOutcome | None:
    with Store.open_read_only(home) as store:
        attempt = attempt_of(store, key, mark, Blobs(home.blobs).get_source, DEFAULT)
        manifest = store.records.manifest(key.task)
        if attempt is None or manifest is None:
            return None
        return TryOutcome(key=key, manifest=manifest, attempt=attempt, is_repeat=False)


# With a running node


def hand_over(
    home: Home, key: LineKey, mark: bytes, source: Source, *, title: str, why: str
) -> bool:
    """Queue a source with the running node and wait for the decision.

    Return True if the node ended meanwhile; it may still have decided just before its end.
    """
    files: dict[str, Message] = dict(source.files)
    call(home.socket, "submit", {"files": files, "title": title, "why": why})
    with Store.open_read_only(home) as store:
        _say_takes(run_seconds(store, key), "after the current run; ")
    show = _shown()
    with contextlib.suppress(NotRunningError):
        while True:
            match call(home.socket, "is_decided", {"id": mark}):
                case {"decided": True}:
                    return False
                case {"stage": str() as stage, "title": str() as about}:
                    show(stage, about)
            time.sleep(POLL_S)
    return True


# Without one


def work_alone(command: CommandSession, source: Source, *, title: str, why: str) -> None:
    """Act as the node until this source is decided."""

    def hand_in(node: Node) -> Callable[[], None]:
        node.research.submit(source, title=title, why=why)
        show, activity = _shown(), node.research.activity
        is_time_shown = False

        def show_progress() -> None:
            nonlocal is_time_shown
            if not is_time_shown:  # the baseline runs first, and its time is the estimate
                run_s = run_seconds(node.line_resources.store, node.line_resources.line_writer.key)
                _say_takes(run_s)
                is_time_shown = run_s is not None
            show(activity.stage, activity.title)

        return show_progress

    with at_work(command.home, command.config, to_terminal=True):
        asyncio.run(act_as_node(command.home, command.config, command.task, hand_in))


def _say_takes(run_s: float | None, before: str = "") -> None:
    if run_s is not None:
        print(f"  {before}{experiment_duration_text(run_s)}", file=sys.stderr, flush=True)


def _shown() -> Callable[[str, str], None]:
    """Return a function that prints each new step on stderr once."""
    last = ("", "")

    def show(stage: str, title: str) -> None:
        nonlocal last
        if (stage, title) != last:
            last = (stage, title)
            words = filter(None, dict.fromkeys((stage.replace("_", " "), title)))
            print(
                f"  {plain(': '.join(words))} …",
                file=sys.stderr,
                flush=True,
            )

    return show
