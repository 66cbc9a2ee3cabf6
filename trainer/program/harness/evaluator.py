"""Runs an imported evaluator as a child process, with a stub of the program that it measures.

The parent process is the broker. It forwards the stubs' requests to the node, and the node's
replies to the stubs, without reading them. The evaluator's process sends its figures through a pipe
that no other program inherits. No code of the measured program is in this sandbox. The sandbox ends
with the run.
"""

import contextlib
import json
import os
import random
import selectors
import sys
import tempfile
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np

from trainer.program.harness import judging
from trainer.program.harness.codec import decode
from trainer.program.harness.judge import checked, job_of, loaded
from trainer.program.harness.stub import (
    ASKED,
    CONTROL,
    REPLIES,
    REQUESTS,
    SIZE,
    stub_text,
)
from trainer.program.harness.tags import CALLS, LEFT, REPLY, VERDICT
from trainer.sandbox.inside.channel import SERVING, Channel

_MOST_WORDS: Final = 400
_LOOK_S: Final = 0.2  # between two checks for an evaluator that ended without a verdict
_READ: Final = 1 << 20


def work(channel: Channel) -> None:
    """Run the evaluator in a child process, and send its verdict."""
    job = job_of(channel)
    place = Path(tempfile.mkdtemp(prefix="calls-"))
    os.mkfifo(place / CONTROL)
    control = os.open(place / CONTROL, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    stub = Path.cwd() / job["module"]
    stub.parent.mkdir(parents=True, exist_ok=True)
    stub.write_text(stub_text(place, sys.path[:2]), encoding="utf-8")
    _let_python_be_found()
    channel.send(SERVING)
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        channel.close()
        os.close(reading)
        os.close(control)
        _evaluate(job, stub, writing)
    os.close(writing)
    verdict = _Broker(channel, place, control, pid, reading).serve()
    channel.send(VERDICT, verdict)
    channel.receive()  # wait until the node ends the sandbox


def _let_python_be_found() -> None:
    """Let child processes find this interpreter as `python`, and import arnode's packages."""
    os.environ["PYTHONPATH"] = sys.path[1]
    folder = Path(tempfile.mkdtemp(prefix="bin-"))
    for name in ("python", "python3"):
        (folder / name).symlink_to(sys.executable)
    os.environ["PATH"] = f"{folder}:{os.environ.get('PATH', os.defpath)}"


def _evaluate(job: dict[str, Any], stub: Path, writing: int) -> None:
    """Run the evaluator in this process, write its verdict to the pipe, and exit."""
    instance = decode(job["instance"].encode(), "json")
    random.seed(instance["seed"])
    np.random.seed(instance["seed"])
    try:
        said = _verdict(loaded(Path.cwd() / job["file"]), instance, stub, job["vary"])
        # Flush before the verdict, because the sandbox may end after it, even with open stubs.
        sys.stdout.flush()
        sys.stderr.flush()
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(json.dumps(said).encode())
    except BaseException:  # noqa: BLE001 -- a fork must never return
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _verdict(judge: ModuleType, instance: dict[str, Any], stub: Path, vary: str) -> dict[str, Any]:
    """Return the evaluator's `figures`, or in `wrong` the reason why there are none."""
    try:
        return {"figures": checked(judge.evaluate(instance, str(stub), vary))}
    except judging.Wrong as wrong:
        return {"wrong": str(wrong)[:_MOST_WORDS]}
    except (Exception, SystemExit) as fault:  # noqa: BLE001 -- an evaluator may raise anything
        traceback.print_exc()
        return {"wrong": f"the evaluator failed: {type(fault).__name__}: {fault}"[:_MOST_WORDS]}


class _Load:
    """One stub that has loaded the program: a request being received, and a reply being sent."""

    def __init__(self, number: int, requests: int, replies: int) -> None:
        self.number = number
        self.requests = requests
        self.replies = replies
        self.asked = bytearray()
        self.reply = memoryview(b"")


class _Broker:
    """A server of all loads of the program, until the evaluator sends its verdict or ends."""

    def __init__(self, channel: Channel, place: Path, control: int, pid: int, verdict: int) -> None:
        self._channel = channel
        self._place = place
        self._control = control
        self._pid = pid
        self._verdict = verdict
        self._said = bytearray()
        self._names = bytearray()
        self._number = 0
        self._loads: dict[int, _Load] = {}
        self._selector = selectors.DefaultSelector()
        for descriptor in (channel.fileno(), control, verdict):
            self._selector.register(descriptor, selectors.EVENT_READ)

    def serve(self) -> bytes:
        """Serve the loads until the evaluator has ended or sent its verdict; return the verdict."""
        is_over = False
        while not is_over:
            for key, event in self._selector.select(_LOOK_S):
                if key.fd == self._channel.fileno():
                    self._take_reply()
                elif key.fd == self._control:
                    self._open_loads()
                elif key.fd == self._verdict:
                    chunk = os.read(self._verdict, _READ)
                    self._said += chunk
                    is_over = is_over or not chunk
                elif isinstance(key.data, _Load):
                    self._serve(key.data, event)
            with contextlib.suppress(ChildProcessError):
                is_over = is_over or os.waitpid(self._pid, os.WNOHANG)[0] == self._pid
        self._serve_rest()
        with contextlib.suppress(BlockingIOError):
            os.set_blocking(self._verdict, False)
            while chunk := os.read(self._verdict, _READ):
                self._said += chunk
        return bytes(self._said) or b'{"wrong": "the evaluator ended without a score"}'

    def _serve_rest(self) -> None:
        """Forward the stubs' requests that are still unread, before `work` sends the verdict.

        One of these requests may be a refusal, which ends the run, so the node must get it first.
        """
        if any(key.fd == self._control for key, _ in self._selector.select(0)):
            self._open_loads()
        for key, event in self._selector.select(0):
            if isinstance(key.data, _Load):
                self._serve(key.data, event)

    def _open_loads(self) -> None:
        self._names += os.read(self._control, _READ)
        *names, rest = self._names.split(b"\n")
        self._names = bytearray(rest)
        for name in names:
            self._number += 1
            path = self._place / name.decode()
            with contextlib.suppress(OSError):  # the process that wrote it has ended
                flags = os.O_NONBLOCK | os.O_CLOEXEC
                # O_RDWR: opening for writing alone fails until the other end is open.
                replies = os.open(f"{path}{REPLIES}", os.O_RDWR | flags)
                requests = os.open(f"{path}{REQUESTS}", os.O_RDONLY | flags)
                load = _Load(self._number, requests, replies)
                self._loads[load.number] = load
                self._selector.register(requests, selectors.EVENT_READ, load)

    def _serve(self, load: _Load, event: int) -> None:
        if event & selectors.EVENT_WRITE:
            self._write(load)
            return
        chunk = os.read(load.requests, _READ)
        if not chunk:
            self._end(load)
            return
        load.asked += chunk
        while len(load.asked) >= ASKED.size:
            tag, size = ASKED.unpack(load.asked[: ASKED.size])
            if len(load.asked) < ASKED.size + size:
                return
            request = bytes(load.asked[ASKED.size : ASKED.size + size])
            del load.asked[: ASKED.size + size]
            self._channel.send(tag, CALLS.pack(load.number) + request)

    def _take_reply(self) -> None:
        tag, payload, _ = self._channel.receive()
        if tag != REPLY:
            raise SystemExit(f"unknown frame {tag!r}")
        load = self._loads.get(CALLS.unpack(payload[: CALLS.size])[0])
        if load is None:
            return  # the process that asked has ended
        reply = payload[CALLS.size :]
        load.reply = memoryview(SIZE.pack(len(reply)) + reply)
        self._selector.register(load.replies, selectors.EVENT_WRITE, load)
        self._write(load)

    def _write(self, load: _Load) -> None:
        with contextlib.suppress(BlockingIOError):
            while load.reply:
                load.reply = load.reply[os.write(load.replies, load.reply) :]
        if not load.reply:
            self._selector.unregister(load.replies)

    def _end(self, load: _Load) -> None:
        """Ask the node to end the program of a load whose process has ended."""
        self._selector.unregister(load.requests)
        if load.reply:
            self._selector.unregister(load.replies)
        os.close(load.requests)
        os.close(load.replies)
        del self._loads[load.number]
        self._channel.send(LEFT, CALLS.pack(load.number))
