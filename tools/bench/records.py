"""The speed of importing records compared with only checking signatures, and a store of a million.

The store is made once, with many authors on many machines, and kept under build/bench.
"""

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import quantiles

from node.home.home import Home
from node.store.intake import Quotas
from node.store.store import Store
from protocol.errors import Rejected
from protocol.keys import SIGNATURE_CONTEXT, SigningKey, verify
from protocol.reconciliation import Initiator, respond
from protocol.record_index import RecordIndex, key_of
from protocol.record_kinds import Body, TaskBody
from protocol.records import MAIN_NET, Record, sign_record
from protocol.topics import all_subscriptions
from protocol.units import NANO
from tests.protocol.examples import MANIFEST, PATCH, START_MS
from tests.protocol.worlds import adopt, confirm, rerun

MANY = 1_000_000
SOME = 20_000
NOW_MS = START_MS + 10**10
_AUTHORS = 1_000
_CLASSES = tuple(f"rtx{number}090-24g" for number in range(20))
_LOOK_UPS = 1_000
_BATCH = 10_000
_ROUNDS = 3


def run_records(kept: Path) -> dict[str, object]:
    """Run the benchmark and return its figures."""
    home = Home(kept / "million")
    _make_million(home)
    asked = subprocess.run(
        [sys.executable, "-m", "tools.bench.records", str(home.root)],
        stdout=subprocess.PIPE,
        check=True,
    )
    return {**_intake(kept), "million": json.loads(asked.stdout), **_reconciliation()}


def _intake(kept: Path) -> dict[str, object]:
    """Time importing records, in turns with only checking the same signatures."""
    records = list(_records(range(SOME), seed=1))
    wires = [record.wire for record in records]
    bare_s: list[float] = []
    new_s: list[float] = []
    known_s: list[float] = []
    for turn in range(_ROUNDS):
        bare_s.append(_seconds(lambda: _check_signatures(records)))
        root = kept / f"intake-{os.getpid()}-{turn}"
        with Store.open(Home(root)) as store:
            new_s.append(_seconds(partial(store.intake.ingest, wires, now_ms=NOW_MS)))
            known_s.append(_seconds(partial(store.intake.ingest, wires, now_ms=NOW_MS)))
        shutil.rmtree(root)
        print(f"  intake {turn + 1} of {_ROUNDS}", file=sys.stderr)
    return {
        "bare_signatures_per_s": round(SOME / min(bare_s)),
        "new_records_per_s": round(SOME / min(new_s)),
        "share_of_bare": round(min(bare_s) / min(new_s), 2),
        "duplicates_per_s": round(SOME / min(known_s)),
    }


def _check_signatures(records: list[Record]) -> None:
    for record in records:
        assert verify(record.author, SIGNATURE_CONTEXT + record.payload_bytes, record.signature)


