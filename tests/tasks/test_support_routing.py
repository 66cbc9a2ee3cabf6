"""The task `support-routing`: tickets one by one, a scripted model behind a real endpoint."""

import importlib.util
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import ModuleType
from typing import Any

import pytest

from tests.tasks.baselines import (
    OTHER_SEED,
    SEED,
    candidate,
    hyperparameters_of,
    moves_of,
    transcript_of,
)
from tests.tasks.judges import load_judge
from trainer.task_folder.folder import BUILTIN_FOLDER

NAME = "support-routing"
TICKETS = 30
PROMPT = "Choose one of these queues:\n- billing\n- returns\nAnswer with one word."


@pytest.fixture
def judge() -> ModuleType:
    """A judge of fewer tickets."""
    judge = load_judge(NAME)
    judge.TICKETS = TICKETS
    return judge


@pytest.fixture(scope="module")
def scripted() -> ModuleType:
    """The model, as the node loads it."""
    path = BUILTIN_FOLDER / NAME / "scripted.py"
    spec = importlib.util.spec_from_file_location("scripted_model", path)
    assert spec is not None
    assert spec.loader is not None
    model = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(model)
    return model


@pytest.fixture
def calls(scripted: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """An endpoint on loopback, and the calls that it gets."""
    asked: list[Any] = []

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((self.path, body))
            content = scripted.answer(body["messages"], 1)
            answer = {"choices": [{"message": {"role": "assistant", "content": content}}]}
            data = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- its name there
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Endpoint)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
    yield asked
    server.shutdown()
    thread.join()
    server.server_close()


def score(judge: ModuleType, instance: Any, route: Any) -> float:
    transcript = transcript_of(judge.converse(instance), route)
    return float(judge.check(instance, transcript)["accuracy"])


def test_the_baseline_is_valid_and_leaves_room(judge: ModuleType, calls: list[Any]) -> None:
    assert 0.05 < score(judge, judge.instance(SEED, "public", 0), candidate(NAME).route) < 0.6
    assert len(calls) == TICKETS
    assert {path for path, _ in calls} == {"/v1/chat/completions"}
    assert {body["model"] for _, body in calls} == {"scripted"}


def test_the_same_seed_gives_the_same_tickets(judge: ModuleType) -> None:
    tickets = judge.instance(SEED, "public", 0)
    assert tickets == judge.instance(SEED, "secret", 2)
    assert tickets != judge.instance(OTHER_SEED, "public", 0)


def test_a_ticket_is_all_that_is_shown(judge: ModuleType) -> None:
    messages = list(judge.converse(judge.instance(SEED, "public", 0)))
    assert [list(message) for message in messages] == [["ticket"]] * TICKETS


def test_the_truth_scores_one(judge: ModuleType) -> None:
    instance = judge.instance(SEED, "public", 0)
    truth = dict(zip(instance["tickets"], instance["queues"], strict=True))
    assert score(judge, instance, lambda message: truth[message["ticket"]]) == 1


@pytest.mark.parametrize(
    "reply",
    [
        None,
        True,
        0,
        10**40,
        [],
        ["billing"],
        {"queue": "billing"},
        "",
        "Billing",
        "billing ",
        "billing\0",
        "billing" * 10**6,
        "nowhere",
        [[[[[]]]]],
    ],
)
def test_a_hostile_reply_is_wrong(judge: ModuleType, reply: Any) -> None:
    instance = judge.instance(SEED, "public", 0)
    with pytest.raises(judge.Wrong):
        score(judge, instance, lambda message: reply)


def test_a_transcript_that_is_not_what_was_said_is_wrong(judge: ModuleType) -> None:
    instance = judge.instance(SEED, "public", 0)
    said = transcript_of(judge.converse(instance), lambda message: "billing")
    altered = [*said[:-1], [{"ticket": "Hello,"}, "billing"]]
    for transcript in (None, [], said[:-1], [*said, said[0]], altered, [said[0]] * TICKETS):
        with pytest.raises(judge.Wrong):
            judge.check(instance, transcript)


@pytest.mark.parametrize("move", moves_of(NAME), ids=lambda move: move.name)
def test_every_move_is_valid_at_two_calls_a_ticket(
    judge: ModuleType, calls: list[Any], move: Any
) -> None:
    assert score(judge, judge.instance(SEED, "public", 0), candidate(NAME, move).route) > 0.05
    assert len(calls) <= 2 * TICKETS


@pytest.mark.parametrize("step", [1, -1])
def test_all_moves_together_route_most_tickets_at_two_calls_each(
    judge: ModuleType, calls: list[Any], step: int
) -> None:
    together = candidate(NAME, *moves_of(NAME)[::step])
    assert score(judge, judge.instance(SEED, "public", 0), together.route) > 0.7
    assert len(calls) == 2 * TICKETS


def chat(scripted: ModuleType, system: str, user: str) -> str:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    return str(scripted.answer(messages, 3))


def test_the_model_gives_the_same_answer_to_the_same_chat(scripted: ModuleType) -> None:
    said = {chat(scripted, PROMPT, "The invoice is wrong. Please correct it.") for _ in range(5)}
    assert len(said) == 1


def test_the_model_answers_from_the_top_of_its_head_without_queues(scripted: ModuleType) -> None:
    said = chat(scripted, "Which team?", "I forgot my password and cannot log in.")
    assert "login" in said.lower()


def test_the_model_learns_a_queue_from_its_definition(scripted: ModuleType) -> None:
    ticket = "The zeppelin has no ballast. Please send ballast."
    lines = "- billing: money\n- airship: zeppelin ballast\nAnswer with one word."
    assert chat(scripted, lines, ticket).lower().startswith("airship")


def test_the_model_learns_a_queue_from_examples(scripted: ModuleType) -> None:
    lines = (
        "- billing\n- airship\nTicket: The zeppelin lost ballast.\nQueue: airship\n"
        "Answer with one word."
    )
    assert chat(scripted, lines, "Our zeppelin is low on ballast.").lower().startswith("airship")


@pytest.mark.parametrize("messages", [[], [{"role": "system", "content": ""}]])
def test_the_model_answers_an_empty_chat_too(scripted: ModuleType, messages: Any) -> None:
    assert isinstance(scripted.answer(messages, 0), str)


def test_hyperparameters_are_constants_of_the_baseline_or_of_moves() -> None:
    assert set(hyperparameters_of(NAME)) == {"LONGEST_TICKET", "DEFINITION_WORDS", "EXAMPLES"}
