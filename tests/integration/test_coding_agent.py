"""A coding agent in the agent sandbox: edits of an honest one are read, a hostile one is contained.

Each agent is a real program in a sandbox of this machine's tier; what could differ is also
played in the tiers without namespaces. Afterwards nothing of it is left: no process, no folder.
"""

import ast
import asyncio
import contextlib
import json
import logging
import os
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from agent.command import CommandProposer
from agent.completion import ModelCost
from agent.proposal import Brief, Context, Crash, NoProposal, Proposal
from agent.source.allow_lists import LANGUAGE_MODEL, TRAINING
from agent.source.capabilities import Checked
from agent.source.edits import reapply
from node.home.config import Config
from node.home.home import Home
from node.proposing import command as commands
from node.proposing.budget import ModelCostBudget
from node.proposing.command import command_proposer
from node.source_review.inspection import inspect
from node.store.model_calls import ModelCostTotals
from protocol.source import Source
from tests.workers import passing_budget
from trainer.agent_sandbox import running_command
from trainer.agent_sandbox.running_command import AgentLimits
from trainer.host.processes import own_threads
from trainer.sandbox import tier
from trainer.sandbox.landlock import can_scope_signals
from trainer.sandbox.process_limit import MOST_OF_ROOT, control_group
from trainer.sandbox.tier import Tier, TierName, probe_tier

AGENT = str(Path(__file__).parent / "coding_agent.py")
MIB = 1 << 20
BASE = Source.of({"train.py": b"WIDTH = 64\n"})
WEAKER: tuple[TierName, ...] = ("container", "partial") if os.geteuid() == 0 else ("partial",)
needs_landlock = pytest.mark.skipif(not can_scope_signals(), reason="Landlock is too old")
every_tier = pytest.mark.parametrize(
    "tier_name",
    [
        "full",
        *(
            pytest.param(
                name,
                marks=[needs_landlock, *[pytest.mark.soak] * (name != probe_tier().name)],
            )
            for name in WEAKER
        ),
    ],
)
BRIEF = Brief(
    task="short",
    program="Make it better.\n",
    metric="val_bpb",
    unit="bits per byte",
    is_minimised=True,
    budget="64 tokens",
    hardware_class="cpu-x86_64",
    limits="",
    measured="",
    noise_sd=0.01,
    base=None,
    imports=TRAINING.imports,
)


async def check(source: Source) -> Checked:
    found = await asyncio.to_thread(inspect, source, kind=LANGUAGE_MODEL, baseline=BASE)
    return Checked(fingerprint=found.fingerprint, marks=found.marks)


