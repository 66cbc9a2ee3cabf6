"""Runs a task's judge inside its sandbox: loads it once, then forks for each question.

A script that replaces a language model runs in the same way. The fork ends with its question, so an
answer that affects the process which checks it cannot affect the next check. A fork cannot start
processes, and its processor time and memory are limited. It writes no files, or only as many bytes
as the task allows; the sandbox then answers only one question.
"""

import json
import os
import resource
import signal
import sys
import tempfile
import traceback
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import msgpack

from trainer.program.harness import judging
from trainer.program.harness.codec import Undecodable, decode, encode
from trainer.program.harness.files import link_data, unpack_files, write_files
from trainer.program.harness.tags import (
    ASK,
    CHECK,
    INSTANCE,
    MAKE,
    MESSAGE,
    OVER,
    QUESTION,
    REPLY,
    SAY,
    TALK,
)
from trainer.program.harness.tags import VERDICT as ANSWERED
from trainer.sandbox.inside.channel import JOB, SERVING, Channel
from trainer.sandbox.inside.landlock import Ruleset, give_up
from trainer.sandbox.inside.restrictions import load_filter

_MOST_FIGURES = 64
_MOST_WORDS = 400


def work(channel: Channel) -> None:
    """Load the judge, then fork for each question."""
    job = job_of(channel)
    judge = loaded(Path.cwd() / job["file"])
    channel.send(SERVING)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # forks are not waited for
    while True:
        tag, _, descriptor = channel.receive()
        if tag != ASK or descriptor is None:
            raise SystemExit(f"unknown request {tag!r}")
        if not os.fork():
            channel.close()
            try:
                _confine(job)
                _answer(judge, Channel(descriptor), job)
            except BaseException:  # noqa: BLE001 -- a fork must never return
                traceback.print_exc()
            finally:
                os._exit(0)
        os.close(descriptor)


def job_of(channel: Channel) -> dict[str, Any]:
    """Return the node's job, the first frame. Write its files and link its data folders."""
    tag, payload, descriptor = channel.receive()
    if tag != JOB or descriptor is None:
        raise SystemExit("the first frame must be the job")
    with os.fdopen(descriptor, "rb") as file:
        write_files(unpack_files(file.read()), Path.cwd())
    link_data(Path.cwd())
    job: dict[str, Any] = json.loads(payload)
    return job


def loaded(path: Path) -> ModuleType:
    """Return the module of a judge's file, with `judging` importable."""
    sys.modules["judging"] = judging
    sys.path.insert(0, str(path.parent))
    module = ModuleType("judge")
    module.__file__ = str(path)
    sys.modules["judge"] = module
    exec(compile(path.read_bytes(), path.name, "exec"), module.__dict__)  # noqa: S102
    return module


def _confine(job: dict[str, Any]) -> None:
    """Limit a fork's resources, and forbid it to start processes, send signals or leave files."""
    if job["ruleset"] is not None:  # before the filter, which may refuse to load it
        ruleset = Ruleset(**job["ruleset"])
        if job["scratch_bytes"]:
            rules = {**ruleset.rules, tempfile.gettempdir(): job["scratch_access"]}
            ruleset = replace(ruleset, rules=rules)
        give_up(ruleset)
    load_filter(bytes.fromhex(job["filter"]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (job["scratch_bytes"],) * 2)
    resource.setrlimit(resource.RLIMIT_AS, (job["memory_bytes"], job["memory_bytes"]))
    resource.setrlimit(resource.RLIMIT_CPU, (job["limit_s"], job["limit_s"]))


def _answer(judge: ModuleType, channel: Channel, job: dict[str, Any]) -> None:
    tag, payload, _ = channel.receive()
    if tag == MAKE:
        for seed, split, index in msgpack.unpackb(payload):
            made = judge.instance(seed, split, index)
            channel.send(INSTANCE, encode(made, job["encoding"]))
    elif tag == TALK:
        _talk(judge, channel, decode(payload, job["encoding"]), job["encoding"])
    elif tag == CHECK:
        instance, answer = msgpack.unpackb(payload)
        if job["asks"]:
            judging.reply_to = lambda question: _replied(channel, question)
        channel.send(ANSWERED, json.dumps(_verdict(judge, instance, answer, job)).encode())
    elif tag == SAY:
        asked = json.loads(payload)
        said = str(judge.answer(asked["messages"], asked["seed"]))
        channel.send(REPLY, said.encode("utf-8", "replace"))


def _replied(channel: Channel, question: dict[str, Any]) -> str:
    """Ask the node, which asks a model. Raises judging.Unanswered."""
    channel.send(QUESTION, json.dumps(question).encode())
    _, payload, _ = channel.receive()
    completion = json.loads(payload)
    if "error" in completion:
        raise judging.Unanswered(completion["error"]["message"])
    return str(completion["choices"][0]["message"]["content"])


def _talk(judge: ModuleType, channel: Channel, instance: object, encoding: str) -> None:
    """Talk with a candidate about an instance until the judge ends the conversation."""
    speaking = judge.converse(instance)
    try:
        message = next(speaking)
        while True:
            channel.send(MESSAGE, encode(message, encoding))
            tag, payload, _ = channel.receive()
            if tag != REPLY:
                return
            message = speaking.send(decode(payload, encoding))
    except (StopIteration, judging.Wrong, Undecodable):  # check() reports the fault
        channel.send(OVER)


def _verdict(
    judge: ModuleType, instance: bytes, answer: bytes, job: dict[str, Any]
) -> dict[str, Any]:
    """Return the judge's figures, or in `wrong` the reason the answer is wrong."""
    encoding = job["encoding"]
    asked = decode(instance, encoding)
    try:
        given = _transcript(answer, encoding) if job["interactive"] else decode(answer, encoding)
        figures = judge.check(asked, given)
        return {"figures": checked(figures)}
    except Undecodable as fault:
        return {"wrong": f"the answer: {fault}"[:_MOST_WORDS]}
    except judging.Wrong as wrong:
        return {"wrong": str(wrong)[:_MOST_WORDS]}
    except MemoryError:
        return {"wrong": "the judge ran out of memory while checking it"}
    except Exception as fault:  # noqa: BLE001 -- a judge that fails on an answer refuses it
        return {"wrong": f"the judge failed on it: {type(fault).__name__}: {fault}"[:_MOST_WORDS]}


def _transcript(answer: bytes, encoding: str) -> list[list[Any]]:
    return [
        [decode(message, encoding), decode(reply, encoding)]
        for message, reply in msgpack.unpackb(answer)
    ]


def checked(figures: object) -> dict[str, float]:
    """Return a judge's figures as floats. Raises TypeError if they are not a dict of numbers."""
    if not isinstance(figures, dict) or len(figures) > _MOST_FIGURES:
        raise TypeError("check() must return {name: number}")
    for name, figure in figures.items():
        is_truth = isinstance(figure, bool) or str(getattr(figure, "dtype", "")).endswith("bool")
        if is_truth or isinstance(figure, str | bytes):
            raise TypeError(f"check() returned {figure!r} as {name}, which is not a number")
    return {str(name): float(figure) for name, figure in figures.items()}
