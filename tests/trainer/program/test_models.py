"""Programs that ask language models: the endpoint that they get, and the requests allowed."""

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import ArnodeError, ConfigurationError, SafetyError
from tests.trainer.program.tasks import ONE_OF_EACH, Bench, read, write_task
from trainer.measuring.models import (
    KeptModels,
    ModelAnswer,
    ModelFault,
    ModelOutcome,
    ModelQuestion,
)
from trainer.measuring.outcome import RunOutcome
from trainer.program.manifest import spec_of
from trainer.program.profiles import profile_of
from trainer.sandbox import tier as tiers
from trainer.sandbox.tier import Tier, probe_tier
from trainer.task_folder.task import Task

pytestmark = pytest.mark.skipif(
    probe_tier().name != "full", reason="no sandbox here has a network of its own"
)
NOTE = """
import json

def note(what):
    print("NOTED " + json.dumps(what), flush=True)

"""
ASKING = """
import json, os, urllib.error, urllib.request

URL = os.environ["OPENAI_BASE_URL"]


def ask(text, **more):
    told = {"model": "small", "messages": [{"role": "user", "content": text}], **more}
    return post(json.dumps(told).encode())


def post(body, path="/chat/completions"):
    call = urllib.request.Request(URL + path, data=body, method="POST")
    try:
        with urllib.request.urlopen(call) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def said(reply):
    status, text = reply
    told = json.loads(text)
    return told["choices"][0]["message"]["content"] if status == 200 else [status, told["error"]]

"""
SCRIPT = """
def answer(messages, seed):
    return f"{seed % 1000}: {messages[-1]['content']}"
"""
JUDGE = """
def instance(seed, split, index):
    return index


def check(instance, answer):
    return {"error": 0.0}
"""
BUDGET = '[llm]\nmodels = ["any"]\ncalls = 3\ntokens = 1000\n'


@dataclass
class Counting:
    """A model that answers each request with the number of earlier ones."""

    tokens: int = 5
    asked: list[ModelQuestion] = field(default_factory=list)
    fault: ModelFault | None = None

    async def ask(self, question: ModelQuestion) -> ModelOutcome:
        self.asked.append(question)
        if self.fault is not None:
            return self.fault
        number = len(self.asked)
        return ModelAnswer(text=f"answer {number}", tokens_in=self.tokens, tokens_out=self.tokens)


def task_of(folder: Path, body: str, *, llm: str = BUDGET, how: str = "", **files: str) -> Task:
    """Return a task whose program asks a model; its judge accepts any answer."""
    called = f'editable = ["solve.py"]\nentry = "solve.py:solve"\n{how}'
    lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
    source = f"{NOTE}{ASKING}\ndef solve(instance):\n{lines}    return 0\n"
    named = {name.replace("_", "."): text for name, text in files.items()}
    write_task(
        folder,
        how=called,
        judge=JUDGE,
        instances=ONE_OF_EACH,
        more=llm,
        files={"solve.py": source, **named},
    )
    return read(folder)


def noted(outcome: RunOutcome) -> list[Any]:
    """Return the values that a program noted."""
    assert outcome.status == "ok", outcome.reason
    lines = [one for one in outcome.log_tail.splitlines() if one.startswith("NOTED ")]
    return [json.loads(one.removeprefix("NOTED ")) for one in lines]


def run_once(task: Task, models: Counting | None = None) -> list[Any]:
    """Return the values that the baseline noted in a run."""
    with Bench(task, models=KeptModels(models or Counting())) as bench:
        return noted(bench.do(bench.runner.calibrate(1)))


def test_the_models_are_listed(tmp_path: Path) -> None:
    listing = 'with urllib.request.urlopen(URL + "/models") as reply:\n    note(json.load(reply))'
    (listed,) = run_once(task_of(tmp_path, listing))
    assert [one["id"] for one in listed["data"]] == ["any"]


def test_a_program_gets_answers_and_what_they_took(tmp_path: Path) -> None:
    models = Counting(tokens=7)
    (document,) = run_once(
        task_of(tmp_path, 'note(json.loads(ask("hi", temperature=1)[1]))'), models
    )
    assert document["choices"][0]["finish_reason"] == "stop"
    assert document["usage"] == {"prompt_tokens": 7, "completion_tokens": 7, "total_tokens": 14}
    assert {one.model for one in models.asked} == {"small"}
    assert {one.parameters for one in models.asked} == {'{"temperature": 1}'}


