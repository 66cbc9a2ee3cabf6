"""A server that returns the API key in any encoding: nothing of it is kept or shown."""

import asyncio
import logging
from pathlib import Path

import pytest

from agent.completion import CompletionRequest
from agent.worker.key_watch import STOPPED, WHY, KeyWatch, without_secrets
from agent.worker.messages import Failure, ModelSettings, Reply
from agent.worker.prices import Usage
from node.home.config import Config
from node.proposing.agent_secrets import leaking_file, long_words, shows_secret
from node.proposing.diagnosis import hint_for
from node.proposing.keys import ApiKeys
from node.proposing.servers import models_at
from node.proposing.worker import NEW_KEY, ModelWorker
from protocol.source import Source
from tests.llm_server import LlmServer, points_to, refuses, says
from tests.llm_server import Reply as Answer
from tests.node.test_diagnosis import SERVER, CompletionFault
from tests.workers import LIMIT_S, question

pytestmark = pytest.mark.usefixtures("light_worker")

KEY = "sk-proj-Vb7qTz2LmX9cRk4WpHs6NfYd8JgAe3Uo"
OWN = KEY.removeprefix("sk-proj-")
FIRST, SECOND = OWN[:16], OWN[16:]
SETTINGS = ModelSettings(model="openai/small", api_base="http://127.0.0.1:1/v1", api_key=KEY)
USAGE = Usage(tokens_in=11, tokens_out=7)


def reply(text: str, usage: Usage | None = None) -> Reply:
    return Reply(id=1, text=text, is_cut=False, usage=usage)


def failure(detail: str) -> Failure:
    return Failure(
        id=1, fault="server", detail=detail, retry_ms=None, usage=None, may_have_cost=False
    )


@pytest.mark.parametrize(
    "answer",
    [
        reply(f"a = '{FIRST}'\nb = '{SECOND}'", USAGE),
        reply(f"a = '{FIRST}'"),
        reply(" ".join(OWN)),
        failure(f"it failed ({'.'.join(SECOND)})"),
        failure(OWN[::-1]),
    ],
)
def test_an_answer_with_pieces_of_the_key_is_thrown_away(answer: Reply | Failure) -> None:
    watch = KeyWatch([KEY])
    kept = without_secrets(answer, watch)
    assert isinstance(kept, Failure)
    assert (kept.fault, kept.detail, kept.usage) == ("leaked_key", WHY, answer.usage)
    assert kept.may_have_cost == isinstance(answer, Reply)
    assert watch.is_revealed(KEY)


def test_a_whole_key_is_masked_and_an_honest_answer_is_as_it_was() -> None:
    watch = KeyWatch([KEY])
    assert without_secrets(reply(f"fine, {KEY}"), watch) == reply(f"fine, {'*' * len(KEY)}")
    honest = reply("def main() -> None:\n    return 7\n", USAGE)
    assert without_secrets(honest, watch) == honest
    assert without_secrets(failure("busy"), watch) == failure("busy")
    assert not watch.is_revealed(KEY)


def test_figures_are_looked_at_with_the_words() -> None:
    key = "sk-" + "90210" * 2 + "31337x4242"
    split = reply("x3133 9021090", Usage(tokens_in=2_109_021, tokens_out=31_337))
    assert isinstance(without_secrets(split, KeyWatch([key])), Failure)


async def asked(server: LlmServer, times: int) -> list[Reply | Failure]:
    settings = ModelSettings(model="openai/small", api_base=server.url, api_key=KEY)
    # The core's own watch knows another key, so that what is seen is the worker's doing.
    watch = KeyWatch(["sk-another-key-0a1b2c3d4e5f6g7h"])
    async with (
        asyncio.timeout(LIMIT_S),
        ModelWorker(settings, hidden=(), watch=watch) as worker,
    ):
        return [await worker.ask(question()) for _ in range(times)]


@pytest.mark.parametrize(
    "answers",
    [
        [says(f"half of it: {FIRST}"), says(f"and the other half: {SECOND}")],
        [refuses(500, " ".join(FIRST)), says(f"and the other half: {SECOND}")],
        [points_to("http://192.0.2.1/" + "/".join(FIRST)), says("hi")],
    ],
    ids=["in two answers", "in words of a fault", "in a header"],
)
def test_the_worker_keeps_such_an_answer_and_asks_nothing_more(answers: list[Answer]) -> None:
    with LlmServer(*answers) as server:
        first, second = asyncio.run(asked(server, 2))
        assert len(server.requests) == 1
    assert isinstance(first, Failure)
    assert isinstance(second, Failure)
    assert (first.fault, first.detail) == ("leaked_key", WHY)
    assert (second.fault, second.detail, second.may_have_cost) == ("leaked_key", STOPPED, False)


