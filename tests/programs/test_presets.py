"""Each preset is started as a node starts it: the newest program, in the agent sandbox, to an edit.

Only the provider is a script of ours; it speaks in the provider's own words
(`tests.programs.scripts`), and the program does not know better.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.command import TITLE_FILE
from agent.model.prompt import errand
from agent.proposal import Brief, Context, NoProposal, Proposal
from agent.source.allow_lists import TRAINING
from agent.source.capabilities import Checked
from node.home.config import Config
from node.home.home import Home
from node.proposing.command import command_proposer
from node.proposing.presets import is_shown_files
from node.store.model_calls import ModelCostTotals
from protocol.source import Source
from tests.llm_server import LlmServer, Reply, page, refuses
from tests.programs import installed
from tests.programs.scripts import USED, Turn, anthropic, chat, responses
from tests.workers import passing_budget
from trainer.sandbox import tier as tiers
from trainer.sandbox.confined import THROWAWAY_UIDS
from trainer.sandbox.landlock import can_scope_signals

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

KEY = "sk-test-0123456789abcdef"
OTHER = "sk-other-fedcba9876543210"  # in the node's environment, and nobody's business
BASE = Source.of({"train.py": b"WIDTH = 64\nDEPTH = 4\n"})
EDITED = Source.of({"train.py": b"WIDTH = 96\nDEPTH = 4\n"})
BRIEF = Brief(
    task="short", program="Make it better.\n", metric="val_bpb", unit="bits per byte",
    is_minimised=True, budget="64 tokens", hardware_class="cpu-x86_64", limits="", measured="",
    noise_sd=0.01, base=None,
    imports=TRAINING.imports,
)  # fmt: skip
CONTEXT = Context(
    source=BASE, editable=("train.py",), hyperparameters=(), moves=(), history=(),
    tried=lambda _mark: False, seed=1, brief=BRIEF,
)  # fmt: skip
SED = "sed -i s/64/96/ train.py"
PATCH = f"""\
*** Begin Patch
*** Update File: train.py
@@
-WIDTH = 64
+WIDTH = 96
*** Add File: {TITLE_FILE}
+Widen the model
+More width.
*** Add File: train.py.bak
+WIDTH = 64
*** End Patch
"""
BLOCK = "train.py\n<<<<<<< SEARCH\nWIDTH = 64\n=======\nWIDTH = 96\n>>>>>>> REPLACE\n"


@dataclass(frozen=True)
class Agent:
    """A preset: its program, its key's variable, how it gets its server, and two scripts.

    `usd` is what its edit is booked as, None where it goes by its own list, which changes. `steps`
    are the kinds of what its trace shows of its edit.
    """

    name: str
    program: Callable[[], Path]
    key: str
    server: Callable[[str], dict[str, str]]
    edits: Reply
    shells: Reply
    title: str
    tokens: tuple[int, int]
    usd: float | None
    steps: tuple[tuple[str, str], ...]
    settings: tuple[str, ...] = ()


def own_server(url: str) -> dict[str, str]:
    return {"ANTHROPIC_BASE_URL": url.removesuffix("/v1"), "ANTHROPIC_MODEL": "claude-opus-4-1"}


AGENTS = {
    "claude": Agent(
        name="claude",
        program=installed.claude,
        key="ANTHROPIC_API_KEY",
        server=own_server,
        edits=anthropic(
            Turn("Read", {"file_path": "{cwd}/train.py"}),
            Turn(
                "Edit",
                {
                    "file_path": "{cwd}/train.py",
                    "old_string": "WIDTH = 64",
                    "new_string": "WIDTH = 96",
                },
            ),
            Turn("Write", {"file_path": f"{{cwd}}/{TITLE_FILE}", "content": "Widen the model\n"}),
        ),
        shells=anthropic(Turn("Bash", {"command": SED, "description": "Widen"})),
        title="Widen the model",
        tokens=(4 * USED[0], 4 * USED[1]),
        usd=None,
        steps=(
            ("tool", "Read"),
            ("output", "tool"),
            ("tool", "Edit"),
            ("output", "tool"),
            ("tool", "Write"),
            ("output", "tool"),
            ("answer", "claude"),
        ),
    ),
    "codex": Agent(
        name="codex",
        program=installed.codex,
        key="OPENAI_API_KEY",
        server=lambda url: {"OPENAI_BASE_URL": url},
        edits=responses(Turn("apply_patch", {"input": PATCH})),
        shells=responses(Turn("exec_command", {"cmd": SED}), Turn("shell", {"command": [SED]})),
        title="Widen the model",
        tokens=(2 * USED[0], 2 * USED[1]),
        usd=2 * (USED[0] * 5 + USED[1] * 30) / 1e6,  # computed here
        steps=(
            ("output", "error"),  # it does not know the model's limits
            ("tool", "file_change"),
            ("answer", "codex"),
            ("output", "turn"),
        ),
    ),
    "aider": Agent(
        name="aider",
        program=installed.aider,
        key="OPENAI_API_KEY",
        server=lambda url: {"AIDER_OPENAI_API_BASE": url, "AIDER_MODEL": "openai/gpt-4o"},
        edits=chat(BLOCK),
        shells=chat(f"```bash\n{SED}\n```\n"),
        title="train.py: 1 line changed",
        tokens=(USED[0] + 50, USED[1]),  # of its figure, 1.0k, half a digit may be missing
        usd=0.00305,
        steps=(("output", "output"),),
        settings=("OPENAI_API_KEY",),
    ),
}


async def check(_source: Source) -> Checked:
    return Checked(fingerprint=b"m" * 32)


@dataclass(frozen=True)
class Came:
    """The result of a visit."""

    said: Proposal | NoProposal
    spent: ModelCostTotals
    server: LlmServer
    seconds: float

    @property
    def reason(self) -> str:
        assert isinstance(self.said, NoProposal), self.said
        return self.said.reason


def visit(
    agent: Agent, reply: Reply, user: Path, *, usd: float = 1.0, limit_s: float = 200
) -> Came:
    """Have a program work for a user without a log-in, who has a key and one for something else."""
    home = Home(user / ".arnode")
    home.prepare()
    program = agent.program()
    config = Config(
        agent=(agent.name,), agent_usd=usd, agent_limit_s=limit_s, agent_variables=agent.settings
    )

    def prompt(context: Context) -> str | NoProposal:
        return errand(
            context,
            limit_chars=32_000,
            secret=b"s" * 16,
            title_file=TITLE_FILE,
            shows_source=is_shown_files(agent.name),
        )

    with LlmServer(reply) as server, passing_budget(config) as budget:
        env = {
            "HOME": str(user), "PATH": f"{program.parent}:{os.environ['PATH']}",
            agent.key: KEY, "OTHER_API_KEY": OTHER, **agent.server(server.url),
        }  # fmt: skip
        proposer = command_proposer(
            agent.name, config, home, env=env, prompt=prompt, check=check, budget=budget
        )
        began_s = time.monotonic()
        said = asyncio.run(proposer.propose(CONTEXT))
        seconds = time.monotonic() - began_s
        return Came(said=said, spent=budget.spent(), server=server, seconds=seconds)


each = pytest.mark.parametrize("name", AGENTS)


@pytest.fixture(params=["as found", "container", "partial"])
def tier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The tier of the agent sandbox: this machine's, and those of other machines."""
    name: str = request.param
    if name == "as found":
        return name
    if not can_scope_signals():
        pytest.skip("the kernel's Landlock cannot keep signals inside")
    if name == "container" and not (os.geteuid() == 0 and tiers._is_mapped(THROWAWAY_UIDS)):
        pytest.skip("only root has throw-away users")
    found = tiers.Tier(name=name, detail="")  # type: ignore[arg-type]  # one of the two
    monkeypatch.setattr(tiers, "probe_tier", lambda: found)
    return name


