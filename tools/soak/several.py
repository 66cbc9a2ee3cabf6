"""Two proposers for one real node, one of them better by design, compared with each alone.

The built-in search finds most possible gains on `tiny-short`. A scripted model changes constants
at random, which hardly ever helps. Each session has the same number of experiments and its own
home. Its line's true gain is then measured on seeds that no session used. Runs are bit-identical
however busy the machine is, so the result does not depend on time.
"""

import asyncio
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from aiohttp import web

from node.home.home import Home
from node.line.experiment import ExperimentStep
from node.store.blobs import Blobs
from node.store.store import Store
from tests.llm_server import LlmServer, says
from tools.dying import dying
from tools.soak.measuring import MEASURED_SEEDS, measure, open_runner, worth_of
from tools.soak.scripted_model import rash_edit
from trainer.task_kinds import load_task

_TASK: Final = "tiny-short"
_EXPERIMENTS: Final = 100  # one night on tasks of the intended size
_SEEDS: Final = MEASURED_SEEDS[:12]
_MODEL: Final = "small"
_SESSIONS: Final[Mapping[str, Sequence[str]]] = {
    "search": ("search",),
    "model": (_MODEL,),
    "both": ("search", _MODEL),
}
_LEAST_SHARE: Final = 0.9  # of the gain of the better proposer alone

Figures = Mapping[str, object]


def run_several(home: Path) -> Figures:
    """Run or resume the three sessions, and measure their lines."""
    chance = random.Random(1)

    async def reply(server: LlmServer, request: web.Request) -> web.StreamResponse:
        return await says(rash_edit(str(server.questions[-1]["messages"]), chance))(server, request)

    with LlmServer(reply) as server:
        for name, agents in _SESSIONS.items():
            _play(Home(home / name), agents, server.url)
    results = {name: _ended(Home(home / name)) for name in _SESSIONS}
    gains = asyncio.run(_gains(home))
    share = gains["both"][0] / max(gains["search"][0], gains["model"][0])
    return {
        "holds": share >= _LEAST_SHARE,
        "experiments": results,
        "gain_and_its_error": gains,
        "both_beside_the_better": round(share, 3),
    }


def _play(home: Home, agents: Sequence[str], url: str) -> None:
    home.prepare()
    left = _EXPERIMENTS - sum(_ended(home).values())
    if left <= 0:
        return
    command = [sys.executable, "-m", "node", "start", "--task", _TASK, "--network", "none"]
    command += ["--web", "none", "--lanes", "1", "--max-experiments", str(left)]
    for agent in agents:
        command += ["--agent", agent]
    with (home.root / "said").open("ab") as said:
        subprocess.run(
            dying(command),
            env={
                **os.environ,
                "ARNODE_HOME": str(home.root),
                "ARNODE_LLM_URL": url,
                "ARNODE_QUIET_MINUTES": "0",  # other processes use this machine
            },
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            check=True,
        )
    print(f"  {home.root.name}: {_ended(home)}", file=sys.stderr, flush=True)


def _ended(home: Home) -> dict[str, int]:
    """Return the number of ended experiments of each arm."""
    with Store.open_read_only(home) as store:
        keys = [line.key for line in store.jobs.lines()]
        jobs = [job for key in keys for job in store.jobs.closed_jobs(key, ExperimentStep)]
    return dict(Counter(job.step.idea.arm for job in jobs if job.step.idea.arm is not None))


async def _gains(home: Path) -> dict[str, tuple[float, float]]:
    """Return the gain of each session's line over the baseline, with its standard error."""
    task = load_task(_TASK, data_dir=home / "data")
    sources = {"baseline": task.source}
    for name in _SESSIONS:
        own = Home(home / name)
        with Store.open_read_only(own) as store:
            (line,) = store.jobs.lines()
        sources[name] = Blobs(own.blobs).get_source(line.working)
    async with open_runner(task, home) as runner:
        await measure(runner, sources, seeds=_SEEDS)
        worths = {
            name: worth_of(runner.kept, task.source, sources[name], seeds=_SEEDS)
            for name in _SESSIONS
        }
    return {name: (round(one.gain, 4), round(one.error, 4)) for name, one in worths.items()}
