"""The demo's steps, reported as they happen, and its results."""

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from agent.source.edits import reapply
from node.demo.cast import ARNODE, NETWORK, TASK, Actor, Cast, address_of, ended
from node.demo.liar import CLAIMED_SD, idle_patch
from node.home.control_socket import Message, call, is_running
from node.home.home import Home
from node.home.invites import write_invite
from node.home.network_definition import Network
from node.home.networks import create_network
from node.line.experiment import ExperimentStep
from node.line.promotion_trial import PromotionTrial
from node.loop.authors import outcome_of_trial
from node.store.boards import BoardKey
from node.store.jobs import Job, LineKey
from node.store.store import Store
from node.terminal.progress import Progress
from node.terminal.vocabulary import many, word
from protocol.board import Board
from protocol.errors import ArnodeError
from protocol.evidence import GAINS
from protocol.runs import patch_score_nano
from protocol.source import Source
from protocol.units import NANO
from trainer.host.device import processor
from trainer.task_folder.task import Task
from trainer.task_kinds import kind_of, load_task

MOVE: Final = "own-rates"  # the task's move whose gain four pairs confirm
LIMIT_S: Final = 900.0
_LOOKED_S = 0.5
_QUIET_S = 15.0
# Neither node proposes patches, so that the demo is short. The finder starts a promotion
# trial at once for what it keeps, and runs no peer's code. The checker runs only peers' code.
FINDER = {
    "ARNODE_AGENT": "none",
    "ARNODE_PROMOTION_TRIAL_HOURS": "0.0001",
    "ARNODE_PEER_CODE": "none",
}
CHECKER = {"ARNODE_AGENT": "none", "ARNODE_PEER_SHARE": "1.0"}

PrintLine = Callable[[str], None]


@dataclass(kw_only=True)
class DemoFacts:
    """The demo's results. Times are seconds since its start; gains are in the metric's unit."""

    times_s: dict[str, float] = field(default_factory=dict)
    claimed: dict[str, float] = field(default_factory=dict)
    measured: dict[str, float] = field(default_factory=dict)
    verdicts: dict[str, str] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """True if the gain was confirmed, the lie refuted, and honest leaderboards are equal."""
        return (
            self.verdicts == {"finder": "confirmed", "liar": "refuted"}
            and len(self.digests) == 3
            and len(set(self.digests.values())) == 1
        )

    def to_message(self) -> dict[str, Message]:
        """Return the facts as one JSON document."""
        return {
            "holds": self.holds,
            "seconds": dict(self.times_s),
            "claimed": dict(self.claimed),
            "measured_by_checker": dict(self.measured),
            "verdicts": dict(self.verdicts),
            "board_digests": dict(self.digests),
        }


async def play(
    root: Path, print_line: PrintLine, progress: Progress, *, is_temporary: bool
) -> DemoFacts:
    """Run the demo in a folder and return its facts.

    `is_temporary` is True if the nodes may remove the folder.

    Raises:
        ArnodeError: a node ended.
        TimeoutError: the demo took longer than `LIMIT_S`.
    """
    task = load_task(TASK, data_dir=root / "data")
    await asyncio.to_thread(
        kind_of(task.manifest).prepare, task, data_dir=root / "data", progress=progress
    )
    for name in ("finder", "checker", "liar"):
        home = Home(root / name)
        home.prepare()
        shutil.copytree(root / "data", home.data, dirs_exist_ok=True)
    async with aclosing(Cast(root, is_temporary=is_temporary)) as cast:

        async def start(
            name: str, module: str, *arguments: str, settings: dict[str, str] | None = None
        ) -> Actor:
            shared = {"ARNODE_NET": NETWORK, "ARNODE_WEB": "none"}
            return await cast.start(name, module, arguments, {**shared, **(settings or {})})

        create_network(Home(root / "bootstrap"), Network(name=NETWORK))
        bootstrap = await start("bootstrap", ARNODE, "network", "bootstrap", "--http", "none")
        address = await address_of(bootstrap)
        line = write_invite(Network(name=NETWORK, bootstrap=(address,)))
        joining = ("--task", TASK, "--join", line)
        actors = [
            bootstrap,
            await start("liar", "node.demo.liar", line),
            await start("finder", ARNODE, "start", *joining, settings=FINDER),
            await start("checker", ARNODE, "start", *joining, settings=CHECKER),
        ]
        story = _Story(task, actors, print_line)
        async with asyncio.timeout(LIMIT_S):
            await story.run()
        return story.facts


