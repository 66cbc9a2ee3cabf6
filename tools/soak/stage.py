"""A real node with cached runs, seeds from the pool, and simulated peers that publish claims."""

import hashlib
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from unittest import mock

from agent.proposal import NullProposer
from node.home.config import Config
from node.home.home import Home
from node.home.sandboxing import require_peer_sandbox
from node.line import open_task as session
from node.line.open_task import Session, Subject
from node.loop import devices
from node.loop.session_plan import Goal
from node.proposing.opening import Proposers
from node.running import line_resources
from node.running.line_resources import LineResources
from node.running.node import Node, open_node
from node.terminal.progress import Progress, silent
from protocol.keys import SigningKey
from protocol.record_kinds import Body
from protocol.records import sign_record
from protocol.runs import MAX_SEED
from protocol.source import Source
from tests.integration.claims import claimed_patch
from tests.protocol.worlds import confirm, rerun
from tests.trainer.runners import prepare_all
from tools.soak.cached import PooledSeeds, itself
from tools.soak.measuring import SPLIT, runner_of
from trainer.host.device import processor
from trainer.task_folder.task import Task

CLAIMED_PAIRS = 4
_LEVEL_NANO = 1_250_000_000  # the baseline's score in peers' claims


@asynccontextmanager
async def open_stage(
    home: Home,
    task: Task,
    kept: Path,
    goal: Goal,
    *,
    order: str,
    program_of: Callable[[Source], Source] = itself,
    on_record: Callable[[], None] = lambda: None,
) -> AsyncIterator[Node]:
    """Open a real node on a fresh home. It has nothing to try but peers' claims.

    `order` is the random seed, so that a repeated test requests the same runs. `program_of` is
    passed to `CachedRunner`. `on_record` is called after each record of the node. Raises
    SafetyError if the sandbox is too weak for untrusted code.
    """
    config = Config(peer_share=1.0)
    require_peer_sandbox(config)
    chance, seeds = random.Random(order), PooledSeeds(order)
    keep_journal = LineResources.keep_journal  # called for every record

    def open_session(_home: Home, task: Task, progress: Progress, **_settings: object) -> Session:
        data = prepare_all(task, data_dir=kept / "data", progress=progress)
        runner = runner_of(task, data, kept, seeds=seeds, program_of=program_of)
        subject = Subject.on(processor(), task.manifest, task.source)
        return Session(task=task, subject=subject, data=data, runner=runner, secret=SPLIT)

    def recorded(own: LineResources) -> None:
        keep_journal(own)
        on_record()

    with (
        mock.patch.object(session, "open_session", open_session),
        mock.patch.object(line_resources, "random_seed", partial(chance.randrange, MAX_SEED + 1)),
        mock.patch.object(devices, "random_seed", partial(chance.randrange, MAX_SEED + 1)),
        mock.patch.object(LineResources, "keep_journal", recorded),
        home.lock(),
    ):
        async with open_node(
            home, config, task, goal, proposers=Proposers(fast=NullProposer()), progress=silent
        ) as node:
            yield node


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A peer's claim: its records, its base and tree, and the claimed gain."""

    patch: bytes
    result: bytes
    base: bytes
    tree: bytes
    gain_nano: int


class Claimant:
    """An author with a key who claims gains of one source over another."""

    def __init__(self, name: str) -> None:
        self.key = SigningKey.from_seed(hashlib.sha256(name.encode()).digest())
        self._class = processor().slug
        self._seq = 0

    def claim(
        self,
        node: Node,
        source: Source,
        gain_nano: int,
        *,
        base: Source | None = None,
        base_nano: int = 0,
    ) -> Said:
        """Send a node the records of a patch and of pairs that show `gain_nano` over its base.

        The base is the task's baseline, or a tree that gains `base_nano` over it.
        """
        task = node.session.task
        base = base or task.source
        for tree in (base, source):
            node.line_resources.line_writer.blobs.put_source(tree)
        patch = self._publish(node, claimed_patch(task, source, base=base))
        gains = _scattered(gain_nano, task.manifest.noise_floor_nano)
        anchors = [gain + base_nano for gain in gains]
        body = confirm(source.tree, gains, base=base.tree, anchors=anchors, level=_LEVEL_NANO)
        result = self._publish(
            node, replace(body, task=task.id, hardware_class=self._class, patch=patch)
        )
        return Said(
            patch=patch, result=result, base=base.tree, tree=source.tree, gain_nano=gain_nano
        )

    def vouch(self, node: Node, said: Said) -> None:
        """Send a node this key's re-run that confirms another author's claim, with pairs."""
        task = node.session.task
        gains = _scattered(said.gain_nano, task.manifest.noise_floor_nano)
        body = rerun(self.key, said.tree, gains, "confirmed", base=said.base, target=said.result)
        self._publish(node, replace(body, task=task.id, hardware_class=self._class))

    def _publish(self, node: Node, body: Body) -> bytes:
        now_ms = time.time_ns() // 1_000_000
        record = sign_record(
            self.key, net="main", seq=self._seq, prev=None, ts_ms=now_ms, body=body
        )
        self._seq += 1
        report = node.line_resources.store.intake.ingest([record.wire], now_ms=now_ms)
        assert report.new == [record.id], report
        return record.id


def _scattered(gain_nano: int, noise_nano: int) -> Sequence[int]:
    """Return differences of pairs with exactly this mean, and noise between them."""
    steps = (-1, 1, -1, 1)
    return [gain_nano + step * noise_nano for step in steps[:CLAIMED_PAIRS]]
