"""A library of records like a network's, signed once and stored; 100,000 take a minute.

Sessions are like a real one with task tiny, in which 171 experiments made patches of 789 bytes and
screens of 777. A session has 34 experiments, two of them kept, then a confirmation, an adoption, a
re-run of another author's claim, and the noise.
"""

import hashlib
import os
import random
import sys
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import msgpack

from protocol.keys import SigningKey
from protocol.record_kinds import Body, TaskBody
from protocol.records import MAIN_NET, Record, sign_record
from protocol.remarks import NoiseBody
from protocol.units import NANO
from tests.protocol.examples import GOOD_RUN, MANIFEST, PATCH, START_MS
from tests.protocol.worlds import adopt, confirm, rerun

NOW_MS = START_MS + 3_600_000
AUTHORS = 1_000
CLASSES = ("h200-141g", "rtx4090-24g", "cpu-x86_64", "rtx5090-32g")
EXPERIMENTS = 34
_DIFF_BYTES = 160  # compressed
_KEPT = (10, 20)  # the kept ones among them
SESSION_RECORDS = 2 * EXPERIMENTS + 5  # the first session of all has the task, too
_MEANWHILE_MS = 30  # between two records of any author


def library(kept: Path, count: int) -> list[bytes]:
    """Return the wires of at least `count` records, not sorted by time."""
    sessions = -(-count // (SESSION_RECORDS - 1))
    first = [record.wire for record in session(0, sessions)]
    key = hashlib.sha256(b"".join(first)).hexdigest()[:16]
    path = kept / f"library-{count}-{key}.msgpack"
    if not path.exists():
        print(f"  signing {count:,} records", file=sys.stderr, flush=True)
        with get_context("spawn").Pool(os.cpu_count()) as pool:
            jobs = [(number, sessions) for number in range(sessions)]
            wires = [wire for some in pool.imap(_wires, jobs, chunksize=8) for wire in some]
        new = path.with_suffix(f".{os.getpid()}")
        new.write_bytes(msgpack.packb(wires))
        new.rename(path)
    found: list[bytes] = msgpack.unpackb(path.read_bytes())
    return found


def _wires(job: tuple[int, int]) -> list[bytes]:
    return [record.wire for record in session(*job)]


def session(number: int, sessions: int) -> list[Record]:
    """Return the records of one session.

    An author makes them; all of the `sessions` take place at the same time.
    """
    chance, author = random.Random(number), number % AUTHORS
    key = SigningKey.from_seed(hashlib.sha256(b"author %d" % author).digest())
    name = CLASSES[author % len(CLASSES)]
    records: list[Record] = []

    def say(body: Body) -> bytes:
        place = len(records)
        record = sign_record(
            key,
            net=MAIN_NET,
            seq=number // AUTHORS * SESSION_RECORDS + place,
            prev=records[-1].id if records else None,
            ts_ms=START_MS + (place * sessions + number) * _MEANWHILE_MS,
            body=body,
        )
        records.append(record)
        return record.id

    if number == 0:
        say(TaskBody(manifest=MANIFEST))
    for experiment in range(EXPERIMENTS):
        tree = chance.randbytes(32)
        diff = replace(PATCH.diff, zlib=chance.randbytes(_DIFF_BYTES))
        patch = say(replace(PATCH, tree=tree, diff=diff, title=f"step {experiment}"))
        screen = confirm(tree, [chance.randrange(-(NANO // 50), NANO // 10)])
        stage = "keep" if experiment in _KEPT else "screen"
        say(replace(screen, patch=patch, hardware_class=name, stage=stage))
    gains = [chance.randrange(NANO // 10) for _ in range(5)]
    claim = confirm(tree, gains, anchors=gains[:4])
    evidence = say(replace(claim, patch=patch, hardware_class=name))
    say(replace(adopt(tree), evidence=evidence, hardware_class=name))
    vote = rerun(key, chance.randbytes(32), gains[:2], "confirmed", target=chance.randbytes(32))
    say(replace(vote, hardware_class=name))
    say(
        NoiseBody(
            task=MANIFEST.id,
            hardware_class=name,
            env=claim.env,
            tree=MANIFEST.baseline_tree,
            runs=tuple(replace(GOOD_RUN, role="base", seed=seed) for seed in range(4)),
        )
    )
    return records
