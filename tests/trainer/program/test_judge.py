"""A judge in its sandbox: instances made twice, verdicts, and answers that cannot affect it."""

import asyncio
import json
import pickle
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest

from protocol.errors import ConfigurationError
from trainer.measuring.host_load import LaneWork
from trainer.program import loaded
from trainer.program.data import JudgeResources
from trainer.program.harness.codec import encode
from trainer.program.harness.files import File
from trainer.program.judge import Judge, Verdict, verdict_of
from trainer.program.manifest import ProgramRecipe
from trainer.program.seeds import InstanceName
from trainer.sandbox.frames import SandboxEnded

T = TypeVar("T")

# A naive judge that an answer can control.
MOODY = """\
import os
import pickle
import re
from pathlib import Path

from judging import Wrong, random_of

KEPT = []
WORDS = Path(__file__).with_name("words.txt")


def instance(seed, split, index):
    return {"drawn": random_of(seed).random(), "split": split, "index": index}


def check(instance, answer):
    if answer == "wrong":
        raise Wrong("it is not sorted\\x1b[2J")
    if answer == "crash":
        return {"error": 1 / 0}
    if answer == "die":
        os._exit(0)
    if answer == "abort":
        os.abort()
    if answer == "hang":
        while True:
            pass
    if answer == "backtrack":
        re.fullmatch("(a|a)*b", "a" * 60)
    if answer == "recursion":
        return check(instance, answer)
    if answer == "memory":
        return {"error": len([0] * (1 << 40))}
    if answer == "bytes":
        return {"error": len(bytearray(3 << 30))}
    if answer == "text":
        return "0.0"
    if answer == "words":
        return {"error": "3.5"}
    if answer == "truth":
        return {"error": answer == "truth"}
    if answer == "many":
        return {str(number): 0.0 for number in range(100)}
    if answer in ("nan", "inf"):
        return {"error": float(answer)}
    if answer == "fork":
        return {"error": os.fork()}
    if answer == "write":
        WORDS.write_text("written")
    if answer == "flood":
        print("x" * (1 << 20))
    if answer == "keep":
        KEPT.append(answer)
    if isinstance(answer, dict) and "pickled" in answer:
        return pickle.loads(bytes.fromhex(answer["pickled"]))
    return {"error": 0.5, "kept": len(KEPT), "words": len(WORDS.read_text())}


def converse(instance):
    reply = yield {"say": "anything"}
    while reply != "enough":
        if reply == "wrong":
            raise Wrong("no")
        if reply == "crash":
            reply = 1 / 0
        if reply == "hang":
            while True:
                pass
        reply = yield {"said": reply}
"""
WELL = {"error": 0.5, "kept": 0.0, "words": 6.0}
INSTANCE = encode({"drawn": 0.5, "split": "public", "index": 0}, "json")


def judge_of(text: str, *, interactive: bool = False, limit_s: int = 60) -> Judge:
    fixed = (File(path="words.txt", data=b"a word"),)
    means = JudgeResources(limit_s=limit_s)
    recipe = ProgramRecipe(judge=text.encode(), fixed=fixed, judge_means=means)
    return Judge("add", recipe, encoding="json", interactive=interactive, work=LaneWork())


Do = Callable[[Awaitable[T]], T]


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as loop:
        yield loop


@pytest.fixture(scope="module")
def moody(loop: asyncio.Runner) -> Iterator[Judge]:
    """Return a judge for all these tests in turn, with little time and memory."""
    judge = judge_of(MOODY, limit_s=2)
    yield judge
    loop.run(judge.close())


@pytest.fixture
def asked(loop: asyncio.Runner, moody: Judge) -> Callable[[Any], Verdict]:
    """Ask for the verdict on an answer."""

    def ask(answer: object) -> Verdict:
        return loop.run(moody.check(INSTANCE, encode(answer, "json")))

    return ask


Ask = Callable[[object], Verdict]
REFUSED = {
    "wrong": "it is not sorted\x1b[2J",
    "crash": "the judge failed on it: ZeroDivisionError: division by zero",
    "die": "the judge did not finish checking it",
    "abort": "the judge did not finish checking it",
    "hang": "the judge did not finish checking it",
    "backtrack": "the judge did not finish checking it",
    "recursion": "the judge failed on it: RecursionError",
    "memory": "the judge ran out of memory while checking it",
    "bytes": "the judge ran out of memory while checking it",
    "text": "the judge failed on it: TypeError: check() must return",
    "words": "the judge failed on it: TypeError: check() returned '3.5' as error, which is not a n",
    "truth": "the judge failed on it: TypeError: check() returned True as error, which is not a n",
    "many": "the judge failed on it: TypeError: check() must return",
    "nan": "the judge returned figures that are not finite",
    "inf": "the judge returned figures that are not finite",
    "fork": "the judge failed on it: PermissionError",
    "write": "the judge failed on it: ",
}


