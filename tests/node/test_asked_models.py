"""A node's model as a task's programs ask it: the same worker, the same limits, nobody's key."""

import asyncio
import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest

from node.home.config import Config
from node.home.home import Home
from node.on_demand.session import models_here
from node.proposing.asked import lent_models
from node.proposing.choice import Choice, ModelChoice, OwnChoice, arms_of
from node.terminal.progress import silent
from protocol.errors import ArnodeError, ConfigurationError
from tests.llm_server import TOKENS_IN, TOKENS_OUT, LlmServer, refuses, says
from tests.trainer.program.tasks import ONE_OF_EACH, read, write_task
from tests.workers import KEY, KEYS, configured
from trainer.measuring.models import (
    KeptModels,
    ModelAnswer,
    ModelFault,
    ModelMessage,
    ModelOutcome,
    ModelQuestion,
)
from trainer.measuring.outcome import RunOutcome
from trainer.runner import Runner
from trainer.sandbox.tier import probe_tier
from trainer.task_folder.task import Task
from trainer.task_kinds import kind_of

pytestmark = pytest.mark.usefixtures("light_worker")

JUDGE = """
def instance(seed, split, index):
    return split


def check(instance, answer):
    return {"error": 0.0}
"""
SOLVE = """
import json, os
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it looks for one outside
import openai

MORE = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 50}

def by_openai():
    return openai.OpenAI().chat.completions.create(model="gpt-5", **MORE)

def by_litellm():
    import litellm  # whose errors are openai's; seconds, which one of the instances is enough for
    return litellm.completion(model="openai/gpt-5", num_retries=0, **MORE)

def solve(instance):
    asks = (by_openai, by_litellm) if instance == "public" else (by_openai, by_openai)
    for ask in (*asks, *asks):
        try:
            told = ask()
            said = [told.choices[0].message.content, told.usage.total_tokens]
        except openai.RateLimitError as error:
            said = str(error)
        print("NOTED " + json.dumps(said), flush=True)
    print("NOTED " + json.dumps(sorted(os.environ.values())), flush=True)
    return 0
"""
BUDGET = '[llm]\nmodels = ["any"]\ncalls = 2\ntokens = 1000\n'


def task_of(folder: Path, llm: str = BUDGET) -> Task:
    how = 'editable = ["solve.py"]\nentry = "solve.py:solve"\nrequires = ["litellm", "openai"]\n'
    files = {"solve.py": SOLVE, "scripted.py": "def answer(messages, seed):\n    return 'x'\n"}
    write_task(folder, how=how, judge=JUDGE, instances=ONE_OF_EACH, more=llm, files=files)
    return read(folder)


def question(model: str = "any") -> ModelQuestion:
    message = ModelMessage(role="user", content="hi")
    return ModelQuestion(model=model, messages=(message,), parameters="{}", most_tokens=50, seed=1)


def ask_once(home: Home, config: Config, task: Task, model: str = "any") -> ModelOutcome:
    async def ask() -> ModelOutcome:
        choice = arms_of(config)[0].choice
        async with lent_models(
            home, config, task.manifest, choice, KEYS, has_company=True
        ) as models:
            assert models is not None
            return await models.ask(question(model), run_seed=1, turn=0)

    return asyncio.run(ask())


def noted(outcome: RunOutcome) -> list[Any]:
    assert outcome.status == "ok", (outcome.reason, outcome.log_tail)
    lines = [one for one in outcome.log_tail.splitlines() if one.startswith("NOTED ")]
    return [json.loads(one.removeprefix("NOTED ")) for one in lines]


@pytest.mark.soak
@pytest.mark.skipif(probe_tier().name != "full", reason="no sandbox here has a network of its own")
def test_a_program_asks_the_nodes_model_with_clients_of_its_own(home: Home, tmp_path: Path) -> None:
    task = task_of(tmp_path)
    data = kind_of(task.manifest).prepare(task, data_dir=tmp_path, progress=lambda *_: None)

    async def run_twice(config: Config) -> list[RunOutcome]:
        async with lent_models(
            home, config, task.manifest, arms_of(config)[0].choice, KEYS, has_company=True
        ) as models:
            runner = Runner(task, data, audit_key=bytes(32), patience_s=0.0, models=models)
            try:
                first = await runner.calibrate(1)
                return [first, await runner.run(task.source, 1)]
            finally:
                await runner.close()

    with LlmServer(says("one"), says("two"), says("three"), says("four"), says("five")) as server:
        outcomes = asyncio.run(run_twice(configured(server.url)))
        questions = server.questions
    by_openai, by_litellm, *refused, environment = noted(outcomes[0])
    assert noted(outcomes[1]) == noted(outcomes[0])
    assert {by_openai[0], by_litellm[0]} < {"one", "two", "three", "four"}
    assert by_openai[1] == by_litellm[1] == TOKENS_IN + TOKENS_OUT
    assert ["all 2 calls of this instance are made" in one for one in refused] == [True, True]
    assert len(questions) == 4  # of both instances, once
    assert {one["model"] for one in questions} == {"small"}
    assert not [value for value in environment if KEY in value or server.url in value]


