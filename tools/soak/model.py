"""A short night with a slow model that takes a minute per answer, disappears and returns.

Two nodes run one after the other: first with the built-in search alone, then with a model. Its
server on loopback answers after `ANSWER_S`, closes its port for `GONE_MINUTES` and returns. The
device counts as idle while no source builds, trains, is exported or scored, by the stages that the
node recorded. The node's accounting of model calls is compared with the server's.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from agent.source.literals import find_hyperparameters
from node.home.home import Home
from node.line.experiment import ExperimentStep
from node.store.jobs import decode_outcome
from node.store.store import Store
from tests.llm_server import TOKENS_IN, TOKENS_OUT, LlmServer, hangs_up, says
from tools.dying import dying
from trainer.measuring.timeline import AHEAD, Stage
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task

ANSWER_S = 60.0
THERE_MINUTES = GONE_MINUTES = AGAIN_MINUTES = 10.0  # the node looks for it every 5 minutes
ALONE_MINUTES = 5.0
MOST_IDLE = 0.03
ANSWER = """\
TITLE: A larger {name}
WHY: It may be too small.
train.py
<<<<<<< SEARCH
{before}
=======
{after}
>>>>>>> REPLACE
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A time span, in milliseconds since 1970."""

    start_ms: int
    end_ms: int


class SlowModel:
    """A model that proposes a new value of the next hyperparameter, and counts its answers."""

    def __init__(self, task: Task) -> None:
        hyperparameters = find_hyperparameters(task.source, task.editable, task.hyperparameters)
        self._names = [
            hyperparameter.name
            for hyperparameter in hyperparameters
            if isinstance(hyperparameter.value, float) and hyperparameter.value
        ]
        self._asked = self.answered = 0

    async def reply(self, server: LlmServer, request: web.Request) -> web.StreamResponse:
        """Answer the latest question with a delay; hang up if the server closes before."""
        text = "\n".join(turn["content"] for turn in server.questions[-1]["messages"])
        name = self._names[self._asked % len(self._names)]
        self._asked += 1
        # The first match is in the current source. Later ones are in quotes of other sources.
        found = re.search(rf"^{name} = ([\d.e-]+)", text, re.MULTILINE)
        assert found is not None, f"the prompt shows no {name}"
        larger = float(f"{float(found[1]) * (1 + 0.03 * self._asked):.4g}")
        try:
            async with asyncio.timeout(ANSWER_S):
                await server.over()
        except TimeoutError:
            self.answered += 1
            answer = ANSWER.format(name=name, before=found[0], after=f"{name} = {larger}")
            return await says(answer)(server, request)
        return await hangs_up()(server, request)


def run_model(folder: Path) -> dict[str, object]:
    """Run both nodes, and return the figures of device use and model calls."""
    root = folder / f"model-{int(time.time())}"
    alone, home = root / "alone", root / "node"
    with _node(alone, ARNODE_AGENT="search") as node:
        _wait(node, ALONE_MINUTES)
    model = SlowModel(load_task("tiny", data_dir=folder / "data"))
    server = LlmServer(model.reply)
    with contextlib.ExitStack() as outlives:
        with server:
            node = outlives.enter_context(
                _node(home, ARNODE_AGENT="small", ARNODE_LLM_URL=server.url)
            )
            there = _wait(node, THERE_MINUTES)
        gone = _wait(node, GONE_MINUTES)
        with server:
            again = _wait(node, AGAIN_MINUTES)
    stages, of_search_alone = _stages(home), _stages(alone)
    tried_gone, tried_again = _tried(home, gone), _tried(home, again)
    idle = _idle_share(stages, None)
    costs = _model_costs(home)
    figures = {
        "answer_s": ANSWER_S,
        "minutes": [ALONE_MINUTES, THERE_MINUTES, GONE_MINUTES, AGAIN_MINUTES],
        "idle_share": idle,
        "idle_share_there": _idle_share(stages, there),
        "idle_share_gone": _idle_share(stages, gone),
        "idle_share_again": _idle_share(stages, again),
        "idle_share_of_hyperparameters_alone": _idle_share(of_search_alone, None),
        "runs_per_minute": _runs_a_minute(stages),
        "runs_per_minute_of_hyperparameters_alone": _runs_a_minute(of_search_alone),
        "tried_there": _tried(home, there),
        "tried_gone": tried_gone,
        "tried_again": tried_again,
        "answers": model.answered,
        "tokens_of_answers": model.answered * (TOKENS_IN + TOKENS_OUT),
        **costs,
    }
    holds = (
        idle < MOST_IDLE
        and costs["tokens_settled"] == figures["tokens_of_answers"]
        and min(tried_gone.get("search", 0), tried_again.get("llm", 0)) > 0
    )
    return {**figures, "holds": holds}


@contextlib.contextmanager
def _node(home: Path, **settings: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a node on `tiny` for the length of a block. It ends after its current run."""
    home.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "ARNODE_HOME": str(home), **settings}
    command = [sys.executable, "-m", "node", "start", "--task", "tiny", "--network", "none"]
    # A background job of a shell, and so its children, ignore SIGINT by default.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(dying(command), env=environment) as node:
        try:
            yield node
        finally:
            node.send_signal(signal.SIGINT)
            node.wait()