class _Story:
    """A read-only observer of the nodes' stores, which reports each event once."""

    def __init__(self, task: Task, actors: list[Actor], print_line: PrintLine) -> None:
        self.facts = DemoFacts()
        self._task = task
        self._bootstrap, self._liar, self._finder, self._checker = actors
        self._print_line = print_line
        self._line = LineKey(task=task.id, hardware_class=processor().slug)
        self._started_s = self._printed_s = time.monotonic()
        self._is_handed_in = False
        self._trees = {"liar": idle_patch(task).tree, "finder": idea(task).tree}

    async def run(self) -> None:
        self._say("four nodes run on this machine, each with a key of its own: a bootstrap node,")
        self._say("a finder, a checker and a liar. No node knows which is which.")
        while not self._is_finished():
            for actor in (self._bootstrap, self._liar, self._finder, self._checker):
                if actor.process.returncode is not None:
                    raise ended(actor)
            self._look()
            await asyncio.sleep(_LOOKED_S)

    def _is_finished(self) -> bool:
        return len(self.facts.verdicts) == 2 and len(set(self.facts.digests.values())) == 1

    def _look(self) -> None:
        if not self._is_handed_in and is_running(self._finder.home.socket):
            self._hand_in()
        if (store := self._open(self._checker)) is not None:
            with store:
                self._look_at_claims(store)
                self._look_at_verdicts(store)
        if len(self.facts.verdicts) == 2:
            self._compare_boards()
        if time.monotonic() >= self._printed_s + _QUIET_S:
            for actor in (self._finder, self._checker):
                self._print_activity(actor)

    def _hand_in(self) -> None:
        self._is_handed_in = True
        source = idea(self._task)
        call(
            self._finder.home.socket,
            "submit",
            {"files": dict(source.files), "title": MOVE, "why": ""},
        )
        self._say(f"the finder is given the patch `{MOVE}`; it measures the baseline first")

    def _look_at_claims(self, store: Store) -> None:
        board = self._board(store)
        rows = {row.tree: row for row in board.rows} if board else {}
        for name, tree in self._trees.items():
            if tree in rows and name not in self.facts.claimed:
                self.facts.claimed[name] = rows[tree].gain_nano / NANO
                how = (
                    f"{CLAIMED_SD} sd; the liar ran nothing"
                    if name == "liar"
                    else "confirmed in pairs on its own machine"
                )
                self._note(f"{name} claimed")
                self._say(
                    f"the {name} has signed and published a gain of "
                    f"{self.facts.claimed[name]:.4f} ({how}); the checker has received it"
                )

    def _look_at_verdicts(self, store: Store) -> None:
        for tree, job, verdict in verdicts(store, self._line):
            name = next((name for name, theirs in self._trees.items() if theirs == tree), None)
            if name is None or name in self.facts.verdicts:
                continue
            runs = [run for run in store.jobs.runs_of(job.id) if run.outcome]
            self.facts.verdicts[name] = verdict
            self.facts.measured[name] = _gain(store, job)
            self._note(f"{name} judged")
            adopted = "; the checker adopts it" if verdict in GAINS else ""
            how = "" if isinstance(job.step, ExperimentStep) else " in pairs on its own secret text"
            self._say(
                f"the checker ran the {name}'s patch itself, {many(len(runs), 'run')}{how}: "
                f"{self.facts.measured[name]:+.4f}, {word(verdict)}{adopted}"
            )

    def _compare_boards(self) -> None:
        for actor in (self._bootstrap, self._finder, self._checker):
            if (store := self._open(actor)) is not None:
                with store:
                    if board := self._board(store):
                        self.facts.digests[actor.name] = board.board_digest.hex()
        if self._is_finished():
            self._note("boards agree")
            digest = next(iter(self.facts.digests.values()))
            self._say(f"the honest nodes have the same leaderboard, byte for byte: {digest[:16]}…")

    def _print_activity(self, actor: Actor) -> None:
        try:
            document = call(actor.home.socket, "status", timeout_s=2.0)
        except ArnodeError:  # the node is starting or busy
            return
        match document:
            case {"lines": [{"now": {"text": str(stage), "title": str(title)}}, *_]}:
                activity = f"{stage}, {title}" if title else stage
                self._say(f"  … the {actor.name}: {activity}")

    def _open(self, actor: Actor) -> Store | None:
        try:
            return Store.open_read_only(actor.home)
        except ArnodeError:  # the node has not created its store yet
            return None

    def _board(self, store: Store) -> Board | None:
        """Return the demo's leaderboard from a store; None if the store lacks the task."""
        if store.records.manifest(self._line.task) is None:
            return None
        return store.boards.get(
            BoardKey(net=NETWORK, task=self._line.task, hardware_class=self._line.hardware_class)
        )

    def _note(self, what: str) -> None:
        self.facts.times_s[what] = round(time.monotonic() - self._started_s, 1)

    def _say(self, text: str) -> None:
        self._printed_s = time.monotonic()
        self._print_line(f"{self._printed_s - self._started_s:4.0f} s  {text}")