def test_the_answer_and_its_tokens_are_the_servers(home: Home, tmp_path: Path) -> None:
    with LlmServer(says("hello")) as server:
        answer = ask_once(home, configured(server.url), task_of(tmp_path))
    assert answer == ModelAnswer(text="hello", tokens_in=TOKENS_IN, tokens_out=TOKENS_OUT)


def test_a_fault_of_the_server_is_nobodys_who_asks(home: Home, tmp_path: Path) -> None:
    with LlmServer(refuses(401)) as server:
        fault = ask_once(home, configured(server.url), task_of(tmp_path))
    assert isinstance(fault, ModelFault)
    assert not fault.is_askers


def test_the_limits_of_the_day_hold(home: Home, tmp_path: Path) -> None:
    with LlmServer(says("hello")) as server:
        fault = ask_once(home, configured(server.url, calls_per_day=0), task_of(tmp_path))
        assert not server.questions
    assert isinstance(fault, ModelFault)
    assert "calls_per_day" in fault.detail


def test_who_asks_for_a_model_by_name_gets_no_other(home: Home, tmp_path: Path) -> None:
    task = task_of(tmp_path, BUDGET.replace("any", "large"))
    with LlmServer(says("hello")) as server:
        fault = ask_once(home, configured(server.url), task, "large")
        assert not server.questions
    assert isinstance(fault, ModelFault)
    assert "large is asked for, but the node has small" in fault.detail


def lent(home: Home, task: Task, choice: Choice, *, has_company: bool) -> KeptModels | None:
    async def entered() -> KeptModels | None:
        async with lent_models(
            home, Config(), task.manifest, choice, KEYS, has_company=has_company
        ) as models:
            return models

    return asyncio.run(entered())


def test_a_task_that_asks_none_of_the_nodes_models_is_lent_none(
    home: Home, tmp_path: Path, short_task: Task
) -> None:
    built_in = OwnChoice(name="search")
    assert lent(home, short_task, built_in, has_company=True) is None
    scripted = '[llm]\nmodels = ["scripted"]\nscript = "scripted.py"\ncalls = 1\ntokens = 1000\n'
    assert lent(home, task_of(tmp_path, scripted), built_in, has_company=True) is None


def test_where_no_model_is_chosen_one_error_says_so(home: Home, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="but none is set"):
        lent(home, task_of(tmp_path), OwnChoice(name="search"), has_company=False)


def test_peers_programs_reach_models_of_this_machine_alone(home: Home, tmp_path: Path) -> None:
    task = task_of(tmp_path)
    far = ModelChoice(name="far", model="openai/far", url="https://models.example/v1")
    for choice in (far, dataclasses.replace(far, url=None)):
        with pytest.raises(ConfigurationError, match="peers' programs for task"):
            lent(home, task, choice, has_company=True)
    with pytest.raises(ArnodeError) as caught:  # nobody knows what it costs, and asks no further
        lent(home, task, dataclasses.replace(far, url=None), has_company=False)
    assert "peers" not in caught.value.message


@pytest.mark.parametrize(
    ("llm", "is_lent"),
    [(BUDGET, True), (f'{BUDGET.replace("any", "scripted")}script = "scripted.py"\n', False)],
)
def test_a_command_that_measures_lends_the_model_that_settings_name(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, llm: str, is_lent: bool
) -> None:
    monkeypatch.setenv("MODEL_KEY", KEY)
    task = task_of(tmp_path, llm)

    async def answer(config: Config) -> ModelOutcome | None:
        async with models_here(home, config, task.manifest, silent) as models:
            return None if models is None else await models.ask(question("any"), run_seed=1, turn=0)

    with LlmServer(says("hello")) as server:
        found = asyncio.run(answer(configured(server.url)))
        assert "MODEL_KEY" not in os.environ or not is_lent, "children would inherit it"
    assert (found is not None) == is_lent
    assert found is None or isinstance(found, ModelAnswer)