@each
@pytest.mark.usefixtures("tier")
def test_an_edit_becomes_a_proposal_that_is_booked(name: str, tmp_path: Path) -> None:
    agent = AGENTS[name]
    came = visit(agent, agent.edits, tmp_path)
    assert isinstance(came.said, Proposal), came.said
    assert came.said.source == EDITED
    assert came.said.title == agent.title
    cost = came.said.cost
    assert (cost.calls, cost.tokens_in, cost.tokens_out) == (1, *agent.tokens)
    if agent.usd is None:
        assert 10**6 < cost.usd_nano < 10**9
    else:
        assert cost.usd_nano == pytest.approx(agent.usd * 1e9)
    assert came.spent.usd_nano == cost.usd_nano
    assert came.spent.visits == 1
    assert [(step.kind, step.who) for step in came.said.steps[1:-1]] == [*agent.steps]
    assert came.said.steps[-1].files[0].path == "train.py"
    assert not any(KEY in step.text for step in came.said.steps)
    print(
        f"{agent.program().resolve()}: {cost.tokens_in} + {cost.tokens_out} tokens,"
        f" {cost.usd_nano / 1e9} USD, {came.seconds:.1f} s",
        file=sys.stderr,
    )


@each
def test_its_own_key_goes_to_its_server_and_no_other_goes_anywhere(
    name: str, tmp_path: Path
) -> None:
    agent = AGENTS[name]
    came = visit(agent, agent.edits, tmp_path)
    asked = [one for one in came.server.requests if one.method == "POST"]
    assert asked
    for request in asked:
        assert KEY in (
            request.headers.get("x-api-key", "") + request.headers.get("authorization", "")
        )
        assert OTHER not in json.dumps([request.headers, request.body])


@each
def test_what_its_model_wants_to_run_is_not_run(name: str, tmp_path: Path) -> None:
    agent = AGENTS[name]
    came = visit(agent, agent.shells, tmp_path)
    assert came.reason.startswith("it changed nothing")
    assert came.spent.tokens > 0


@each
@pytest.mark.parametrize(
    ("reply", "words"), [(refuses(401, "bad key"), "bad key"), (page(), "")], ids=["401", "page"]
)
def test_what_no_model_said_is_not_booked(
    name: str, reply: Reply, words: str, tmp_path: Path
) -> None:
    agent = AGENTS[name]
    came = visit(agent, reply, tmp_path)
    assert words in came.reason
    if words or name == "claude":
        assert came.spent == ModelCostTotals(calls=1, visits=1), came.reason


@pytest.mark.parametrize(
    ("name", "words"), [("claude", "maximum budget"), ("codex", "budget reached")]
)
def test_it_stops_at_half_of_what_a_visit_may_cost(name: str, words: str, tmp_path: Path) -> None:
    agent = AGENTS[name]
    came = visit(agent, agent.edits, tmp_path, usd=0.004)
    assert words in came.reason
    asked = [one for one in came.server.requests if one.method == "POST"]
    assert len(asked) == 1
    assert came.spent.usd_nano >= 0.004e9
