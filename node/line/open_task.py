"""A task opened on this machine: its data, the secret of its splits, and the runners.

Opening is the slow part of every command that measures, so it reports its progress. Every session
measures the cost of the baseline here again.

A peer's task runs from the fetched files, and only if untrusted code may run here, as its judge is
untrusted code.
"""

import asyncio
import hmac
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from node.home.config import Config
from node.home.faults import explaining_faults
from node.home.home import Home
from node.home.keyfile import load_secret
from node.home.sandboxing import require_peer_sandbox
from node.home.settings_in_force import config_of
from node.line.splits import split_key
from node.store.blobs import Blobs
from node.store.named_tasks import folder_of_name
from node.store.records import ID_PREFIX, begins
from node.store.store import Store
from node.terminal.progress import Progress, in_thread
from protocol.errors import UsageError
from protocol.hygiene import Scored, memorised
from protocol.manifest import TaskManifest
from protocol.runs import Env
from protocol.source import Source
from trainer.card_selftest.report import SelfTestConditions, load_report, with_selftest_result
from trainer.cards.cards import probe_cards
from trainer.host.device import Device
from trainer.measuring.kind import Prepared
from trainer.measuring.lane import LaneRunner
from trainer.measuring.models import KeptModels
from trainer.runner import Runner
from trainer.sandbox.compiled import CompiledCode
from trainer.sandbox.visible import visible_tree
from trainer.task_folder.folder import OWN_TASKS, builtin_tasks, find_folder
from trainer.task_folder.task import Task
from trainer.task_kinds import builtin_ids, kind_of, load_task, text_task
from trainer.task_kinds import untrusted_task as assembled

AUTO: Final = "auto"  # the setting's value
STAND_IN: Final = "tiny"  # needs no card and no downloaded data
OF_CARDS: Final = "nanochat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The facts that every record of a line states: its task, hardware class and environment.

    `source` is the task's baseline, `named_blobs` the other files that peers need for it. Writing
    records needs neither the task's folder nor its data.
    """

    manifest: TaskManifest
    source: Source
    hardware_class: str
    env: Env
    named_blobs: tuple[bytes, ...] = ()

    @classmethod
    def on(
        cls,
        device: Device,
        manifest: TaskManifest,
        source: Source,
        named_blobs: tuple[bytes, ...] = (),
    ) -> "Subject":
        """Return the facts for records about a task, measured on `device`."""
        return cls(
            manifest=manifest,
            source=source,
            named_blobs=named_blobs,
            hardware_class=device.slug,
            env=Env.of(device.environment),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The objects that stay the same while a node works on one task and one hardware class.

    `secret` is the node's secret. `others` are the runners of the devices after the first.
    `is_shared` is True if all devices are the processor. `forks_untrusted` is the setting `fork`.
    """

    task: Task
    subject: Subject
    data: Prepared
    runner: LaneRunner
    secret: bytes = field(repr=False)
    others: tuple[LaneRunner, ...] = ()
    is_shared: bool = False
    forks_untrusted: bool = True

    @property
    def runners(self) -> tuple[LaneRunner, ...]:
        """One runner for each device, or for each lane of the processor."""
        return (self.runner, *self.others)

    @property
    def metric_tolerance(self) -> float:
        """The difference in the metric that an audit tolerates, the largest of all devices."""
        return max(runner.metric_tolerance for runner in self.runners)

    def split(self, nonce: bytes) -> bytes:
        """Return the key of a nonce's secret split (`node.line.splits`)."""
        return split_key(self.secret, task=self.subject.manifest.id, nonce=nonce)

    def memorised(self, base: Source, candidate: Source, *, prior_runs: int) -> float:
        """Return the gain that a candidate could reach by memorising text, in the metric's unit.

        `prior_runs` is the number of earlier runs that could have revealed something about the text
        that splits are drawn from.
        """
        data = self.data
        if data.scored_bytes is None:
            return 0.0
        return memorised(
            base,
            candidate,
            Scored(
                bytes=data.scored_bytes,
                pool_bytes=data.pool_bytes,
                is_public=data.is_pool_public,
                prior_runs=prior_runs,
            ),
        )

    async def open(self) -> None:
        """Start to watch the devices. Raises CardLost if one is gone."""
        await asyncio.gather(*(runner.open() for runner in self.runners))

    def is_used_by_others(self) -> bool:
        """Return True if other programs used a device noticeably since the last call."""
        used = [runner.is_used_by_others() for runner in self.runners]  # ask every runner
        return any(used)

    async def close(self) -> None:
        """Close the runners and their waiting sandboxes."""
        for runner in self.runners:
            await runner.close()


def require_known(home: Home, name: str) -> None:
    """Raise UsageError if there is no task with this name, folder or id. Reads no task file."""
    if name != AUTO and known_by_id(home, name) is None:
        find_folder(named_task(home, name), home.data / OWN_TASKS)


def load_named(home: Home, name: str) -> Task:
    """Return the task with a name, folder or id. Raises what `load_task` raises."""
    wanted = named_task(home, name)
    return untrusted_task(home, wanted) or load_task(wanted, data_dir=home.data)


def find_task(home: Home, *, name: str, text: Path | None, progress: Progress) -> Task:
    """Return the task with a name, folder or id, or the task made of the user's text at a path."""
    if text is None:
        return load_named(home, name)
    progress("reading the text", 0.0)
    return text_task(text, data_dir=home.data)