@pytest.mark.parametrize("answer", REFUSED)
def test_whatever_happens_to_a_judge_counts_against_the_answer_alone(
    answer: str, asked: Ask
) -> None:
    verdict = asked(answer)
    assert verdict.wrong.startswith(REFUSED[answer]), verdict
    assert verdict.figures == {}
    assert asked("well") == Verdict(figures=WELL)


def test_nothing_of_a_check_is_there_in_the_next(asked: Ask) -> None:
    assert asked("keep").figures["kept"] == 1
    assert asked("well").figures == WELL


@pytest.mark.parametrize("data", [b"", b"[", b"[NaN]", b"[" * 100_000, b"1" * 100_000, b"\xff"])
def test_an_answer_that_is_no_value_is_wrong(
    data: bytes, loop: asyncio.Runner, moody: Judge
) -> None:
    verdict = loop.run(moody.check(INSTANCE, data))
    assert verdict.wrong.startswith("the answer: ")
    assert len(verdict.wrong) <= 400


class Payload:
    """An answer with code that a naive judge executes."""

    def __init__(self, code: str) -> None:
        self._code = code

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return eval, (self._code,)


TAKEN_OVER = {
    "kills what forked it": "__import__('os').kill(__import__('os').getppid(), 9)",
    "kills all that it may": "__import__('os').kill(-1, 9)",
    "removes a file": "__import__('os').remove('words.txt')",
    "puts another in its place": "__import__('os').symlink('judge.py', 'words.txt')",
    "renames one": "__import__('os').rename('words.txt', 'judge.py')",
    "leaves a folder": "__import__('os').mkdir('left')",
    "empties one": "__import__('os').truncate('words.txt', 0)",
    "changes the judge": "__import__('sys').modules['judge'].__dict__.update(check=lambda *_: 0)",
    "says no JSON": "__import__('os').write(3, b'Y' + (5).to_bytes(8, 'big') + b'{{{{{')",
    "says a large number": "__import__('os').write(3, b'Y' + (9).to_bytes(8, 'big') + b'1' * 9)",
    "says too much": "__import__('os').write(3, b'Y' + (1 << 62).to_bytes(8, 'big'))",
    "says what was not asked": "__import__('os').write(3, b'I' + (1).to_bytes(8, 'big') + b'1')",
}


@pytest.mark.parametrize("name", TAKEN_OVER)
def test_a_judge_that_an_answer_takes_over_is_the_next_ones_as_it_was(
    name: str, asked: Ask
) -> None:
    code = f"[{TAKEN_OVER[name]}, __import__('os')._exit(0)]"
    verdict = asked({"pickled": pickle.dumps(Payload(code)).hex()})
    assert verdict.figures == {}
    assert asked("well") == Verdict(figures=WELL)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b"{}",
        b'{"wrong": 7}',
        b'{"figures": []}',
        b'{"figures": {"error": null}}',
        b'{"figures": {"error": []}}',
        b'{"figures": {"error": "zero"}}',
        b'{"figures": {"error": "3.5"}}',
        b'{"figures": {"error": true}}',
        b'{"figures": {"error": NaN}}',
        b'{"figures": {"error": "inf"}}',
        b'{"figures": {"error": 1' + b"0" * 400 + b"}}",
        b"[" * 60_000,
        b"\xff\xfe",
    ],
)
def test_a_verdict_is_taken_as_an_untrusted_word(payload: bytes) -> None:
    verdict = verdict_of(payload)
    assert verdict.wrong
    assert verdict.figures == {}


def test_a_judge_that_has_ended_is_started_again(asked: Ask, moody: Judge) -> None:
    for _ in range(70):  # of a megabyte each: more than it may print in total
        verdict = asked("flood")
        assert verdict == Verdict(figures=WELL)


def names(count: int) -> list[InstanceName]:
    return [
        InstanceName(seed=bytes([number] * 32), split="public", index=number)
        for number in range(count)
    ]


def made(judge: Judge, count: int = 3, most_bytes: int = 1000) -> list[Any]:
    async def make() -> list[bytes]:
        try:
            return await judge.make(names(count), most_bytes=most_bytes)
        finally:
            await judge.close()

    return [json.loads(one) for one in asyncio.run(make())]


def test_instances_follow_from_their_seeds() -> None:
    first, again = made(judge_of(MOODY)), made(judge_of(MOODY))
    assert first == again
    assert len({one["drawn"] for one in first}) == 3
    assert [one["index"] for one in first] == [0, 1, 2]


OTHERS_EACH_TIME = {
    "a clock": "__import__('time').perf_counter_ns()",
    "chance of its own": "__import__('random').random()",
    "its process": "__import__('os').getpid()",
    "randomness": "__import__('os').urandom(4).hex()",
}


@pytest.mark.parametrize("name", OTHERS_EACH_TIME)
def test_instances_that_do_not_follow_from_their_seeds_are_refused(name: str) -> None:
    text = f"def instance(seed, split, index):\n    return {OTHERS_EACH_TIME[name]}\n"
    with pytest.raises(ConfigurationError, match="different instances from the same seed") as fault:
        made(judge_of(text))
    assert "depend only on its arguments" in fault.value.hint


