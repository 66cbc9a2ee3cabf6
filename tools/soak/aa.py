"""An A/A test: a node whose proposals all change nothing, so that any gain is chance.

It holds if nothing was adopted and no run was rejected, timed out or failed.
"""

import asyncio
import subprocess
import sys
from collections import Counter
from pathlib import Path

from agent.proposal import Context, Proposal
from agent.source.edits import line_edit
from node.home.config import Config
from node.home.home import Home
from node.line.open_task import find_task
from node.loop.session_plan import Goal
from node.proposing.opening import Proposers
from node.running.answers import answers_of
from node.running.node import open_node
from node.running.served import run_node
from node.store.store import Store
from node.terminal.progress import reporting
from protocol.record_kinds import ResultBody
from tests.node.line_writers import proposal_by

_AT_ONCE = 20  # experiments of one session; the number of runs is checked between sessions


class NoEffectProposer:
    """A proposer that adds an unread constant: a new canonical AST, but the same training."""

    def propose(self, context: Context) -> Proposal | None:
        """Return a patch that changes nothing in the training."""
        path = context.editable[0]
        text = context.source[path].decode()
        at = text.index("\nimport ") + 1
        for number in range(1_000_000):
            edit = line_edit(path, text, at, at, f"NOTHING_{number} = {number}\n")
            title = f"Change nothing, for the {number}th time"
            proposal = proposal_by(
                edit, context.source, key=f"nothing:{number}", title=title, proposer="null"
            )
            if proposal and not context.tried(proposal.fingerprint):
                return proposal
        return None


def run_aa(home: Path, runs: int, task: str = "tiny") -> dict[str, object]:
    """Let the node work until `runs` runs have ended, and return the figures. Resumable."""
    place = Home(home)
    while (counted := _figures(place))["runs"] < runs:  # type: ignore[operator]
        subprocess.run([sys.executable, "-m", "tools.soak.aa", str(home), task], check=True)
    return counted


def _figures(home: Home) -> dict[str, object]:
    statuses: Counter[str] = Counter()
    reasons: list[str] = []
    stages: Counter[str] = Counter()
    contended = 0
    if not home.store.exists():
        return {"runs": 0}
    with Store.open_read_only(home) as store:
        for record in store.records.listed("result"):
            assert isinstance(record.body, ResultBody)
            stages[record.body.stage] += 1
            for run in record.body.runs:
                statuses[run.status] += 1
                contended += "contended" in run.flags
                reasons += [run.reason] if run.reason else []
        adoptions = len(store.records.listed("adopt"))
    return {
        "runs": sum(statuses.values()),
        "statuses": dict(statuses),
        "stages": dict(stages),
        "contended": contended,
        "reasons": reasons,
        "adoptions": adoptions,
        "holds": adoptions == 0 and set(statuses) == {"ok"},
    }


async def _work(home: Home, task_name: str) -> None:
    config = Config(task=task_name)
    with reporting() as progress:
        task = find_task(home, name=task_name, text=None, progress=progress)
        async with open_node(
            home,
            config,
            task,
            Goal(max_experiments=_AT_ONCE),
            proposers=Proposers(fast=NoEffectProposer()),
            progress=progress,
        ) as node:
            await run_node(node, answers_of(node))


def main() -> None:
    """Run one session of the node."""
    home = Home(Path(sys.argv[1]))
    home.prepare()
    with home.lock():
        asyncio.run(_work(home, sys.argv[2]))


if __name__ == "__main__":
    main()