def test_an_answer_comes_as_a_stream_if_that_is_asked_for(tmp_path: Path) -> None:
    asking = 'note(ask("hi", stream=True, stream_options={"include_usage": True})[1])'
    (said,) = run_once(task_of(tmp_path, asking))
    pieces = [line.removeprefix("data: ") for line in said.split("\n\n") if line]
    first, usage, last = json.loads(pieces[0]), json.loads(pieces[1]), pieces[2]
    assert first["object"] == "chat.completion.chunk"
    assert first["choices"][0]["delta"]["content"].startswith("answer ")
    assert (usage["usage"]["total_tokens"], last) == (10, "[DONE]")


@pytest.mark.parametrize(
    ("question", "status", "words"),
    [
        ('post(b"{")', 400, "not JSON"),
        ('post(b"[" * 100000)', 400, "not JSON"),
        ('post(json.dumps({"model": "a"}).encode())', 400, "`messages`"),
        ('ask("x", tools=[{}])', 400, "`tools`"),
        ('ask("x", n=2)', 400, "one answer"),
        ('ask("x", max_tokens=0)', 400, "max_tokens"),
        ('post(b"{}", "/embeddings")', 404, "only /v1/chat"),
    ],
)
def test_what_is_no_question_is_refused_and_counts_as_none(
    tmp_path: Path, question: str, status: int, words: str
) -> None:
    task = task_of(tmp_path, f'note(said({question}))\nnote(said(ask("again")))')
    (code, error), answered = run_once(task)
    assert code == status
    assert words in error["message"]
    assert answered.startswith("answer ")


def test_only_the_named_models_answer(tmp_path: Path) -> None:
    named = BUDGET.replace("any", "large")
    ((status, error),) = run_once(task_of(tmp_path, 'note(said(ask("hi")))', llm=named))
    assert (status, error["code"]) == (404, "model_not_found")


def test_the_last_call_of_the_budget_is_answered_and_none_after_it(tmp_path: Path) -> None:
    models = Counting()
    *answers, (status, error) = run_once(
        task_of(tmp_path, 'for at in range(4): note(said(ask(f"question {at}")))'), models
    )
    assert len(answers) == 3
    assert (status, error["code"]) == (429, "insufficient_quota")
    assert "all 3 calls" in error["message"]
    assert len(models.asked) == 6  # three for each instance


def test_an_answer_that_would_pass_the_budget_is_not_handed_over(tmp_path: Path) -> None:
    models = Counting(tokens=200)
    first, second, third = run_once(
        task_of(tmp_path, 'for at in range(3): note(said(ask(f"question {at}")))'), models
    )
    assert (first[:6], second[:6]) == ("answer", "answer")
    assert third[0] == 429
    assert "takes 400 tokens, and 200 are left" in third[1]["message"]


def test_a_budget_is_dealt_out_to_instances(tmp_path: Path) -> None:
    task = task_of(tmp_path, "pass", llm=BUDGET.replace("calls = 3", "calls = 1"))
    assert spec_of(task.manifest).llm is not None
    few = BUDGET.replace("calls = 3", "calls = 0")
    with pytest.raises(ConfigurationError, match=r"llm\.calls"):
        task_of(tmp_path, "pass", llm=few)


def test_who_asks_the_same_again_gets_the_same_and_nobody_is_asked(tmp_path: Path) -> None:
    task = task_of(tmp_path, 'for at in range(3): note(said(ask("the same")))')
    models = Counting()
    with Bench(task, models=KeptModels(models)) as bench:
        first = noted(bench.do(bench.runner.calibrate(1)))
        assert len(models.asked) == 6
        again = noted(bench.do(bench.runner.run(task.source, 1)))
        assert len(models.asked) == 6
        other = noted(bench.do(bench.runner.run(task.source, 2)))
    assert len(set(first)) == 3  # the number of earlier requests counts as well
    assert first == again
    assert set(other).isdisjoint(first)
    assert len(models.asked) == 12


def test_a_kept_answer_costs_what_it_cost_at_first(tmp_path: Path) -> None:
    task = task_of(tmp_path, 'for at in range(4): note(said(ask("the same")))')
    models = Counting(tokens=150)
    with Bench(task, models=KeptModels(models)) as bench:
        first = noted(bench.do(bench.runner.calibrate(1)))
        again = noted(bench.do(bench.runner.run(task.source, 1)))
    assert first == again
    assert [one[0] for one in first[3:]] == [429]


