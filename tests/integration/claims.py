"""Untrusted claims about real sources, true or false: as bundles, or published by another node."""

from dataclasses import replace
from pathlib import Path

from node.exchange.bundle import write_bundle
from node.exchange.bundling import gather
from node.home.clock import clock_ms
from node.home.home import Home
from node.home.keyfile import identity_of, load_keys
from node.home.settings_in_force import config_of
from node.line.open_task import Subject
from node.line.record_writer import RecordWriter
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.hygiene import compress
from protocol.keys import SigningKey
from protocol.patches import file_changes, unified_diff
from protocol.record_kinds import Body, Diff, Origin, PatchBody, TaskBody
from protocol.records import sign_record
from protocol.source import Source
from tests.protocol.examples import START_MS
from tests.protocol.worlds import confirm
from trainer.cards.cards import probe_devices
from trainer.host.device import processor
from trainer.program.manifest import recipe_of
from trainer.task_folder.task import Task

KEY = SigningKey.from_seed(b"somebody whom nobody here knows!")
PAIRS = 4
PROGRAM_PAIRS = 12  # of differences, which show nothing below 10


def write_claim(path: Path, task: Task, source: Source, gain_sd: float) -> None:
    """Write a bundle with an untrusted claim of a gain, in noise floors over the baseline."""
    base, noise_nano = task.source, task.manifest.noise_floor_nano
    with Store.open(Home(path.with_suffix(".home"))) as store:
        blobs = Blobs(path.with_suffix(".blobs"))
        blobs.put_source(base)
        blobs.put_source(source)
        said: list[bytes] = []

        def say(body: Body) -> bytes:
            record = sign_record(
                KEY, net="main", seq=len(said), prev=None, ts_ms=START_MS + len(said), body=body
            )
            assert store.intake.ingest([record.wire], now_ms=START_MS).new == [record.id]
            said.append(record.id)
            return record.id

        say(TaskBody(manifest=task.manifest))
        patch = say(claimed_patch(task, source))
        gains = [round(gain_sd * noise_nano)] * PAIRS
        body = confirm(source.tree, gains, base=base.tree, anchors=gains)
        hardware_class = processor().slug
        result = say(replace(body, task=task.id, hardware_class=hardware_class, patch=patch))
        write_bundle(path, gather(store, blobs, store.records.get(result)))


def claimed_patch(task: Task, source: Source, *, base: Source | None = None) -> PatchBody:
    """Return the step from a tree, else the baseline, to a source, as a peer publishes it."""
    base = base or task.source
    return PatchBody(
        task=task.id,
        base=base.tree,
        tree=source.tree,
        files=file_changes(base, source),
        diff=Diff(zlib=compress(unified_diff(base, source).encode())),
        title="a gain",
        why="",
        parents=(),
        origin=Origin(proposer="search"),
    )


def changed(task: Task, text: str) -> Source:
    """Return the task's source with this text as train.py."""
    return task.source.replacing("train.py", text.encode())


def publish_claim(
    home: Home,
    net: str,
    task: Task,
    source: Source,
    *,
    gain_nano: int,
    level_nano: int,
    answer: bytes | None = None,
) -> bytes:
    """Have a node say, before it starts, what a program gains; return the result's id.

    Nothing is run. The task is announced with its files, as a working node would. `answer` is
    what the program is said to have answered.
    """
    config = config_of(home, {"net": net})
    home.prepare()
    with home.lock(), Store.open(home) as store, store.transaction():
        blobs = Blobs(home.blobs)
        record_writer = RecordWriter(
            store=store,
            blobs=blobs,
            identity=identity_of(load_keys(home), config),
            subject=Subject.on(
                probe_devices(task.manifest, config.gpus)[0],
                task.manifest,
                task.source,
                named_blobs=recipe_of(task).named_blobs,
            ),
            clock_ms=clock_ms,
        )
        base, tree = (blobs.put_source(one) for one in (task.source, source))
        record_writer.announce()
        patch = record_writer.patch(
            base, tree, title="much better", why="", parents=(), origin=Origin(proposer="search")
        )
        runs = confirm(tree, [gain_nano] * PROGRAM_PAIRS, level=level_nano).runs
        if answer is not None:
            blob = blobs.put(answer)
            runs = tuple(
                replace(run, answer=blob) if run.role == "candidate" else run for run in runs
            )
        return record_writer.result(
            patch.id, base, tree, stage="confirm", runs=runs, note="", has_verdict=True
        ).id


def write_published(path: Path, home: Home, claim: bytes) -> None:
    """Write the bundle of a claim that a node has made."""
    with Store.open_read_only(home) as store:
        write_bundle(path, gather(store, Blobs(home.blobs), store.records.get(claim)))
