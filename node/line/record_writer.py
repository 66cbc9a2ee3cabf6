"""This node's own records about one line: profile, task, patches, results, adoptions.

Callers hold the store's transaction, so that a record and its consequences are written together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from node.home.keyfile import Identity
from node.line.open_task import Subject
from node.store.blobs import Blobs
from node.store.experiments import STRIPPING
from node.store.store import Store
from protocol.codecs import fit_line, fit_text
from protocol.hygiene import compress, compressed_size_bytes
from protocol.keys import SigningKey, bind
from protocol.manifest import TaskManifest
from protocol.patches import file_changes, unified_diff
from protocol.record_kinds import (
    AdoptBody,
    Body,
    Diff,
    FoundOn,
    Origin,
    PatchBody,
    ProfileBody,
    ResultBody,
    Stage,
    TaskBody,
)
from protocol.records import Record
from protocol.remarks import InsightBody, IntentBody, NoiseBody, RetractBody
from protocol.rerun import RerunBody, RerunVerdict
from protocol.runs import Cost, Run

_INLINE_DIFF_BYTES = 8192  # a longer diff is a blob (docs/protocol.md, kind patch)
MAX_PARENTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordWriter:
    """A writer of the records of one task and hardware class."""

    store: Store
    blobs: Blobs
    identity: Identity
    subject: Subject
    clock_ms: Callable[[], int]

    @property
    def key(self) -> SigningKey:
        """The key that signs the records."""
        return self.identity.keys.author

    @property
    def author(self) -> bytes:
        """The public half of the key, which identifies this node."""
        return self.key.public

    @property
    def manifest(self) -> TaskManifest:
        """The task of the records."""
        return self.subject.manifest

    def announce(self) -> None:
        """Record the profile if it changed, and the task if it is not known here."""
        subject = self.subject
        announce_profile(
            self.store,
            self.identity,
            classes=(subject.hardware_class,),
            now_ms=self.clock_ms(),
        )
        for data in subject.named_blobs:
            self.blobs.put(data)
        if self.store.records.manifest(subject.manifest.id) is None:
            self._append(TaskBody(manifest=subject.manifest))

    def intent(self, base: bytes, title: str, *, ttl_s: int) -> Record:
        """Record the intent to try an idea with this title on a tree."""
        subject = self.subject
        return self._append(
            IntentBody(
                task=subject.manifest.id,
                hardware_class=subject.hardware_class,
                base=base,
                title=title,
                ttl_s=ttl_s,
            )
        )

    def patch(
        self,
        base: bytes,
        tree: bytes,
        *,
        title: str,
        why: str,
        parents: Sequence[bytes],
        origin: Origin,
        found_on: FoundOn | None = None,
    ) -> Record:
        """Record the patch from a base to a tree; `found_on` is the origin of a transfer."""
        old, new = self.blobs.get_source(base), self.blobs.get_source(tree)
        packed = compress(unified_diff(old, new).encode())
        inline = len(packed) <= _INLINE_DIFF_BYTES
        return self._append(
            PatchBody(
                task=self.subject.manifest.id,
                base=base,
                tree=tree,
                files=file_changes(old, new),
                diff=Diff(zlib=packed) if inline else Diff(blob=self.blobs.put(packed)),
                title=fit_line(title, 120),
                why=fit_text(why, 600),
                parents=tuple(parents[-MAX_PARENTS:]),
                origin=origin,
                found_on=found_on,
            )
        )

    def stripped(self, untrusted_patch: bytes, old: bytes, new: bytes) -> Record:
        """Record that a peer's patch was adopted without its comments and docstrings."""
        return self.patch(
            old,
            new,
            title="comments and docstrings removed",
            why="Comments and docstrings by peers are not adopted with their code.",
            parents=(untrusted_patch,),
            origin=Origin(proposer=STRIPPING),
        )

    def result(
        self,
        patch: bytes | None,
        base: bytes,
        tree: bytes,
        *,
        stage: Stage,
        runs: Sequence[Run],
        note: str,
        has_verdict: bool = False,
        level_nano: int | None = None,
    ) -> Record:
        """Record this node's runs of a tree; the status is that of the first failed run, or ok.

        With `has_verdict` the status is ok, since failed runs of the base were repeated until the
        verdict. `level_nano` is the level that the tree was compared with.
        """
        failures = [run.status for run in runs if run.role != "anchor" and run.status != "ok"]
        return self._append(
            ResultBody(
                task=self.subject.manifest.id,
                hardware_class=self.subject.hardware_class,
                env=self.subject.env,
                patch=patch,
                base=base,
                tree=tree,
                stage=stage,
                status="ok" if has_verdict or not failures else failures[0],
                runs=tuple(runs),
                cost=Cost(device_ms=sum(run.ms + run.serve_ms for run in runs)),
                note=fit_text(note, 500),
                size_bytes=compressed_size_bytes(self.blobs.get_source(tree)),
                level_nano=level_nano,
            )
        )

    def noise(self, tree: bytes, runs: Sequence[Run]) -> Record:
        """Record the scatter of runs of one tree here."""
        return self._append(
            NoiseBody(
                task=self.subject.manifest.id,
                hardware_class=self.subject.hardware_class,
                env=self.subject.env,
                tree=tree,
                runs=tuple(runs),
            )
        )

    def rerun(
        self,
        *,
        base: bytes,
        tree: bytes,
        target: bytes | None,
        proof: bytes,
        runs: Sequence[Run],
        again: Run | None,
        verdict: RerunVerdict,
        alpha_millionths: int,
        max_pairs: int,
    ) -> Record:
        """Record the outcome of a re-run of a claim."""
        return self._append(
            RerunBody(
                task=self.subject.manifest.id,
                hardware_class=self.subject.hardware_class,
                env=self.subject.env,
                base=base,
                tree=tree,
                target=target,
                proof=proof,
                runs=tuple(runs),
                again=again,
                verdict=verdict,
                alpha_millionths=alpha_millionths,
                max_pairs=max_pairs,
            )
        )

    def adoption(self, old: bytes, new: bytes, *, evidence: bytes | None) -> Record:
        """Record that the verified head moved; without evidence it is marked unverified."""
        return self._append(
            AdoptBody(
                task=self.subject.manifest.id,
                hardware_class=self.subject.hardware_class,
                from_tree=old,
                to_tree=new,
                evidence=evidence,
                unverified=evidence is None,
            )
        )

    def insight(self, message: str, evidence: Sequence[bytes]) -> Record:
        """Record an insight: a lesson, in words, from a series of results."""
        return self._append(
            InsightBody(
                task=self.subject.manifest.id,
                hardware_class=self.subject.hardware_class,
                message=message,
                evidence=tuple(evidence),
            )
        )

    def retraction(self, target: bytes, reason: str) -> Record:
        """Retract one of this node's records."""
        return self._append(RetractBody(target=target, revoke=False, reason=fit_line(reason, 200)))

    def _append(self, body: Body) -> Record:
        identity = self.identity
        return self.store.append_own(
            identity.keys.author, body, ts_ms=self.clock_ms(), net=identity.net
        )


def announce_profile(
    store: Store, identity: Identity, *, classes: Sequence[str], now_ms: int
) -> None:
    """Record the profile if it changed. Callers hold the transaction."""
    author, transport = identity.keys.author, identity.keys.transport
    profile = ProfileBody(
        name=identity.name,
        version=identity.version,
        transport=transport.public,
        binding=bind(transport, author.public),
        classes=tuple(classes),
        formerly=identity.keys.formerly,
    )
    latest = store.records.listed("profile", author.public, newest_first=True, limit=1)
    if not latest or latest[0].body != profile:
        store.append_own(author, profile, ts_ms=now_ms, net=identity.net)
