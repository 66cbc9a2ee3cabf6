"""`kill -9` while peers' records are imported and own ones published.

A child process imports batches, signs its own records, and reports each commit. It is killed after
a random time. All reported records must be in the store. No sequence number of the own chain may
have two records. The stored leaderboard must equal the one computed from the records.
"""

import hashlib
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from node.home.home import Home
from node.home.keyfile import load_keys
from node.maintenance.fsck import examine
from node.store.boards import BoardKey
from node.store.intake import Quotas
from node.store.store import Store
from protocol.board import board_of
from protocol.keys import SigningKey
from protocol.record_kinds import Body, TaskBody
from protocol.records import MAIN_NET, Record, sign_record
from protocol.units import NANO
from tests.protocol.examples import MANIFEST, START_MS
from tests.protocol.worlds import CLASS, TREES, adopt, confirm, rerun, retract

KEY = BoardKey(net=MAIN_NET, task=MANIFEST.id, hardware_class=CLASS)
NOW_MS = START_MS + 10**9
_BATCH = 10
_SHORTEST_S, _LONGEST_S = 0.01, 0.3
_AUTHORS = 12


def run_ingest(home: Path, rounds: int, seed: int) -> dict[str, object]:
    """Kill the child `rounds` times on this home; return the figures. `holds` sums them up."""
    chance, place = random.Random(seed), Home(home)
    problems: list[str] = []
    committed: set[bytes] = set()
    own: dict[int, bytes] = {}
    for number in range(1, rounds + 1):
        said = _kill_after(home, number, chance.uniform(_SHORTEST_S, _LONGEST_S))
        for kind, seq, record_id in said:
            committed.add(record_id)
            if kind == "own" and own.setdefault(seq, record_id) != record_id:
                problems.append(f"kill {number}: own number {seq} stands for two records")
        problems += [f"kill {number}: {problem}" for problem in _problems(place, committed, own)]
        print(f"  kill {number} of {rounds}", file=sys.stderr, flush=True)
    with Store.open_read_only(place) as store:
        count = store.records.count()
    return {
        "kills": rounds,
        "records": count,
        "committed": len(committed),
        "own": len(own),
        "problems": problems,
        "holds": not problems and bool(own) and len(committed) > rounds,
    }


def _kill_after(home: Path, number: int, seconds: float) -> list[tuple[str, int, bytes]]:
    """Run the child for a time after its first line; return the commits that it reported."""
    command = [sys.executable, "-m", "tools.soak.ingest", str(home), str(number)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        first = child.stdout.readline()
        time.sleep(seconds)
        child.kill()
        rest = child.stdout.read()
    whole = (first + rest).rpartition(b"\n")[0]  # the last line may be incomplete
    words = [line.decode().split() for line in whole.splitlines()]
    return [(kind, int(seq), bytes.fromhex(digits)) for kind, seq, digits in words]


def _problems(home: Home, committed: set[bytes], own: dict[int, bytes]) -> list[str]:
    problems: list[str] = []
    with home.lock(), Store.open(home) as store:
        records = store.records.listed()
        here = {record.id for record in records}
        if lost := committed - here:
            problems.append(f"{len(lost)} committed records are gone")
        chain = store.records.own()
        if [record.seq for record in chain] != list(range(len(chain))):
            problems.append("the own chain has gaps or doubles")
        if any(own.get(record.seq, record.id) != record.id for record in chain):
            problems.append("an own number stands for two records")
        if store.records.manifest(MANIFEST.id) and store.boards.get(KEY) != board_of(
            records, MANIFEST, CLASS
        ):
            problems.append("the board does not follow from the records")
    return problems + examine(home)


def main() -> None:
    """Run as the child: import, sign and report commits until killed."""
    home, number = Home(Path(sys.argv[1])), int(sys.argv[2])
    with home.lock(), Store.open(home) as store:
        store.intake.quotas = Quotas(news=10**6, bulk=10**6)
        author = load_keys(home).author
        untrusted = _untrusted_records(number)
        while True:
            batch = [next(untrusted) for _ in range(_BATCH)]
            report = store.intake.ingest([record.wire for record in batch], now_ms=NOW_MS)
            _say("new", 0, report.new)
            record = store.append_own(author, adopt(TREES[0]), ts_ms=NOW_MS)
            _say("own", record.seq, [record.id])


def _say(kind: str, seq: int, ids: list[bytes]) -> None:
    os.write(1, b"".join(f"{kind} {seq} {one.hex()}\n".encode() for one in ids))


def _untrusted_records(number: int) -> Iterator[Record]:
    """Yield records of several authors, including retractions and equivocations."""
    chance = random.Random(number)
    seqs: Counter[int] = Counter()
    made: dict[int, list[bytes]] = {}
    while True:
        author = chance.randrange(_AUTHORS)
        seed = hashlib.sha256(b"%d/%d" % (number if author else 0, author)).digest()
        key = SigningKey.from_seed(seed)
        tree = chance.choice(TREES)
        gains = [chance.randrange(NANO // 10) for _ in range(4)]
        own = made.setdefault(author, [])
        kind = chance.randrange(100)
        body: Body
        if kind < 3 and own:
            body = retract(chance.choice(own))
        elif kind < 6:
            body = TaskBody(manifest=MANIFEST)
        elif kind < 60:
            body = confirm(tree, gains)
        elif kind < 80:
            body = rerun(key, tree, gains, "confirmed")
        else:
            body = adopt(tree)
        equivocates = author == 0 and chance.randrange(50) == 0
        record = sign_record(
            key,
            net=MAIN_NET,
            seq=seqs[author] - equivocates * (seqs[author] > 0),
            prev=own[-1] if own else None,
            ts_ms=START_MS + chance.randrange(10**6),
            body=body,
        )
        seqs[author] += 1
        own.append(record.id)
        yield record


if __name__ == "__main__":
    main()