def test_a_model_that_is_away_is_no_fault_of_the_program(tmp_path: Path) -> None:
    models = Counting(fault=ModelFault(detail="the server is away", is_askers=False))
    task = task_of(tmp_path, 'ask("hi")')
    with (
        Bench(task, models=KeptModels(models)) as bench,
        pytest.raises(ArnodeError, match="the server is away"),
    ):
        bench.do(bench.runner.calibrate(1))


SCRIPTED = '[llm]\nmodels = ["scripted"]\nscript = "scripted.py"\ncalls = 3\ntokens = 1000\n'


def test_a_script_answers_the_same_on_every_run(tmp_path: Path) -> None:
    task = task_of(
        tmp_path, 'note(said(ask("hi", model="scripted")))', llm=SCRIPTED, scripted_py=SCRIPT
    )
    found = []
    for _ in range(2):
        with Bench(task) as bench:
            found.append(noted(bench.do(bench.runner.calibrate(1))))
    assert found[0] == found[1]
    assert found[0][0].endswith(": hi")


def test_a_script_that_fails_is_a_fault_that_the_program_sees(tmp_path: Path) -> None:
    body = 'note(said(ask("hi", model="scripted"))[0])'
    failing = "def answer(messages, seed):\n    raise ValueError\n"
    task = task_of(tmp_path, body, llm=SCRIPTED, scripted_py=failing)
    with Bench(task) as bench:
        assert noted(bench.do(bench.runner.calibrate(1))) == [503]


def test_a_script_is_part_of_a_task_and_hidden_from_its_programs(tmp_path: Path) -> None:
    files = "note([str(one) for one in __import__('pathlib').Path('/job').rglob('*')])"
    task = task_of(tmp_path / "a", files, llm=SCRIPTED, scripted_py=SCRIPT)
    other = task_of(tmp_path / "b", files, llm=SCRIPTED, scripted_py=SCRIPT + "# other")
    assert task.id != other.id
    with Bench(task) as bench:
        (seen,) = noted(bench.do(bench.runner.calibrate(1)))
    assert not [path for path in seen if "script" in path]


def test_a_script_and_its_model_come_together(tmp_path: Path) -> None:
    for llm in (
        SCRIPTED.replace('script = "scripted.py"\n', ""),
        SCRIPTED.replace('["scripted"]', '["any"]'),
    ):
        with pytest.raises(ConfigurationError, match=r"llm\.script"):
            task_of(tmp_path, "pass", llm=llm, scripted_py=SCRIPT)


def test_a_task_that_asks_a_model_is_refused_where_there_is_none(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigurationError, match="ask language models"),
        Bench(task_of(tmp_path, "pass")),
    ):
        pass


# No other destination


@pytest.fixture
def listening() -> Iterator[int]:
    """Return a port of this machine with a listening server."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


REACHING = """
import socket

def tried(what):
    try:
        what()
        return "done"
    except OSError as error:
        return type(error).__name__

def connect(host, port, family=socket.AF_INET, kind=socket.SOCK_STREAM, protocol=0):
    with socket.socket(family, kind, protocol) as one:
        one.settimeout(2)
        one.connect((host, port))

note({
    "a port of this machine": tried(lambda: connect("127.0.0.1", LISTENING)),
    "another host": tried(lambda: connect("192.0.2.1", 80)),
    "a name server": tried(lambda: connect("8.8.8.8", 53)),
    "IPv6": tried(lambda: connect("2001:db8::1", 80, socket.AF_INET6)),
    "a datagram": tried(lambda: connect("8.8.8.8", 53, kind=socket.SOCK_DGRAM)),
    "multipath": tried(lambda: connect("127.0.0.1", LISTENING, protocol=262)),
    "a local socket": tried(lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)),
    "netlink": tried(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)),
    "packets": tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)),
    "a pair that sends to others": tried(
        lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ),
    "a new process": tried(os.fork),
    "where it lies": tried(lambda: open("/proc/self/mountinfo").read()),
})
note(tried(lambda: socket.socketpair()))
note(sorted(name for name, value in os.environ.items() if "KEY" in name or "sk-" in value))
note(os.environ["OPENAI_API_KEY"])
"""


def test_no_other_host_and_no_key_is_reachable(
    tmp_path: Path, listening: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    tried, pair, keys, key = run_once(
        task_of(tmp_path, REACHING.replace("LISTENING", str(listening)))
    )
    assert "done" not in tried.values()
    assert pair == "done"
    assert (keys, key) == (["OPENAI_API_KEY"], "arnode")


def test_without_the_section_there_is_neither_endpoint_nor_socket(tmp_path: Path) -> None:
    body = (
        "import socket\ntry:\n    socket.socket()\nexcept PermissionError:\n"
        '    note(sorted(name for name in os.environ if "OPENAI" in name))'
    )
    task = task_of(tmp_path, body, llm="")
    source = task.source["solve.py"].replace(b'os.environ["OPENAI_BASE_URL"]', b'""')
    (tmp_path / "solve.py").write_bytes(source)
    with Bench(read(tmp_path)) as bench:
        assert noted(bench.do(bench.runner.calibrate(1))) == [[]]


@pytest.mark.parametrize("name", ["container", "partial"])
def test_where_there_is_no_network_to_give_it_one_error_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: Any
) -> None:
    weaker = Tier(name=name, detail="a test's", hint="install bubblewrap")
    monkeypatch.setattr(tiers, "probe_tier", lambda: weaker)
    task = task_of(tmp_path, "pass")
    with pytest.raises(
        SafetyError, match=f"only sandbox tier full has; this machine has tier {name}"
    ):
        tiers.make_backend(profile_of(task.manifest))


# Unmodified clients

OPENAI = """
from openai import OpenAI, RateLimitError