def _wait(node: "subprocess.Popen[bytes]", minutes: float) -> Span:
    """Wait, and return the time span. Raises CalledProcessError if the node ended."""
    start_ms = int(time.time() * 1000)
    with contextlib.suppress(subprocess.TimeoutExpired):
        raise subprocess.CalledProcessError(node.wait(minutes * 60), node.args)
    return Span(start_ms=start_ms, end_ms=int(time.time() * 1000))


def _stages(home: Path) -> list[Stage]:
    """Return the stages in which the device worked, in order of their start."""
    with sqlite3.connect(Home(home).store) as database:
        rows = database.execute("SELECT outcome FROM planned_run WHERE outcome IS NOT NULL")
        stages = [stage for (data,) in rows for stage in decode_outcome(data).stages]
    return sorted(
        (stage for stage in stages if stage.name not in AHEAD), key=lambda stage: stage.start_ms
    )


def _idle_share(stages: list[Stage], span: Span | None) -> float:
    """Return the share of a span, from the first run on, in which the device was idle."""
    start_ms = max(stages[0].start_ms, span.start_ms if span else 0)
    end_ms = span.end_ms if span else max(stage.end_ms for stage in stages)
    busy_ms, reached_ms = 0, start_ms
    for stage in stages:
        begins_ms, ends_ms = max(stage.start_ms, reached_ms), min(stage.end_ms, end_ms)
        if ends_ms > begins_ms:
            busy_ms, reached_ms = busy_ms + ends_ms - begins_ms, ends_ms
    return round(1 - busy_ms / (end_ms - start_ms), 4)


def _runs_a_minute(stages: list[Stage]) -> float:
    span_ms = max(stage.end_ms for stage in stages) - stages[0].start_ms
    return round(sum(stage.counts for stage in stages) * 60_000 / span_ms, 2)


def _tried(home: Path, span: Span) -> dict[str, int]:
    """Return the number of experiments by proposer that started in a span."""
    with Store.open_read_only(Home(home)) as store:
        (line,) = store.jobs.lines()
        jobs = store.jobs.closed_jobs(line.key, ExperimentStep)
    return Counter(
        job.step.idea.proposer for job in jobs if span.start_ms <= job.created_ms < span.end_ms
    )


def _model_costs(home: Path) -> dict[str, int]:
    """Return the node's recorded questions and their total cost."""
    with sqlite3.connect(Home(home).store) as database:
        rows = database.execute(
            "SELECT state, count(*), sum(tokens_in + tokens_out) FROM model_call"
            " WHERE tokens_in + tokens_out > 0 GROUP BY state"
        )
        found = {state: (calls, tokens) for state, calls, tokens in rows}
    said = subprocess.run(
        [sys.executable, "-m", "node", "status", "--json"],
        env={**os.environ, "ARNODE_HOME": str(home)},
        stdout=subprocess.PIPE,
        check=True,
    )
    settled, unknown = found.get("settled", (0, 0)), found.get("unknown", (0, 0))
    reserved = found.get("reserved", (0, 0))
    return {
        "answers_settled": settled[0],
        "tokens_settled": settled[1],
        "answers_cut_off": unknown[0] + reserved[0],
        "tokens_of_those_cut_off": unknown[1] + reserved[1],
        "tokens_today": json.loads(said.stdout)["cost"]["tokens_today"],
    }