@asynccontextmanager
async def opened(
    home: Home,
    config: Config,
    task: Task,
    progress: Progress,
    *,
    devices: Sequence[Device],
    needs_all: bool,
    models: KeptModels | None = None,
    lanes: Sequence[LaneRunner] = (),
) -> AsyncIterator[Session]:
    """Open a task on devices, one for each lane, for the duration of the block.

    With `needs_all`, all of its training text is loaded, otherwise only what a first run needs.
    `models` are the models that its programs may call. `lanes` are on other machines, with devices
    like the first one, and replace the devices here.
    """
    opening = partial(
        open_session,
        home,
        task,
        devices=devices,
        data_url=config.data_url,
        forks_untrusted=config.fork == "all",
        patience_s=60 * config.quiet_minutes,
        models=models,
        lanes=lanes,
    )
    session = await in_thread(opening, progress)
    try:
        if needs_all:
            await in_thread(session.data.load_rest, progress)
        if devices[0].cuda is not None and not lanes:
            progress("measuring the card's usual load", 0.95)
        await session.open()
        yield session
    finally:
        await session.close()


def open_session(
    home: Home,
    task: Task,
    progress: Progress,
    *,
    devices: Sequence[Device],
    data_url: str | None,
    forks_untrusted: bool,
    patience_s: float,
    models: KeptModels | None = None,
    lanes: Sequence[LaneRunner] = (),
    audit_key: bytes | None = None,
) -> Session:
    """Prepare the data that a first run needs, and a runner for each device.

    `data_url`, `forks_untrusted` and `patience_s` (how long a disturbed run may wait) are settings.
    `session.data.load_rest` loads the other training text. `models` is for programs that query
    models. `lanes` are as in `opened`. `audit_key` is derived from this home's secret by default.
    """
    with explaining_faults(home.data):
        data = kind_of(task.manifest).prepare(
            task,
            data_dir=home.data,
            data_url=data_url,
            visible=_visible_host_files(devices),
            progress=progress,
        )
    secret = load_secret(home)
    proven = [with_selftest_result(device, home.data) for device in devices]
    runner, *others = lanes or [
        Runner(
            task,
            data,
            device=device,
            compiled=_compiled(home, task, device),
            audit_key=audit_key or audit_key_of(secret),
            patience_s=patience_s,
            models=models,
        )
        for device in proven
    ]
    return Session(
        task=task,
        subject=Subject.on(proven[0], task.manifest, task.source, task.recipe.named_blobs),
        data=data,
        runner=runner,
        secret=secret,
        others=tuple(others),
        is_shared=bool(others) and not lanes and devices[0].cuda is None,
        forks_untrusted=forks_untrusted,
    )


def audit_key_of(secret: bytes) -> bytes:
    """Return the secret that decides what a node's audits check."""
    return hmac.digest(secret, b"arnode/audits/1", "sha256")


def _visible_host_files(devices: Sequence[Device]) -> list[Path] | None:
    """Return the host files shown in sandboxes with a card; None for the default files."""
    if all(device.cuda is None for device in devices):
        return None
    return visible_tree(with_cuda=True).host_files()


def _compiled(home: Home, task: Task, device: Device) -> CompiledCode | None:
    if device.cuda is None:
        return None
    setting = f"{device.slug}-torch{device.environment['torch']}"
    return CompiledCode(home.data / "compiled", baseline=task.source.tree, setting=setting)


def untrusted_task(home: Home, wanted: str) -> Task | None:
    """Return a peer's task from the first digits of its id; None if it is not a peer's task.

    Raises UsageError if files of it are missing, SafetyError if its judge may not run here.
    """
    manifest = known_by_id(home, wanted)
    if manifest is None or manifest.id in builtin_ids(home.data).values():
        return None
    blobs = Blobs(home.blobs)
    if lacking(blobs, manifest):
        raise UsageError(
            f"task {manifest.name} ({wanted}) is known here by its id, but its files are missing",
            f"fetch them from peers, while a node runs: arnode task fetch {wanted}",
        )
    require_peer_sandbox(config_of(home))
    return assembled(manifest, blobs.get_source(manifest.baseline_tree), blobs.get)


def known_by_id(home: Home, wanted: str) -> TaskManifest | None:
    """Return the one task whose id starts with these digits, if it was announced here."""
    if not ID_PREFIX.fullmatch(wanted) or not home.store.exists():
        return None
    with Store.open_read_only(home) as store:
        found = [store.records.manifest(task) for task in store.records.tasks_by_prefix(wanted)]
    known = [manifest for manifest in found if manifest is not None]
    return known[0] if len(known) == 1 else None


def _builtin_by_id(home: Home, wanted: str) -> str | None:
    """Return the name of the one built-in task whose id starts with these digits."""
    if not ID_PREFIX.fullmatch(wanted.lower()):
        return None
    ids = builtin_ids(home.data)
    found = [name for name, task in ids.items() if begins(task, wanted)]
    return found[0] if len(found) == 1 else None


def lacking(blobs: Blobs, manifest: TaskManifest) -> list[bytes]:
    """Return the hashes of a task's files that are missing here."""
    named_blobs = manifest.program.blobs if manifest.program else ()
    needed = [manifest.baseline_tree, *(blob for _, blob in manifest.files), *named_blobs]
    return [blob for blob in needed if not blobs.has(blob)]


def named_task(home: Home, name: str) -> str:
    """Return the task that a setting names; choose one for `auto`, by the cards' self-tests.

    A name that this home knows from an earlier folder means that folder, wherever one is. The first
    digits of a built-in task's id mean that task.
    """
    if name != AUTO:
        if name in builtin_tasks() or Path(name).exists():
            return name
        if home.store.exists():
            with Store.open_read_only(home) as store:
                if folder := folder_of_name(store, name):
                    return folder
        return _builtin_by_id(home, name) or name
    results = [
        load_report(SelfTestConditions.of(card.device), home.data) for card in probe_cards().cards
    ]
    return OF_CARDS if any(result and result.passed for result in results) else STAND_IN
