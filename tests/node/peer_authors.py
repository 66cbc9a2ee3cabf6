"""A peer that signs patches and results of the example task for a store."""

import random
import time
from collections.abc import Callable
from dataclasses import replace

from node.home.people import People
from node.line.line_writer import LineWriter
from node.loop.peer_claims import Peers
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.hygiene import compress
from protocol.keys import SigningKey, bind
from protocol.patches import file_changes, unified_diff
from protocol.record_kinds import Body, Diff, Origin, PatchBody, ProfileBody
from protocol.records import Record, sign_record
from protocol.source import Source
from tests.node.examples import BASELINE, HARDWARE_CLASS, MANIFEST, TASK
from tests.protocol.worlds import confirm

SD_NANO = MANIFEST.noise_floor_nano


def peers(
    share: float = 1.0,
    people: Callable[[], People] = People,
    *,
    want: Callable[[bytes], None] | None = None,
) -> Callable[[LineWriter], Peers]:
    """A selector of peers' claims, which get this share of the runs."""

    def make(line_writer: LineWriter) -> Peers:
        return Peers(
            line_writer,
            net="main",
            share=share,
            chance=random.Random(3),
            noise_sd=lambda: SD_NANO / 1e9,
            people=people,
            want=want,
        )

    return make


class PeerAuthor:
    """Somebody with another key; `name` is what the profile says."""

    def __init__(
        self,
        store: Store,
        blobs: Blobs,
        *,
        number: int = 1,
        name: str = "ada",
        task: bytes = TASK,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.key = SigningKey.from_seed(bytes([number]) * 32)
        self._store = store
        self._blobs = blobs
        self._task = task
        self._seq = 0
        self._clock_ms = clock_ms
        transport = SigningKey.from_seed(bytes([number + 100]) * 32)
        self.publish(
            ProfileBody(
                name=name,
                version="0.1.0",
                transport=transport.public,
                binding=bind(transport, self.key.public),
                classes=(HARDWARE_CLASS,),
            )
        )

    @property
    def digits(self) -> str:
        """How the author is shown."""
        return self.key.public.hex()[:12]

    def publish(self, body: Body) -> bytes:
        """Sign a record and let it arrive; return its id."""
        return self.send(self.sign(body))

    def sign(self, body: Body) -> Record:
        """Return a record that has not arrived yet."""
        seq, self._seq = self._seq, self._seq + 1
        ts_ms = self._clock_ms() + seq
        return sign_record(self.key, net="main", seq=seq, prev=None, ts_ms=ts_ms, body=body)

    def send(self, record: Record) -> bytes:
        """Let a record arrive; return its id."""
        assert self._store.intake.ingest([record.wire], now_ms=record.ts_ms).new == [record.id]
        return record.id

    def patch(
        self,
        base: Source,
        tree: Source,
        *,
        title: str = "A foreign idea",
        parents: tuple[bytes, ...] = (),
    ) -> bytes:
        """Publish a patch with all its files; return its id."""
        for source in (base, tree):
            self._blobs.put_source(source)
        return self.publish(
            PatchBody(
                task=self._task,
                base=base.tree,
                tree=tree.tree,
                files=file_changes(base, tree),
                diff=Diff(zlib=compress(unified_diff(base, tree).encode())),
                title=title,
                why="",
                parents=parents,
                origin=Origin(proposer="search"),
            )
        )

    def claims(
        self,
        tree: Source,
        gain_sd: float,
        *,
        base: Source = BASELINE,
        title: str = "a gain",
        pairs: int = 4,
    ) -> bytes:
        """Publish a confirmed gain, with pairs and anchors to show for it; return its id."""
        patch = self.patch(base, tree, title=title)
        gain_nano = round(gain_sd * SD_NANO)
        wobbles = [(-1, 1, 0, 0)[number % 4] for number in range(pairs)]
        gains = [gain_nano + wobble * SD_NANO // 10 for wobble in wobbles]
        said = confirm(tree.tree, gains, base=base.tree, anchors=gains)
        return self.publish(
            replace(said, task=self._task, hardware_class=HARDWARE_CLASS, patch=patch)
        )
