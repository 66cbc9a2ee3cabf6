"""A hub for tests on loopback: real parquet shards, and a server that can misbehave.

The server announces hashes or not, cuts connections, changes files and refuses requests.
"""

import hashlib
import math
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from trainer.tasks.tiny import world

_LOOKED_S = 0.05
_STOPPED_S = 0.01  # how often a server checks whether it must stop
_PIECE = 1 << 18  # bytes

SPLITS = {  # the number of each shard, and its least bytes of text
    "training/shard_0.parquet": (0, 480_000),
    "training/shard_1.parquet": (1, 480_000),
    "public/shard_8.parquet": (8, 120_000),
    "secret/shard_9.parquet": (9, 240_000),
}

# A task of these shards without hashes, with a script that trains for a number of seconds.
_SCRIPT = Path(__file__).parents[1] / "tasks" / "seconds"
UNPINNED = """
extends = "tiny"
name = "unpinned"
title = "a model on shards that nobody has looked at"
moves = "moves.toml"
warmup_limit_s = 60
limit_s = 60

[budget]
seconds = 2

[hyperparameters]

[data]
recipe = "shards"
url = "{url}"
vocabulary_size = 512
context = 128
rows = 64

[data.shards]
training = ["shard_0.parquet", "shard_1.parquet"]
public = ["shard_8.parquet"]
secret = ["shard_9.parquet"]
"""


@cache
def documents_of(name: str) -> tuple[str, ...]:
    """Return a shard's documents, of tiny's world; each shard has another split."""
    number, size = SPLITS[name]
    split = b"secret\0" + hashlib.sha256(b"shards").digest() + number.to_bytes(8, "big")
    return tuple(document.text for document in world.first_documents(split, size))


def write_hub(folder: Path) -> Path:
    """Write the shards into a folder and return it."""
    for name in SPLITS:
        column = pa.array([*documents_of(name), None, ""], pa.string())
        table = pa.table({"id": pa.array(range(len(column))), "text": column})
        pq.write_table(table, folder / name.partition("/")[2], row_group_size=100)
    return folder


def write_unpinned(folder: Path, url: str, replaced: Mapping[str, str] | None = None) -> Path:
    """Write a task folder that names the shards at a URL without their hashes, and return it."""
    text = UNPINNED.format(url=url)
    for old, new in (replaced or {}).items():
        assert old in text
        text = text.replace(old, new)
    folder.mkdir(exist_ok=True)
    for name in ("train.py", "moves.toml"):
        shutil.copy(_SCRIPT / name, folder)
    (folder / "task.toml").write_text(text)
    return folder


def hashes_of(folder: Path) -> dict[str, str]:
    """Return the sha256 of each shard in hex, by "split/name"."""
    return {
        name: hashlib.sha256((folder / name.partition("/")[2]).read_bytes()).hexdigest()
        for name in SPLITS
    }


@dataclass
class Hub:
    """The behaviour of a server. `asked` are the requests that it got, as "METHOD name".

    With `announces` it sends hashes in the header that hubs use, with a redirect to another path.
    `missing` are names that it does not have. `cuts` gives the bytes after which a name's next
    answer is cut off. A request for a name in `stalled` never ends. `mbit_s` is the bandwidth of
    its line.
    """

    url: str = ""
    announces: bool = True
    announced: dict[str, str] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    stalled: set[str] = field(default_factory=set)
    cuts: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    mbit_s: float = math.inf
    line: Lock = field(default_factory=Lock)

    def carry(self, content: bytes, target: IO[bytes]) -> None:
        """Write bytes at the speed of the line, which all connections share."""
        for start in range(0, len(content), _PIECE):
            piece = content[start : start + _PIECE]
            with self.line:
                began_s = time.monotonic()
                target.write(piece)
                over_s = began_s + len(piece) * 8e-6 / self.mbit_s - time.monotonic()
                time.sleep(max(0.0, over_s))


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *given: object, hub: Hub, **options: object) -> None:
        self._hub = hub
        super().__init__(*given, **options)  # type: ignore[arg-type]

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(super().do_HEAD)

    def do_GET(self) -> None:
        self._answer(super().do_GET)

    def _answer(self, serve: object) -> None:
        name = self.path.rpartition("/")[2]
        if name in self._hub.missing:
            self.send_error(404)
        elif self._hub.announces and not self.path.startswith("/cdn/"):
            self._hub.asked.append(f"{self.command} {name}")
            self._redirect(name)
        else:
            if not self._hub.announces:
                self._hub.asked.append(f"{self.command} {name}")
            self.path = f"/{name}"
            while self.command == "GET" and name in self._hub.stalled:
                time.sleep(_LOOKED_S)
            assert callable(serve)
            serve()

    def _redirect(self, name: str) -> None:
        content = (Path(self.directory) / name).read_bytes()
        digest = self._hub.announced.get(name, hashlib.sha256(content).hexdigest())
        self.send_response(302)
        self.send_header("Location", f"/cdn/{name}")
        self.send_header("X-Linked-ETag", f'"{digest}"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def copyfile(self, source: Any, outputfile: IO[bytes]) -> None:
        cut = self._hub.cuts.pop(self.path.rpartition("/")[2], None)
        content = source.read()
        with suppress(ConnectionError):  # the client has gone
            self._hub.carry(content[:cut], outputfile)
        if cut is not None:
            self.close_connection = True


@contextmanager
def served(folder: Path, **given: float) -> Iterator[Hub]:
    """Serve a folder while the block lasts; changes of the hub take effect at once."""
    hub = Hub(**given)  # type: ignore[arg-type]
    handler = partial(_Handler, hub=hub, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = Thread(target=server.serve_forever, args=(_STOPPED_S,))
        thread.start()
        try:
            yield hub
        finally:
            hub.stalled.clear()
            server.shutdown()
            thread.join()