def test_pieces_of_a_key_add_up_over_answers() -> None:
    pieces = [OWN[at : at + 6] for at in range(0, len(OWN), 6)]
    with LlmServer(*[says(f"the answer is {piece}.") for piece in pieces]) as server:
        reported = asyncio.run(asked(server, len(pieces)))
        asked_for = len(server.requests)
    kept = [one.text for one in reported if isinstance(one, Reply)]
    assert 0 < sum(map(len, kept)) - len("the answer is .") * len(kept) < len(OWN) / 2
    assert len(kept) + 1 == asked_for


class ScriptedWorker(ModelWorker):
    """A model worker with scripted answers, as if it had been taken over."""

    def __init__(self, *reported: str, watch: KeyWatch) -> None:
        super().__init__(SETTINGS, hidden=(), watch=watch)
        self.answers = [*reported]

    async def _answer(self, question: CompletionRequest) -> Reply | Failure:
        return reply(self.answers.pop(0))


def test_the_core_believes_its_worker_no_more_than_the_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> list[Reply | Failure]:
        worker = ScriptedWorker(
            "honest", f"here: {SECOND}", "never asked for", watch=KeyWatch([KEY])
        )
        return [await worker.ask(question()) for _ in range(3)]

    with caplog.at_level(logging.INFO):
        honest, leak, stopped = asyncio.run(test())
    assert honest == reply("honest")
    assert isinstance(leak, Failure)
    assert leak.fault == "leaked_key"
    assert isinstance(stopped, Failure)
    assert stopped.detail == STOPPED
    assert NEW_KEY in caplog.text
    assert SECOND[:6] not in caplog.text


def test_all_models_with_one_key_share_what_was_seen_of_it() -> None:
    keys = ApiKeys({"MODEL_KEY": KEY, "OTHER_API_KEY": "gsk_" + "q8w7e6r5t4y3u2i1o0pa"})
    pieces = [OWN[at : at + 7] for at in range(0, len(OWN), 7)]

    async def test() -> list[Reply | Failure]:
        workers = (
            ScriptedWorker(*pieces[::2], "", watch=keys.watch),
            ScriptedWorker(*pieces[1::2], "", watch=keys.watch),
        )
        turns = [worker for _ in pieces for worker in workers]
        return [await worker.ask(question()) for worker in turns[: len(pieces) + 1]]

    reported = asyncio.run(test())
    assert isinstance(reported[0], Reply)
    assert [one.detail for one in reported[-2:] if isinstance(one, Failure)] == [STOPPED] * 2
    assert [one.detail for one in reported if isinstance(one, Failure)].count(WHY) == 1


def test_names_of_models_are_an_answer_too() -> None:
    with LlmServer(says("hi"), models=("small", FIRST, SECOND)) as server:
        assert models_at(server.url, key=KEY) is None
        assert models_at(server.url) == ["small", FIRST, SECOND]  # of no key of this node's
        server.models = ("small", KEY)
        assert models_at(server.url, key=KEY) is None


def test_what_to_do_is_said() -> None:
    fault = CompletionFault(kind="leaked_key", detail=WHY)
    assert "revoke the key" in hint_for(fault, Config(), SERVER, ApiKeys({}))


TOKEN = "sk-ant-oat01-" + OWN + OWN[::-1]
UNRANDOM = "com.example.some-long-setting.name-20260101"
BASE = Source.of({"train.py": b"lr = 0.1\n", "model.py": b"depth = 4\n"})


@pytest.fixture
def secrets(tmp_path: Path) -> frozenset[bytes]:
    (tmp_path / "login.json").write_text(f'{{"token": "{TOKEN}", "{UNRANDOM}": 1}}')
    return long_words([tmp_path / "login.json"], [])


def leak(train: bytes, secrets: frozenset[bytes], model: bytes = b"", note: bytes = b"") -> object:
    edited = Source.of({"train.py": b"lr = 0.1\n" + train, "model.py": b"depth = 4\n" + model})
    return leaking_file(edited, base=BASE, note=note, secrets=secrets)


def test_an_agent_s_secret_is_found_in_pieces(secrets: frozenset[bytes]) -> None:
    half = TOKEN[13:45].encode()
    assert leak(b"a = '" + half + b"'\n", secrets) == "train.py"
    assert leak(b"a = '" + half.hex().encode() + b"'\n", secrets) == "train.py"
    assert leak(b"", secrets, note=half[::-1]) == "the title"
    first = b"".join(b"# %s\n" % half[at : at + 6] for at in range(0, 32, 6))
    assert leak(first, secrets, model=b"# " + TOKEN[45:51].encode()) in ("train.py", "model.py")


def test_names_and_what_was_there_before_are_no_secrets(secrets: frozenset[bytes]) -> None:
    assert leak(b"# some-long-setting\n", secrets) is None
    assert leak(b"", secrets) is None


def test_what_an_agent_prints_is_shown_without_its_secrets(secrets: frozenset[bytes]) -> None:
    assert shows_secret(f"token: {' '.join(TOKEN[13:40])}", secrets)
    assert not shows_secret(f"reading {UNRANDOM}\nno log-in was needed", secrets)