def _make_million(home: Home) -> None:
    with Store.open(home) as store:
        store.intake.quotas = Quotas(news=10**6, bulk=10**6, total=2 * MANY)
        with get_context("spawn").Pool(os.cpu_count()) as pool:
            starts = range(store.records.count() // _BATCH * _BATCH, MANY, _BATCH)
            for start, wires in zip(starts, pool.imap(_wires, starts), strict=True):
                store.intake.ingest(wires, now_ms=NOW_MS)
                print(f"  {start + _BATCH:,} of {MANY:,} records", file=sys.stderr)
        for key in store.boards.listed(MAIN_NET):
            store.boards.get(key)


def _wires(start: int) -> list[bytes]:
    return [record.wire for record in _records(range(start, start + _BATCH), seed=start)]


def _records(numbers: range, *, seed: int) -> Iterator[Record]:
    """Yield records like a large network's: mostly patches and screens of many authors."""
    chance = random.Random(seed)
    for number in numbers:
        author = number % _AUTHORS
        key = SigningKey.from_seed(hashlib.sha256(b"author %d" % author).digest())
        yield sign_record(
            key,
            net=MAIN_NET,
            seq=number // _AUTHORS,
            prev=hashlib.sha256(b"%d" % number).digest(),
            ts_ms=START_MS + number * 1_000,
            body=TaskBody(manifest=MANIFEST) if number == 0 else _body(key, author, chance),
        )


def _body(key: SigningKey, author: int, chance: random.Random) -> Body:
    # Half of the authors have the same card, so one leaderboard is as large as ten others.
    name = _CLASSES[0 if author % 2 else author % len(_CLASSES)]
    tree = chance.randbytes(32)
    popular = hashlib.sha256(b"tree %d" % chance.randrange(2_000)).digest()
    gains = [chance.randrange(-(NANO // 50), NANO // 10) for _ in range(5)]
    drawn = chance.random()
    if drawn < 0.45:
        body: Body = replace(PATCH, tree=tree, diff=replace(PATCH.diff, zlib=chance.randbytes(500)))
    elif drawn < 0.97:
        screen = confirm(tree, gains[:1], base=popular)
        body = replace(screen, stage="screen", hardware_class=name)
    elif drawn < 0.985:
        body = replace(confirm(popular, gains, anchors=gains), hardware_class=name)
    elif drawn < 0.995:
        body = replace(rerun(key, popular, gains, "confirmed"), hardware_class=name)
    else:
        body = replace(adopt(popular), hardware_class=name)
    return body


def _ask_million(root: Path) -> None:
    """Print a reader's measurements of the large store, in a separate process for its memory."""
    started_s = time.perf_counter()
    home = Home(root)
    with Store.open(home) as store:
        start_s = time.perf_counter() - started_s
        chance = random.Random(2)
        numbers = [chance.randrange(1, MANY) for _ in range(_LOOK_UPS)]
        find = "SELECT id FROM record WHERE n = ?"
        ids = [store.database.rows(find, (number,))[0][0] for number in numbers]
        boards = store.boards.listed(MAIN_NET)
        figures = {
            "records": store.records.count(),
            "start_up_s": round(start_s, 3),
            "board_top_50_p99_ms": _p99_ms(lambda: store.boards.get(chance.choice(boards), 50)),
            "record_by_prefix_p99_ms": _p99_ms(
                lambda: store.records.find(chance.choice(ids).hex()[:12])
            ),
            "disk_bytes": home.store.stat().st_size,
            "rss_bytes": _peak_rss_bytes(),
        }
        topics = all_subscriptions(MAIN_NET, [MANIFEST.id])
        built_s = _seconds(lambda: store.topics.indexes(topics))
        figures["index_s"] = round(built_s, 2)
        figures["rss_with_index_bytes"] = _peak_rss_bytes()
    print(json.dumps(figures))


def _peak_rss_bytes() -> int:
    """Return this process's peak memory. `getrusage` would include the process that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def _reconciliation() -> dict[str, object]:
    """Return the bytes, round trips and milliseconds to reconcile sets of the sizes in RECORDS."""
    chance = random.Random(3)
    times = (START_MS + chance.randrange(10**9) for _ in range(100_000))
    keys = sorted(key_of(time_ms, chance.randbytes(32)) for time_ms in times)
    dropped = set(chance.sample(range(len(keys)), 100))
    fewer = [key for number, key in enumerate(keys) if number not in dropped]
    sets = {"identical": keys, "newest_100_missing": keys[:-100], "random_100_missing": fewer}
    figures = {name: _reconcile(some, keys) for name, some in sets.items()}
    return {"reconciliation_of_100k": figures}


def _reconcile(ours: list[bytes], theirs: list[bytes]) -> dict[str, object]:
    own, other = RecordIndex(ours), RecordIndex(theirs)
    len(own), len(other)  # computes the sums, which are lazy
    rounds = [_reconcile_once(own, other) for _ in range(_ROUNDS)]
    size, trips, _ = rounds[0]
    return {
        "bytes": size,
        "round_trips": trips,
        "ms": round(1000 * min(took_s for _, _, took_s in rounds), 2),
    }


def _reconcile_once(own: RecordIndex, other: RecordIndex) -> tuple[int, int, float]:
    found = size = trips = 0
    started_s = time.perf_counter()
    initiator = Initiator(own)
    message: bytes | None = initiator.open()
    while message is not None:
        answer = respond(other, message)
        assert not isinstance(answer, Rejected)
        size += len(message) + len(answer)
        trips += 1
        received = initiator.receive(answer)
        assert not isinstance(received, Rejected)
        found += len(received[0].need)
        message = received[1]
    took_s = time.perf_counter() - started_s
    assert found == len(other) - len(own)
    return size, trips, took_s


def _p99_ms(ask: Callable[[], object]) -> float:
    ask()
    return round(1000 * quantiles([_seconds(ask) for _ in range(_LOOK_UPS)], n=100)[98], 3)


def _seconds(work: Callable[[], object]) -> float:
    started_s = time.perf_counter()
    work()
    return time.perf_counter() - started_s


if __name__ == "__main__":
    _ask_million(Path(sys.argv[1]))
