"""A node that runs nothing and signs an invented gain; its argument is an invite.

Only the gain is invented: the records are as valid as those of any node.
"""

import asyncio
import sys
from collections.abc import Sequence
from typing import Final

from node.demo.cast import TASK
from node.home.clock import clock_ms
from node.home.home import Home
from node.home.invites import read_invite
from node.home.keyfile import identity_of, load_keys
from node.home.network_definition import Network
from node.home.settings_in_force import config_of
from node.line.open_task import Subject
from node.line.record_writer import RecordWriter
from node.peering.membership import taking_part
from node.store.blobs import Blobs
from node.store.store import Store
from node.terminal.interrupts import until_interrupted
from protocol.record_kinds import Origin
from protocol.runs import Role, Run
from protocol.source import Source
from protocol.topics import subscriptions
from trainer.host.device import processor
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task

# In units of the noise floor: large enough that its claim is re-run before all others.
CLAIMED_SD: Final = 12
_PAIRS = 4
_LEVEL_NANO = 1_890_000_000
_RATE = (b"LEARNING_RATE = 1e-2\n", b"LEARNING_RATE = 1.002e-2\n")


def main() -> None:
    """Publish the invented gain and run until stopped."""
    home = Home.here()
    network = read_invite(sys.argv[1])
    task = load_task(TASK, data_dir=home.data)
    with home.lock(), Store.open(home) as store:
        stopped = asyncio.Event()
        work = _lie(home, network, task, store, stopped)
        asyncio.run(until_interrupted(work, first=stopped.set))


def idle_patch(task: Task) -> Source:
    """Return the task's source with a change that has no measurable effect."""
    path, data = task.source.files[0]
    return task.source.replacing(path, data.replace(*_RATE))


async def _lie(
    home: Home, network: Network, task: Task, store: Store, stopped: asyncio.Event
) -> None:
    keys, blobs = load_keys(home), Blobs(home.blobs)
    subject = Subject.on(processor(), task.manifest, task.source)
    config = config_of(home, {"net": network.name})
    record_writer = RecordWriter(
        store=store,
        blobs=blobs,
        identity=identity_of(keys, config),
        subject=subject,
        clock_ms=clock_ms,
    )
    async with taking_part(
        network,
        home=home,
        keys=keys,
        store=store,
        topics=subscriptions(network.name, [task.id], subject.hardware_class),
        listen=config.listen,
    ):
        if not store.records.own():
            _publish(record_writer, task, store, blobs)
        await stopped.wait()


def _publish(record_writer: RecordWriter, task: Task, store: Store, blobs: Blobs) -> None:
    base, tree = task.source, idle_patch(task)
    for source in (base, tree):
        blobs.put_source(source)
    gain_nano = CLAIMED_SD * task.manifest.noise_floor_nano
    with store.transaction():
        record_writer.announce()
        patch = record_writer.patch(
            base.tree,
            tree.tree,
            title="a better learning rate",
            why="It is much better.",
            parents=(),
            origin=Origin(proposer="search"),
        )
        record_writer.result(
            patch.id,
            base.tree,
            tree.tree,
            stage="confirm",
            runs=_made_up(gain_nano),
            note="",
            has_verdict=True,
        )


def _made_up(gain_nano: int) -> Sequence[Run]:
    """Return invented pairs, with a little noise so that they look measured."""
    runs: list[Run] = []
    for seed in range(_PAIRS):
        level = _LEVEL_NANO + (-1) ** seed * gain_nano // 20
        runs += [
            _run(seed, "base", level),
            _run(seed, "candidate", level - gain_nano),
            _run(seed, "anchor", level),
        ]
    return runs


def _run(seed: int, role: Role, nano: int) -> Run:
    return Run(
        seed=seed,
        role=role,
        status="ok",
        metric_nano=nano,
        secret_nano=nano,
        ms=5_000,
        cpu_ms=4_000,
        serve_ms=500,
        tokens=38_400,
        peak_mem_bytes=300_000_000,
    )
