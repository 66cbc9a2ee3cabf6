"""Record the night that `arnode view --demo` shows, with real nodes on this machine.

`python -m tools.demo_night FOLDER` runs the cast of `arnode demo` and one more node, the recorded
one, whose tasks are circles-26 and tiny-short. Then it writes `node/demo/night.tar.xz`. If FOLDER
exists, it only packs what was recorded there before. The recording contains no keys and no paths.
"""

import asyncio
import io
import os
import shutil
import socket
import sqlite3
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import aclosing, closing, suppress
from pathlib import Path
from typing import Any, Final

from node.demo.cast import ARNODE, NETWORK, TASK, Actor, Cast, address_of, ended
from node.demo.recording import NIGHT
from node.demo.story import CHECKER, FINDER, idea
from node.home.control_socket import call, is_running
from node.home.home import Home
from node.home.invites import write_invite
from node.home.network_definition import Network
from node.home.networks import create_network
from node.store.boards import BoardKey
from node.store.measured_here import measured_here
from node.store.store import Store
from node.terminal.progress import silent
from protocol.errors import ArnodeError
from tools.paths import ROOT
from trainer.host.device import processor
from trainer.task_kinds import kind_of, load_task

_LEAST_S: Final = 6 * 60.0
_MOST_S: Final = 18 * 60.0
_LOOKED_S: Final = 5.0
_BEFORE: Final = 1  # experiments on the leaderboard's task before claims are re-run
_LEAST: Final = 2
_SEED_DIGITS: Final = 64
_LEAST_NAME: Final = 4  # a shorter name may be part of any word
_NICE: Final = 10
_TURN: Final = "90s"
_ALONE: Final = {"circles-26": "3m", TASK: "7m"}  # the session on each task before others join
_RECORDED: Final = "night"


async def record(root: Path) -> None:
    """Run the recorded node alone, then with others until claims were re-run.

    It ends once the recorded node has re-run two peers' claims, and a peer one.
    """
    task = load_task(TASK, data_dir=root / "data")
    kind_of(task.manifest).prepare(task, data_dir=root / "data", progress=silent)
    for name in ("finder", "checker", "liar", _RECORDED):
        home = Home(root / name)
        home.prepare()
        shutil.copytree(root / "data", home.data, dirs_exist_ok=True)
    async with aclosing(Cast(root, is_temporary=False)) as cast:

        async def start(name: str, module: str, *words: str, **settings: str) -> Actor:
            shared = {"ARNODE_NET": NETWORK, "ARNODE_WEB": "none", "ARNODE_DHT": "0"}
            return await cast.start(name, module, words, {**shared, **settings})

        for name, span in _ALONE.items():
            session = ("start", "--task", name, "--for", span)
            alone = await start(_RECORDED, ARNODE, *session, ARNODE_ONLINE="false")
            if await alone.process.wait():
                raise ended(alone)
        create_network(Home(root / "bootstrap"), Network(name=NETWORK))
        bootstrap = await start("bootstrap", ARNODE, "network", "bootstrap", "--http", "none")
        line = write_invite(Network(name=NETWORK, bootstrap=(await address_of(bootstrap),)))
        joining = ("start", "--task", TASK, "--join", line)
        both = (
            "start",
            "--task",
            "circles-26",
            "--task",
            f"{TASK}:3",
            "--turn",
            _TURN,
            "--join",
            line,
        )
        actors = [
            bootstrap,
            await start("liar", "node.demo.liar", line),
            finder := await start("finder", ARNODE, *joining, **FINDER),
            await start("checker", ARNODE, *joining, **CHECKER),
            recorded := await start(_RECORDED, ARNODE, *both, ARNODE_PROMOTION_TRIAL_HOURS="0.02"),
        ]
        started_s = time.monotonic()
        asked, is_handed_in = set[bytes](), False
        while (passed_s := time.monotonic() - started_s) < _MOST_S:
            for actor in actors:
                if actor.process.returncode is not None:
                    raise ended(actor)
            if not is_handed_in and is_running(finder.home.socket):
                is_handed_in = True
                files = dict(idea(task).files)
                words: dict[str, Any] = {"files": files, "title": "own-rates", "why": ""}
                call(finder.home.socket, "submit", words)
            with suppress(ArnodeError):  # the node is busy, or has no store yet
                if _look(recorded, task.id, asked, passed_s) and passed_s >= _LEAST_S:
                    break
            await asyncio.sleep(_LOOKED_S)
        with suppress(ArnodeError):
            call(recorded.home.socket, "stop")
            await asyncio.wait_for(recorded.process.wait(), 120)