def solve(instance):
    client = OpenAI()
    chat = [{"role": "user", "content": "hi"}]
    told = client.chat.completions.create(model="scripted", messages=chat, temperature=0)
    note([told.choices[0].message.content, told.usage.total_tokens])
    pieces = client.chat.completions.create(model="scripted", messages=chat, stream=True)
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces)
    note(text)
    client.chat.completions.create(model="scripted", messages=chat)
    try:
        client.chat.completions.create(model="scripted", messages=chat)
    except RateLimitError as error:
        note(str(error))
    return 0
"""
LITELLM = """
import litellm

def solve(instance):
    chat = [{"role": "user", "content": "hi"}]
    told = litellm.completion(model="openai/scripted", messages=chat)
    note([told.choices[0].message.content, told.usage.total_tokens])
    return 0
"""
ASYNC = """
import asyncio
from openai import AsyncOpenAI

async def ask(client, text):
    chat = [{"role": "user", "content": text}]
    told = await client.chat.completions.create(model="scripted", messages=chat)
    return told.choices[0].message.content

async def ask_all():
    client = AsyncOpenAI()
    return await asyncio.gather(*(ask(client, text) for text in ("a", "b")))

def solve(instance):
    note(asyncio.run(ask_all()))
    return 0
"""


def run_client(folder: Path, package: str, source: str) -> list[Any]:
    pytest.importorskip(package)
    head = f'editable = ["solve.py"]\nentry = "solve.py:solve"\nrequires = ["{package}"]\n'
    files = {"solve.py": NOTE + source, "scripted.py": SCRIPT}
    write_task(folder, how=head, judge=JUDGE, instances=ONE_OF_EACH, more=SCRIPTED, files=files)
    with Bench(read(folder)) as bench:
        return noted(bench.do(bench.runner.calibrate(1)))


@pytest.mark.soak
def test_the_openai_client_works_with_no_edit(tmp_path: Path) -> None:
    (text, tokens), streamed, refused = run_client(tmp_path, "openai", OPENAI)
    assert text.endswith(": hi")
    assert text == streamed
    assert tokens == 1 + -(-len(text) // 4)
    assert "all 3 calls of this instance are made" in refused


@pytest.mark.soak
def test_the_openai_client_asks_several_at_once(tmp_path: Path) -> None:
    ((first, second),) = run_client(tmp_path, "openai", ASYNC)
    assert (first[-3:], second[-3:]) == (": a", ": b")


@pytest.mark.soak  # the import takes seconds, and it uses OpenAI's client
def test_litellm_works_with_no_edit(tmp_path: Path) -> None:
    ((text, _),) = run_client(tmp_path, "litellm", LITELLM)
    assert text.endswith(": hi")


def test_a_command_finds_the_endpoint_as_well(tmp_path: Path) -> None:
    how = 'editable = ["solve.py"]\nrun = ["python", "solve.py"]\n'
    source = ASKING + 'import sys\nprint("NOTED", json.dumps(said(ask("hi"))), file=sys.stderr)\n'
    source += "print(0)\n"
    write_task(
        tmp_path,
        how=how + 'encoding = "json"\n',
        judge=JUDGE,
        instances=ONE_OF_EACH,
        more=BUDGET,
        files={"solve.py": source},
    )
    assert run_once(read(tmp_path))[0].startswith("answer ")