@dataclass(frozen=True)
class AgentBench:
    """A user's home with secrets, the node's home in it, and coding agents to try."""

    user: Path
    home: Home
    budget: ModelCostBudget
    token: str = field(default_factory=lambda: uuid4().hex)

    def proposer(self, behaviour: str, *words: str, **settings: Any) -> CommandProposer:
        config = Config(
            agent=("command",),
            agent_command=(sys.executable, AGENT, behaviour, *words, self.token),
            **{"agent_limit_s": 60.0, **settings},
        )
        return command_proposer(
            "command",
            config,
            self.home,
            env={**os.environ, "HOME": str(self.user), "SECRET": "a secret of the node"},
            prompt=lambda context: f"Aim: {context.aim}; {{folder}} stays.",
            check=check,
            budget=self.budget,
        )

    def propose(
        self, behaviour: str, *words: str, context: Context | None = None, **settings: Any
    ) -> Proposal | NoProposal:
        proposer = self.proposer(behaviour, *words, **settings)
        return asyncio.run(proposer.propose(context or given_context()))

    def no_proposal(self, behaviour: str, *words: str, **settings: Any) -> str:
        said = self.propose(behaviour, *words, **settings)
        assert isinstance(said, NoProposal), said
        assert said.retry_s >= 60
        return said.reason

    def left(self) -> list[str]:
        """The command lines of what has not ended."""
        lines = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                lines.append(path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
            except OSError:
                continue
        return [line for line in lines if self.token in line]


def given_context(**changes: Any) -> Context:
    known = Context(
        source=BASE, editable=("train.py",), hyperparameters=(), moves=(), history=(),
        tried=lambda _mark: False, seed=1, brief=BRIEF,
    )  # fmt: skip
    return replace(known, **changes)


@pytest.fixture
def tier_name() -> TierName:
    return "full"


@pytest.fixture
def agents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tier_name: TierName
) -> Iterator[AgentBench]:
    if tier_name == "full":
        assert probe_tier().name == "full"
    monkeypatch.setattr(tier, "probe_tier", lambda: Tier(name=tier_name, detail="", hint="hint"))
    small = {"scratch_bytes": 16 * MIB, "scratch_files": 2000, "threads": 64}
    limits = partial(AgentLimits, memory_bytes=700 * MIB, output_bytes=32 * MIB, **small)
    monkeypatch.setattr(commands, "AgentLimits", limits)
    user, temporary = tmp_path / "user", tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    home = Home(user / ".local" / "share" / "arnode")
    home.prepare()
    for path, text in (
        (home.key, "the signing key"),
        (home.journal / "HEAD", "ref"),
        (user / ".ssh" / "id", "a private key"),
        (user / ".claude" / ".credentials.json", "a token "),
        (user / ".claude" / "settings.json", "settings"),
        (user / ".claude" / "secret", "of another project"),
        (tmp_path / "other" / "notes", "another user's"),
        (temporary / "neighbour", "another program's"),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    with passing_budget(Config(usd_per_day=1e5)) as budget:
        agents = AgentBench(user, home, budget)
        yield agents
    assert agents.left() == []
    assert [path.name for path in temporary.iterdir()] == ["neighbour"]


# -- what an honest one gets ------------------------------------------------------------------


@every_tier
def test_an_edit_becomes_a_proposal_with_its_own_words(agents: AgentBench) -> None:
    said = agents.propose("edit")
    assert isinstance(said, Proposal), said
    assert said.source["train.py"] == b"WIDTH = 96\n"
    assert said.parent == BASE.tree
    assert (said.title, said.why) == ("Widen the model", "More width helps here.")
    assert (said.key, said.proposer) == ("command:widen-the-model", "command")
    assert said.model == Path(sys.executable).name
    assert said.fingerprint == asyncio.run(check(said.source)).fingerprint
    assert reapply(said.edits, BASE) == said.source
    assert said.cost.calls == 1


def test_without_words_the_diff_is_the_title_and_droppings_are_ignored(agents: AgentBench) -> None:
    said = agents.propose("edit_silently")
    assert isinstance(said, Proposal), said
    assert (said.title, said.why) == ("train.py: 1 line changed", "")


@every_tier
def test_it_is_given_its_errand_and_nothing_else(agents: AgentBench) -> None:
    words = ("{prompt}", "a {folder} b", "{prompt_file}", "{files}", "; $HOME `id`", "{other}")
    said = agents.propose("prompted", *words, agent_variables=("LANG", "LISTED"))
    assert isinstance(said, Proposal), said
    received = ast.literal_eval(said.source["train.py"].decode())
    prompt, folder, file, files, shell, other, token = received["words"]
    assert prompt == received["prompt"] == "Aim: improve; {folder} stays."
    assert (folder, file) == (
        f"a {received['environment']['PWD']} b",
        f"{folder[2:-2]}/.arnode/prompt.md",
    )
    assert (files, shell, other, token) == ("train.py", "; $HOME `id`", "{other}", agents.token)
    assert received["program"] == BRIEF.program
    assert received["input"] == ""
    assert received["terminal"] == [False] * 3
    assert received["descriptors"] <= 4  # standard ones and the listing itself
    allowed = {"PATH", "LANG", "TERM", "HOME", "TMPDIR", "PWD", "LC_CTYPE", "OLDPWD", "SHLVL"}
    assert set(received["environment"]) <= allowed
    assert received["environment"]["TERM"] == "dumb"


@every_tier
def test_it_reaches_the_network(agents: AgentBench) -> None:
    class Greeter(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(b"hello")

    with socketserver.TCPServer(("127.0.0.1", 0), Greeter) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        said = agents.propose("networked", str(server.server_address[1]))
        server.shutdown()
    assert isinstance(said, Proposal), said
    assert said.source["train.py"] == b"ANSWER = b'hello'\n"


@every_tier
def test_only_a_folder_that_the_user_names_is_kept(agents: AgentBench) -> None:
    assert isinstance(agents.propose("renew", agent_folders=("~/.claude",)), Proposal)
    login = agents.user / ".claude"
    assert (login / ".credentials.json").read_text() == "a token renewed"
    assert (login / "history").read_text() == "of its own"


@every_tier
def test_a_preset_keeps_the_log_in_and_nothing_else(agents: AgentBench) -> None:
    """The settings can be read, not changed; the rest of the folder is not there."""
    command = (sys.executable, AGENT, "renew", agents.token)
    proposer = command_proposer(
        "claude",
        Config(agent=("claude",), agent_command=command),
        agents.home,
        env={**os.environ, "HOME": str(agents.user)},
        prompt=lambda _context: "",
        check=check,
        budget=agents.budget,
    )
    said = asyncio.run(proposer.propose(given_context()))
    assert isinstance(said, Proposal), said
    assert said.model == proposer.name == "claude"
    login = agents.user / ".claude"
    assert (login / ".credentials.json").read_text() == "a token renewed"
    assert (login / "settings.json").read_text() == "settings"
    assert not (login / "history").exists()


def test_files_next_to_a_good_edit_are_thrown_away_and_said(
    agents: AgentBench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    said = agents.propose("add_files")
    assert isinstance(said, Proposal), said
    assert said.source == Source.of({"train.py": b"WIDTH = 96\n"})
    assert "it added .git, helper.py, train.py.bak: ignored" in caplog.text


def test_what_it_says_that_it_took_is_booked(agents: AgentBench) -> None:
    said = agents.propose("report")
    assert isinstance(said, Proposal), said
    assert said.cost == ModelCost(calls=1, tokens_in=1_200, tokens_out=34, usd_nano=250_000_000)
    spent = agents.budget.spent()
    assert spent == ModelCostTotals(calls=1, visits=1, tokens=1_234, usd_nano=250_000_000)


@pytest.mark.parametrize(
    ("behaviour", "settings", "usd"),
    [("edit", {}, 1.0), ("fail", {"agent_usd": 0.5}, 0.5), ("edit", {"agent_usd": 0.0}, 0.0)],
)
def test_one_that_reports_nothing_is_booked_as_the_most_that_it_may_cost(
    agents: AgentBench, behaviour: str, settings: dict[str, float], usd: float
) -> None:
    agents.propose(behaviour, **settings)
    assert agents.budget.spent().usd_nano == usd * 10**9


def test_one_that_is_ended_is_booked_in_full_whatever_it_said_before(agents: AgentBench) -> None:
    reason = agents.no_proposal("report_and_hang", agent_limit_s=2.0)
    assert reason == "it took longer than 2 s: Half done."
    assert agents.budget.spent().usd_nano == 10**9


def test_what_never_began_is_booked_as_nothing(
    agents: AgentBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposer = agents.proposer("edit")
    monkeypatch.setattr(tier, "probe_tier", lambda: Tier(name="none", detail="x", hint="hint"))
    said = asyncio.run(proposer.propose(given_context()))
    assert isinstance(said, NoProposal)
    assert agents.budget.spent() == ModelCostTotals(calls=1, visits=1)


def test_a_log_in_is_not_published(agents: AgentBench) -> None:
    (agents.user / ".claude" / ".credentials.json").write_text('{"token": "sk-0123456789abcdef"}')
    reason = agents.no_proposal("leak", agent_folders=("~/.claude",))
    assert reason == "train.py contains log-in data or keys that the agent was given"


def test_a_crash_is_repaired_on_what_crashed(agents: AgentBench) -> None:
    crashed = Source.of({"train.py": b"WIDTH = 64\nDEPTH = 1 / 0\n"})
    crash = Crash(
        source=crashed, key="command:deeper", title="Deeper", status="failed",
        reason="ZeroDivisionError", log_tail="", attempt=1,
    )  # fmt: skip
    said = agents.propose("edit", context=given_context(crash=crash))
    assert isinstance(said, Proposal), said
    assert said.source["train.py"] == b"WIDTH = 96\nDEPTH = 1 / 0\n"
    assert (said.parent, said.key) == (BASE.tree, "repair:1:command:deeper")


# -- what no other gets -----------------------------------------------------------------------


@every_tier
def test_nothing_of_the_node_or_the_user_can_be_reached(
    agents: AgentBench, tmp_path: Path, tier_name: TierName
) -> None:
    secrets = {
        "key": agents.home.key,
        "journal": agents.home.journal / "HEAD",
        "ssh": agents.user / ".ssh" / "id",
        "unnamed": agents.user / ".claude" / "secret",
        "other": tmp_path / "other" / "notes",
        "neighbour": tmp_path / "tmp" / "neighbour",
    }
    before = {name: path.read_bytes() for name, path in secrets.items()}
    modes = {name: path.stat().st_mode for name, path in secrets.items()}
    names = {name: str(path) for name, path in secrets.items()}
    said = agents.propose("snoop", json.dumps({**names, "pid": str(os.getpid())}))
    assert isinstance(said, Proposal), said
    done, has_secret, at_home = ast.literal_eval(said.source["train.py"].decode())
    # In a mount namespace the folder above its own is there, with nothing else in it.
    assert done == (["list above neighbour"] if tier_name == "full" else [])
    assert not has_secret
    assert at_home == []
    assert {name: path.read_bytes() for name, path in secrets.items()} == before
    assert {name: path.stat().st_mode for name, path in secrets.items()} == modes


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("change_program", "program.md was changed, which is not one of the editable files"),
        ("delete", "train.py was removed"),
        ("replace_by_pipe", "train.py is no longer a plain file"),
        ("replace_by_folder", "train.py is no longer a plain file"),
        ("not_text", "train.py is not UTF-8 at byte 13"),
        ("nothing", "it changed nothing"),
    ],
)
def test_anything_but_an_edit_is_refused_by_name(
    agents: AgentBench, behaviour: str, reason: str
) -> None:
    assert agents.no_proposal(behaviour) == reason


def test_a_mode_that_no_patch_carries_is_refused(agents: AgentBench) -> None:
    reason = "train.py was made executable, which no patch can carry"
    assert agents.no_proposal("make_executable") == reason


@every_tier
def test_a_link_is_not_followed(agents: AgentBench) -> None:
    for target in (str(agents.home.key), "/etc/passwd", "/dev/zero", "program.md"):
        assert agents.no_proposal("replace_by_link", target) == "train.py was replaced by a link"


def test_notes_that_are_a_link_say_nothing(agents: AgentBench) -> None:
    said = agents.propose("link_notes")
    assert isinstance(said, Proposal), said
    assert said.title == "train.py: 1 line changed"


def test_a_folder_that_is_closed_is_removed_all_the_same(agents: AgentBench) -> None:
    said = agents.propose("close_folder")
    if os.geteuid():  # root may read it
        assert isinstance(said, NoProposal)
        assert "made a folder unreadable" in said.reason or "cannot be read" in said.reason


def test_what_was_tried_before_is_not_proposed_again(agents: AgentBench) -> None:
    mark = asyncio.run(check(Source.of({"train.py": b"WIDTH = 96\n"}))).fingerprint
    said = agents.propose("edit", context=given_context(tried=lambda one: one == mark))
    assert isinstance(said, NoProposal)
    assert said.reason.startswith("its change was tried before")


@every_tier
def test_who_fails_is_not_taken_at_half_its_word(agents: AgentBench) -> None:
    assert agents.no_proposal("fail") == "it ended with status 3: You are out of credit [31m"


def test_who_goes_on_failing_is_asked_less_often(agents: AgentBench) -> None:
    proposer = agents.proposer("fail")

    async def waits() -> list[float]:
        said = [await proposer.propose(given_context()) for _ in range(3)]
        return [one.retry_s for one in said if isinstance(one, NoProposal)]

    assert asyncio.run(waits()) == [60, 120, 240]


@every_tier
def test_who_hangs_is_ended(agents: AgentBench) -> None:
    assert agents.no_proposal("hang", agent_limit_s=3.0) == "it took longer than 3 s"


@every_tier
def test_daemons_end_with_it(agents: AgentBench) -> None:
    assert isinstance(agents.propose("daemons"), Proposal)
    assert agents.left() == []


@every_tier
def test_who_is_let_go_of_ends(agents: AgentBench) -> None:
    """As when the node stops while a proposal is being written."""

    async def let_go() -> None:
        writing = asyncio.create_task(agents.proposer("linger").propose(given_context()))
        while not any("coding_agent" in line for line in agents.left()):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)

    asyncio.run(let_go())
    assert agents.left() == []


def test_endless_output_ends_it_and_much_does_not(agents: AgentBench) -> None:
    assert agents.no_proposal("flood").startswith(f"it printed more than {32 * MIB} bytes")
    assert isinstance(agents.propose("talk"), Proposal)


@every_tier
def test_who_fills_the_disk_is_ended(agents: AgentBench) -> None:
    full = f"it wrote more than {16 * MIB} bytes or 2000 files, or made a folder unreadable"
    assert agents.no_proposal("fill") == full
    assert agents.no_proposal("many") == full


def test_a_file_beyond_the_bound_cannot_be_written(agents: AgentBench) -> None:
    reason = agents.no_proposal("huge")
    assert "File too large" in reason or "it wrote more than" in reason


@every_tier
def test_who_takes_too_much_memory_is_ended(agents: AgentBench) -> None:
    assert agents.no_proposal("hoard") == f"it took more than {700 * MIB} bytes of memory"


@every_tier
def test_the_kernel_bounds_processes_before_the_watchdog_looks(
    agents: AgentBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.getuid() == 0 and probe_tier().name == "full" and control_group() is None:
        pytest.skip("root may make no control group here")
    monkeypatch.setattr(running_command, "_WATCH_INTERVAL_S", 60.0)
    proposed = agents.propose("fork_until_refused")
    assert isinstance(proposed, Proposal), proposed
    started = int(proposed.source["train.py"].decode().split()[-1])
    assert 50 < started <= max(MOST_OF_ROOT, AgentLimits(limit_s=1).threads + own_threads())
    assert agents.left() == []


@every_tier
def test_a_fork_bomb_is_ended(agents: AgentBench) -> None:
    assert agents.no_proposal("fork_bomb", agent_limit_s=20.0).startswith("it ")
    assert agents.left() == []


# -- what stays when the node does not ----------------------------------------------------------

KILLED_NODE = """
import asyncio, json, sys
from pathlib import Path
from trainer.sandbox import tier
from trainer.sandbox.tier import Tier
from trainer.agent_sandbox.running_command import AgentLimits
from tests.workers import passing_budget
from trainer.agent_sandbox.agent_run import AgentAccess, work
from trainer.agent_sandbox.worktree import Given
from protocol.source import Source
walls, home, *command = sys.argv[1:]
tier.probe_tier = lambda: Tier(name=walls, detail="")
bench = AgentAccess(home=Path(home), hidden=(), shown=(), kept=(), environment={},
              limits=AgentLimits(limit_s=600))
given = Given(editable=Source.of({"train.py": b"WIDTH = 64\\n"}))
asyncio.run(work(bench, given, lambda _folder: command, note_name="title.txt"))
"""


@contextlib.contextmanager
def node_at_work(
    agents: AgentBench, tier_name: TierName, temporary: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A node that has a lingering agent at work, with daemons."""
    command = [sys.executable, AGENT, "linger", agents.token]
    with subprocess.Popen(
        [sys.executable, "-c", KILLED_NODE, tier_name, str(agents.user), *command],
        cwd=Path(__file__).parents[2],
        env={"PATH": os.environ["PATH"], "TMPDIR": str(temporary)},
    ) as node:
        try:
            within(60, lambda: sum("coding_agent" in line for line in agents.left()) > 4)
            yield node
        finally:
            node.kill()


def within(seconds: float, condition: Any) -> None:
    deadline_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


@every_tier
def test_everything_dies_with_a_killed_node(
    agents: AgentBench, tier_name: TierName, tmp_path: Path
) -> None:
    with node_at_work(agents, tier_name, tmp_path / "tmp") as node:
        node.kill()
    within(30, lambda: agents.left() == [])
    within(30, lambda: [path.name for path in (tmp_path / "tmp").iterdir()] == ["neighbour"])


def test_everything_dies_with_a_node_that_is_killed_with_its_children(
    agents: AgentBench, tier_name: TierName, tmp_path: Path
) -> None:
    """Nobody is left to end it but the kernel; only the folder stays."""
    with node_at_work(agents, tier_name, tmp_path / "tmp") as node:
        children = Path(f"/proc/{node.pid}/task/{node.pid}/children").read_text().split()
        for pid in (*map(int, children), node.pid):
            os.kill(pid, signal.SIGKILL)
    within(30, lambda: agents.left() == [])
    for path in (tmp_path / "tmp").glob("arnode-*"):
        subprocess.run(["rm", "-rf", str(path)], check=True)