def _look(recorded: Actor, task: bytes, asked: set[bytes], passed_s: float) -> bool:
    """Ask for re-runs of peers' claims. Return True once enough has been measured."""
    key = BoardKey(net=NETWORK, task=task, hardware_class=processor().slug)
    with Store.open_read_only(recorded.home) as store:
        own = {record.author for record in store.records.own()[:1]}
        rows = store.boards.get(key).rows if store.records.manifest(task) else ()
        here = measured_here(store.boards.own_facts(key))
        experiments = [one.task for one in store.experiments.listed(limit=1000)]
    of_task = experiments.count(task)
    for row in rows:
        if of_task >= _BEFORE and row.author not in own and row.result not in asked:
            call(recorded.home.socket, "verify", {"claim": row.result.hex()})
            asked.add(row.result)
    reruns = sum(row.confirmed + row.smaller + row.refuted for row in rows)
    counts = f"{len(experiments)} experiments, {of_task} of them on {TASK}; {len(rows)} rows"
    reported = f"{counts}, {reruns} re-runs by others, {len(here)} rows measured here"
    print(f"{passed_s:5.0f} s  {reported}", flush=True)
    return len(rows) >= 2 and len(here) >= 2 and reruns >= 1 and of_task >= _LEAST


def pack(home: Home, out: Path) -> None:
    """Write a home's store and blobs to a file. Raises ValueError if a secret would be in it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / home.store.name
        with closing(sqlite3.connect(home.store)) as database:
            database.execute("VACUUM INTO ?", [str(copy)])
        with closing(sqlite3.connect(copy)) as database:
            database.execute("DELETE FROM meta WHERE key = 'place' OR key LIKE 'port %'")
            database.execute("DELETE FROM membership")
            database.commit()
            database.execute("VACUUM")
        blobs = sorted(path for path in home.blobs.rglob("*") if path.is_file())
        contents = {home.store.name: copy.read_bytes()}
        contents |= {str(path.relative_to(home.root)): path.read_bytes() for path in blobs}
    for name, data in contents.items():
        for what, secret in _secrets(home):
            if secret in data:
                raise ValueError(f"{name} contains {what}")
    with tarfile.open(out, "w:xz", preset=9) as packed:
        for name, data in sorted(contents.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            packed.addfile(entry, io.BytesIO(data))


def _secrets(home: Home) -> Iterator[tuple[str, bytes]]:
    """Yield what must not be in a recording: keys, secrets, and names of this machine."""
    words = home.key.read_text().split()
    seeds = [bytes.fromhex(one) for one in words if len(one) == _SEED_DIGITS]
    assert len(seeds) >= len(("author", "transport"))
    for seed in seeds:
        yield "a key", seed
        yield "a key", seed.hex().encode()
    secret = home.secret.read_bytes()
    yield "the node's secret", secret
    yield "the node's secret", secret.hex().encode()
    yield "a path of this machine", str(home.root).encode()
    yield "a path of this machine", str(Path.home()).encode() + b"/"
    yield "a path of this machine", str(ROOT).encode()
    if len(name := socket.gethostname().encode()) >= _LEAST_NAME:
        yield "this machine's name", name


def main() -> None:
    """Record a night unless FOLDER has one, then pack it."""
    root = Path(sys.argv[1]).resolve()
    if not root.exists():
        os.nice(_NICE)
        root.mkdir(mode=0o700)
        asyncio.run(record(root))
    out = ROOT / "node" / "demo" / NIGHT
    pack(Home(root / _RECORDED), out)
    print(f"{out.name}: {out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