NOT_MADE = {
    "an instance fails": ("def instance(*_):\n    raise ValueError('no such split')\n", "no such"),
    "there is no instance": ("import os\n", "has no attribute 'instance'"),
    "it ends": ("import os\ndef instance(*_):\n    os._exit(0)\n", "did not make instance 0"),
    "it has no JSON": ("def instance(*_):\n    return {1, 2}\n", "did not make instance 0"),
    "it is not finite": ("def instance(*_):\n    return float('nan')\n", "did not make instance 0"),
    "it is too large": ("def instance(*_):\n    return 'x' * 2000\n", "did not make instance 0"),
    "it cannot be loaded": ("import numbers_of_the_day\n", "cannot be loaded .*numbers_of_the_day"),
    "it is no Python": ("def instance(:\n", "cannot be loaded .*SyntaxError"),
    "loading ends it": ("raise SystemExit('not today')\n", "cannot be loaded .*not today"),
    "it reaches out": (
        "import socket\nsocket.create_connection(('127.0.0.1', 80))\n",
        "cannot be loaded",
    ),
    "it writes where it may not": ("open('/arnode/x', 'w')\n", "cannot be loaded"),
}


@pytest.mark.parametrize("name", NOT_MADE)
def test_a_judge_that_makes_no_instances_is_said_so(name: str) -> None:
    text, said = NOT_MADE[name]
    with pytest.raises(ConfigurationError, match=f"task add: its judge .*{said}") as fault:
        made(judge_of(text))
    assert "arnode task check" in fault.value.hint


def test_a_judge_that_takes_too_long_to_make_one_is_said_so() -> None:
    with pytest.raises(ConfigurationError, match="did not make instance 0"):
        made(judge_of("def instance(*_):\n    while True:\n        pass\n", limit_s=1))


def test_a_judge_sees_files_of_its_task_and_nothing_else() -> None:
    text = """\
import os

def instance(seed, split, index):
    return {"here": sorted(os.listdir()), "environment": sorted(os.environ)}
"""
    (found,) = made(judge_of(text), count=1)
    assert found["here"] == ["judge.py", "words.txt"]
    assert not [name for name in found["environment"] if "ARNODE" in name]


def spoken(judge: Judge, *replies: object) -> tuple[list[Any], Verdict]:
    """Return a judge's messages after these replies, and its verdict on them."""

    async def speak() -> tuple[list[Any], Verdict]:
        messages = []
        try:
            async with judge.talk(INSTANCE, most_bytes=1000) as conversation:
                for reply in replies:
                    message = await conversation.message()
                    messages.append(message and json.loads(message))
                    await conversation.reply(encode(reply, "json"))
                messages.append(await conversation.message())
            return messages, await judge.check(INSTANCE, conversation.transcript)
        finally:
            await judge.close()

    return asyncio.run(speak())


REPLAYED = (
    MOODY.partition("def check")[0]
    + "def check(instance, transcript):\n    return {'turns': len(transcript)}\n\n\n"
    + "def converse"
    + MOODY.partition("def converse")[2]
)


def test_a_conversation_is_what_is_checked() -> None:
    messages, verdict = spoken(judge_of(REPLAYED, interactive=True), "a", "b", "enough")
    assert messages == [{"say": "anything"}, {"said": "a"}, {"said": "b"}, None]
    assert verdict == Verdict(figures={"turns": 3.0})


def test_a_wrong_reply_ends_a_conversation() -> None:
    messages, _ = spoken(judge_of(REPLAYED, interactive=True), "a", "wrong")
    assert messages[-1] is None


def test_a_judge_does_not_count_the_seconds_in_which_it_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loaded, "_GRACE_S", 1.0)
    monkeypatch.setattr(loaded, "_WAITS", 1)
    judge = judge_of(REPLAYED, interactive=True, limit_s=1)

    async def speak() -> bytes | None:
        try:
            async with judge.talk(INSTANCE, most_bytes=1000) as conversation:
                await conversation.message()
                await asyncio.sleep(2.5)  # longer than the limit for a question
                await conversation.reply(b'"a"')
                return await conversation.message()
        finally:
            await judge.close()

    assert asyncio.run(speak()) == b'{"said":"a"}'


def test_a_conversation_with_a_judge_that_only_waits_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaded, "_GRACE_S", 0.5)
    monkeypatch.setattr(loaded, "_WAITS", 1)
    no_output = "import time\n\ndef converse(_):\n    time.sleep(600)\n"
    with pytest.raises(SandboxEnded):
        spoken(judge_of(no_output, interactive=True, limit_s=1), "a")


def test_a_judge_that_has_to_wait_for_a_processor_is_not_too_slow(loop: asyncio.Runner) -> None:
    waits = (
        "import time\n\ndef check(_, answer):\n    time.sleep(1.5)\n    return {'error': answer}\n"
    )
    judge = judge_of(waits, limit_s=1)
    try:
        assert loop.run(judge.check(INSTANCE, b"3")) == Verdict(figures={"error": 3.0})
    finally:
        loop.run(judge.close())
