"""The bodies of records, by kind. The validity of a body depends only on its own fields.

    profile {name 1…64, version ≤ 32, transport key, binding sig, classes [class] ≤ 16,
             formerly {author, signature}?}
    task    the manifest itself (protocol/manifest.py), so task id = sha256(body)
    patch   {task, base, tree, files [{path, old blob|nil, new blob, size}] 1…8,
             diff {zlib bytes 1…8192} or {blob hash}, title 1…120, why ≤ 600,
             parents [patch id] ≤ 8, origin {proposer, model|nil, program hash|nil},
             found_on {task, class, patch id|nil}?}
    result  {task, class, env, patch|nil, base, tree, stage, status, runs [run] ≤ 64, cost,
             note ≤ 500, size?, level?}; run, env and cost in protocol/runs.py
    adopt   {task, class, from, to, evidence|nil, unverified}

    rerun is in protocol/rerun.py, all others in protocol/remarks.py

Other kinds, and records whose `crit` lists an unknown name, become an `UnknownBody`: it is stored
and forwarded unchanged, but never interpreted. A record with an unknown stage, status, verdict or
role is also stored and forwarded, and the unknown word has no effect.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Literal, TypeAlias, get_args

from protocol.body import Place, RecordBody, Sort
from protocol.codecs import binary, long_text, single_line, strictly_rising
from protocol.encoding import Value, decode, encode
from protocol.errors import Rejected
from protocol.fields import (
    OPTIONAL,
    ClassName,
    Digest,
    Identifier,
    Items,
    Mapped,
    ModelName,
    Named,
    Natural,
    Positive,
    RelativePath,
)
from protocol.keys import SUCCESSOR_CONTEXT, Signature, bond
from protocol.manifest import MAX_FILES, TaskManifest
from protocol.remarks import (
    MAX_TITLE,
    InsightBody,
    IntentBody,
    NoiseBody,
    ProposalsBody,
    ReportBody,
    RetractBody,
)
from protocol.rerun import RerunBody
from protocol.runs import MAX_RUNS, Cost, Env, Run

Stage: TypeAlias = Literal["baseline", "screen", "keep", "confirm"]

MAX_NAME: Final = 64
_MAX_INLINE_DIFF_BYTES: Final = 8192  # compressed; longer diffs are blobs
MAX_WHY: Final = 600
MAX_NOTE: Final = 500
_MAX_CLASSES = 16
_MAX_PARENTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Formerly(Mapped):
    """An older author key of the same owner, and its signature over the current author key."""

    author: Digest
    signature: Annotated[bytes, binary(64, 64)]

    def by(self, author: bytes) -> Signature:
        """Return the unverified signature with which the older key names this author."""
        return Signature(self.author, SUCCESSOR_CONTEXT + author, self.signature)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileBody(RecordBody, Mapped):
    """An author's profile; the one with the highest seq counts.

    `transport` is the node's libp2p key, `binding` its signature over the author key. `formerly` is
    only shown: nothing that the older key did counts for this one.
    """

    kind: ClassVar = "profile"
    name: Annotated[str, single_line(1, MAX_NAME)]
    version: Annotated[str, single_line(0, 32)]
    transport: Digest
    binding: Annotated[bytes, binary(64, 64)]
    classes: Annotated[tuple[ClassName, ...], Items(0, _MAX_CLASSES)]
    formerly: Annotated[Formerly | None, OPTIONAL] = None

    @property
    def places(self) -> tuple[Place, ...]:
        return ("everybody",)

    def bond_with(self, author: bytes) -> Signature:
        """Return the unverified signature with which the transport key vouches for this author."""
        return bond(author, transport=self.transport, binding=self.binding)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskBody(RecordBody):
    """The announcement of a task: its manifest."""

    kind: ClassVar = "task"
    manifest: TaskManifest

    NAMES: ClassVar = TaskManifest.NAMES

    @property
    def places(self) -> tuple[Place, ...]:
        return ("tasks",)

    def to_value(self) -> Value:
        """Return the map to write into a record."""
        return self.manifest.to_value()

    @classmethod
    def from_value(cls, value: Value) -> "TaskBody | Rejected":
        """Return the task read from `value`, or the first reason why it is invalid."""
        manifest = TaskManifest.from_value(value)
        return manifest if isinstance(manifest, Rejected) else cls(manifest=manifest)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange(Mapped):
    """One file of a patch: its blob hashes before and after, and its new size."""

    path: RelativePath
    old: Digest | None
    new: Digest
    size_bytes: Annotated[Natural, Named("size")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff(Mapped):
    """A zlib-compressed unified diff to read, in the record or in the blob with this hash."""

    zlib: Annotated[bytes | None, binary(1, _MAX_INLINE_DIFF_BYTES), OPTIONAL] = None
    blob: Annotated[Digest | None, OPTIONAL] = None

    def _fault(self) -> str | None:
        both_or_neither = (self.zlib is None) == (self.blob is None)
        return "needs either zlib or blob" if both_or_neither else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin(Mapped):
    """The proposer of a patch, its language model and the hash of the instructions it was given."""

    proposer: Identifier
    model: ModelName | None = None
    program: Digest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundOn(Mapped):
    """The origin of a transfer: the task, hardware class and patch with which it was found."""

    task: Digest
    hardware_class: ClassName
    patch: Digest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchBody(RecordBody, Mapped):
    """A patch from a base tree to a tree; the tree is authoritative, the diff is only to read."""

    kind: ClassVar = "patch"
    task: Digest
    base: Digest
    tree: Digest
    files: Annotated[tuple[FileChange, ...], Items(1, MAX_FILES)]
    diff: Diff
    title: Annotated[str, single_line(1, MAX_TITLE)]
    why: Annotated[str, long_text(MAX_WHY)]
    parents: Annotated[tuple[Digest, ...], Items(0, _MAX_PARENTS)]
    origin: Origin
    found_on: Annotated[FoundOn | None, OPTIONAL] = None

    @property
    def places(self) -> tuple[Place, ...]:
        return ()

    @property
    def sort(self) -> Sort:
        return "bulk"

    @property
    def about(self) -> bytes | None:
        """The id of the patch that a transfer repeats; the first one if it combines several."""
        found = self.found_on
        return None if found is None else found.patch or next(iter(self.parents), None)

    def _fault(self) -> str | None:
        if not strictly_rising([change.path for change in self.files]):
            return "files: not sorted by path, or a duplicate path"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultBody(RecordBody, Mapped):
    """The result of an author's own experiment; failures are results too.

    `stage` and `status` are a `Stage` and a `Status`, or words that a later version added.
    `size_bytes` is the size of the compressed source; leaderboards order equal rows by it.
    `level_nano` is the figure with which the experiment was compared: the mean of its base, as far
    as the author knew it at the time, in 1e-9 units of the metric.
    """

    kind: ClassVar = "result"
    task: Digest
    hardware_class: ClassName
    env: Env
    patch: Digest | None
    base: Digest
    tree: Digest
    stage: Identifier
    status: Identifier
    runs: Annotated[tuple[Run, ...], Items(0, MAX_RUNS)]
    cost: Cost
    note: Annotated[str, long_text(MAX_NOTE)]
    size_bytes: Annotated[Positive | None, Named("size"), OPTIONAL] = None
    level_nano: Annotated[int | None, Named("level"), OPTIONAL] = None

    @property
    def places(self) -> tuple[Place, ...]:
        return ("family", "news") if self.stage in ("keep", "confirm") else ("family",)

    @property
    def sort(self) -> Sort:
        return "news" if self.stage == "confirm" else "bulk"

    @property
    def answers(self) -> tuple[bytes, ...]:
        """The distinct hashes of the blobs with its runs' answers to fixed instances."""
        return tuple(dict.fromkeys(run.answer for run in self.runs if run.answer is not None))

    def _fault(self) -> str | None:
        if self.stage == "baseline":
            if self.patch is not None or self.base != self.tree:
                return "a baseline must have no patch, and its base must be its tree"
            if any(run.role != "base" for run in self.runs):
                return "the runs of a baseline must have the role base"
        elif self.patch is None:
            return "only a baseline may have no patch"
        if self.status == "ok" and all(run.status != "ok" for run in self.runs):
            return "an ok result needs an ok run"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptBody(RecordBody, Mapped):
    """A change of the author's verified head of (task, class); `unverified` if without evidence."""

    kind: ClassVar = "adopt"
    task: Digest
    hardware_class: ClassName
    from_tree: Annotated[Digest, Named("from")]
    to_tree: Annotated[Digest, Named("to")]
    evidence: Digest | None
    unverified: bool

    @property
    def about(self) -> bytes | None:
        return self.evidence

    def _fault(self) -> str | None:
        if self.evidence is None and not self.unverified:
            return "an adoption without evidence must be unverified"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownBody(RecordBody):
    """A body that is not interpreted: its kind and canonical encoding."""

    kind: str
    encoded: bytes

    @property
    def places(self) -> tuple[Place, ...]:
        """The topics that all nodes read, because otherwise the record would reach nobody."""
        return ("everybody",)

    @property
    def sort(self) -> Sort:
        return "unknown"

    def to_value(self) -> Value:
        """Return the original map."""
        value = decode(self.encoded)
        return None if isinstance(value, Rejected) else value


KnownBody: TypeAlias = (
    ProfileBody
    | TaskBody
    | PatchBody
    | ResultBody
    | RerunBody
    | NoiseBody
    | AdoptBody
    | IntentBody
    | InsightBody
    | RetractBody
    | ReportBody
    | ProposalsBody
)
Body: TypeAlias = KnownBody | UnknownBody

_KINDS: Final[dict[str, type[KnownBody]]] = {kind.kind: kind for kind in get_args(KnownBody)}


def body_fields(kind: str) -> frozenset[str]:
    """Return the names of the known fields in bodies of this kind."""
    return _KINDS[kind].NAMES if kind in _KINDS else frozenset()


def body_from_value(kind: str, value: Value) -> Body | Rejected:
    """Return the body of this kind read from `value`, or the first reason why it is invalid."""
    if kind in _KINDS:
        return _KINDS[kind].from_value(value)
    return UnknownBody(kind=kind, encoded=encode(value))