def verdicts(store: Store, line: LineKey) -> Iterator[tuple[bytes, Job[Any], str]]:
    """Yield the source id, the job and the verdict of each peer's claim that a line has judged.

    If the tree is kept on the working line, the promotion trial gives the verdict, otherwise the
    experiment.
    """
    trials = {job.step.tree: job for job in store.jobs.closed_jobs(line, PromotionTrial)}
    for tried in store.jobs.closed_jobs(line, ExperimentStep):
        trial = trials.get(tried.step.tree)
        for patch in filter(None, map(store.records.patch, tried.step.idea.claims)):
            if tried.step.decision not in ("kept", "rebased"):
                yield patch.tree, tried, outcome_of_trial(tried.step) or "unconfirmed"
            elif trial and (measured := trial.step.measured) and not measured.says_nothing:
                yield patch.tree, trial, "confirmed" if trial.step.passed else "unconfirmed"


def idea(task: Task) -> Source:
    """Return the task's source with the finder's move.

    Raises ArnodeError if the move does not fit the source.
    """
    (move,) = (one for one in task.moves if one.name == MOVE)
    source = reapply(move.edits, task.source)
    if source is None:
        raise ArnodeError(f"the move {MOVE} does not match the task", "install arnode again")
    return source


def _gain(store: Store, job: Job[Any]) -> float:
    """Return a job's mean gain, by an experiment's runs or by complete pairs; 0 without any.

    A smaller score is better, so a gain is the base's score minus the candidate's. It is positive
    if the candidate is better. Pairs are on the secret split.
    """
    runs = store.jobs.runs_of(job.id)
    if isinstance(job.step, ExperimentStep):
        score_nano = patch_score_nano([run.outcome.run for run in runs if run.outcome])
        return (job.step.known_level_nano - score_nano) / NANO if score_nano is not None else 0.0
    by_seed: dict[int, dict[str, int]] = {}
    for run in runs:
        if run.outcome and run.outcome.run.secret_nano is not None:
            by_seed.setdefault(run.seed, {})[run.role] = run.outcome.run.secret_nano
    pairs = [one for one in by_seed.values() if "base" in one and "candidate" in one]
    gains = [(pair["base"] - pair["candidate"]) / NANO for pair in pairs]
    return fmean(gains) if gains else 0.0
