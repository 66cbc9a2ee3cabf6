"""The author and patch of each source line of a head, and this machine's evidence for the patch.

The tracer finds the patches from the task's baseline to a tree, and follows every source line
through them, like `git blame`. A trial that confirmed several patches together is no evidence for
one of them alone. All data come from the store and the blobs; nothing is parsed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from node.source_review.patches import Patches, PatchRecord
from node.store.blobs import Blobs
from node.store.experiments import BRANCHING, CATCHING_UP, STACKING, STRIPPING, is_branching
from node.store.jobs import LineKey
from node.store.store import Store
from protocol.manifest import TaskManifest
from protocol.record_kinds import ProfileBody
from protocol.source import Source, ancestry, split_lines

Level: TypeAlias = Literal["baseline", "stack", "alone", "kept", "unverified"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalEvidence:
    """This machine's evidence for a patch, and the result record that states it.

    `level` is `alone` if the patch passed a trial by itself, and `stack` if it passed together with
    other patches; `parts` is the number of patches in that trial. `level` is `kept` if the patch
    was kept but passed no trial.
    """

    level: Level
    result: bytes | None = None
    parts: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """The writer of a source line. `author` and `patch` are None for the baseline or if unknown."""

    whose: Literal["baseline", "own", "untrusted", "unknown"]
    author: bytes | None
    name: str
    patch: bytes | None
    title: str
    evidence: LocalEvidence


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenLine:
    """A source line, its number from 1, and its writer."""

    path: str
    number: int
    text: str
    writer: Writer


def provenance(
    store: Store, blobs: Blobs, manifest: TaskManifest, line: LineKey, tree: bytes
) -> tuple[WrittenLine, ...]:
    """Return every source line of a tree with its writer."""
    walk = _Walk(store, blobs, manifest, line)
    source, writers = walk.follow(tree)
    return tuple(
        WrittenLine(
            path=path,
            number=number,
            text=text.rstrip(b"\n").decode("utf-8", "replace"),
            writer=writer,
        )
        for path, data in source.files
        for number, (text, writer) in enumerate(
            zip(split_lines(data), writers[path], strict=True), 1
        )
    )


def passages(lines: Sequence[WrittenLine]) -> Iterator[tuple[WrittenLine, WrittenLine]]:
    """Yield the first and last source line of each passage by one writer in one file."""
    first = 0
    for at, line in enumerate(lines):
        is_last = at + 1 == len(lines)
        if is_last or (lines[at + 1].path, lines[at + 1].writer) != (line.path, line.writer):
            yield lines[first], line
            first = at + 1


_BASELINE = Writer(
    whose="baseline",
    author=None,
    name="baseline",
    patch=None,
    title="the task's baseline",
    evidence=LocalEvidence(level="baseline"),
)
_UNKNOWN = Writer(
    whose="unknown",
    author=None,
    name="unknown",
    patch=None,
    title="no patch here made this tree",
    evidence=LocalEvidence(level="unverified"),
)


class _Walk:
    """A tracer of the source lines in one task's trees."""

    def __init__(self, store: Store, blobs: Blobs, manifest: TaskManifest, line: LineKey) -> None:
        self._store = store
        self._blobs = blobs
        self._baseline = manifest.baseline_tree
        self._patches = Patches(store, manifest.id)
        self._experiments = store.experiments.listed(line)
        self._evidence: dict[bytes, LocalEvidence] = {}

    def follow(self, tree: bytes) -> tuple[Source, dict[str, list[Writer]]]:
        """Return a tree's source, and the writer of each line of its files."""
        way = self._way(tree)
        self._evidence = self._evidence_on(way)
        source = self._blobs.get_source(self._baseline)
        writers = {path: [_BASELINE] * len(split_lines(data)) for path, data in source.files}
        for patch in way:
            after = self._blobs.get_source(patch.body.tree)
            writers = self._after(patch, source, after, writers)
            source = after
        if source.tree != tree:
            after = self._blobs.get_source(tree)
            writers = self._after(None, source, after, writers)
            source = after
        return source, writers

    def _way(self, tree: bytes) -> list[PatchRecord]:
        """Return the patches from the baseline to a tree, in order.

        If the chain is incomplete, return only one patch that made the tree.
        """
        way: list[PatchRecord] = []
        seen = {tree}
        pending = [iter(self._makers(tree))]
        while pending and tree != self._baseline:
            patch = next(pending[-1], None)
            if patch is None:
                pending.pop()
                way[-1:] = []
            elif patch.body.base == self._baseline:
                return [*way, patch][::-1]
            elif patch.body.base not in seen and self._blobs.has(patch.body.base):
                seen.add(patch.body.base)
                way.append(patch)
                pending.append(iter(self._makers(patch.body.base)))
        return self._makers(tree)[:1]

    def _makers(self, tree: bytes) -> list[PatchRecord]:
        """Return the patches that made a tree.

        Single patches come before combined ones, and this node's before peers'.
        """
        return sorted(
            self._patches.makers(tree),
            key=lambda patch: (
                patch.is_own and patch.body.origin.proposer == STACKING,
                not patch.is_own,
            ),
        )

    def _after(
        self,
        patch: PatchRecord | None,
        old: Source,
        new: Source,
        writers: dict[str, list[Writer]],
    ) -> dict[str, list[Writer]]:
        """Return the writer of each line of `new`, by file.

        Unchanged lines keep their writers. Added lines come from `patch` or from its ancestors.
        """
        before = dict(old.files)
        result: dict[str, list[Writer]] = {}
        for path, data in new.files:
            old_lines, new_lines = split_lines(before.get(path, b"")), split_lines(data)
            origins = ancestry(old_lines, new_lines)
            kept = {origin for origin in origins if origin is not None}
            vanished = [
                (line, writers[path][row]) for row, line in enumerate(old_lines) if row not in kept
            ]
            added = self._adder(patch, path, vanished)
            result[path] = [
                added(line) if origin is None else writers[path][origin]
                for line, origin in zip(new_lines, origins, strict=True)
            ]
        return result

    def _adder(
        self, patch: PatchRecord | None, path: str, vanished: list[tuple[bytes, Writer]]
    ) -> Callable[[bytes], Writer]:
        """Return a function that finds the writer of a source line that a patch added."""
        if patch is None:
            return lambda _: _UNKNOWN
        writer = self._writer(patch, patch)
        if not patch.is_own:
            return lambda _: writer
        is_whole = patch.body.origin.proposer in (CATCHING_UP, BRANCHING)
        made_from = [*self._patches.untrusted_ancestors(patch)]
        if is_whole:
            made_from += [below for one in made_from for below in self._patches.below(one)]
        untrusted_ancestors = [
            (self._writer(ancestor, patch), self._additions(ancestor, path))
            for ancestor in made_from
        ]

        def stripped(line: bytes) -> Writer:
            # A line whose comment was removed keeps its writer.
            left = line.rstrip(b"\n")
            rest = (whose for old, whose in vanished if old.startswith(left))
            return next(rest, untrusted_ancestors[0][0] if untrusted_ancestors else writer)

        def transplanted(line: bytes) -> Writer:
            for ancestor, additions in untrusted_ancestors:
                if additions is None or (line.strip() and line.strip() in additions):
                    return ancestor
            # None of an adopted peer tree counts as this node's own work.
            return untrusted_ancestors[0][0] if is_whole and untrusted_ancestors else writer

        return stripped if patch.body.origin.proposer == STRIPPING else transplanted

    def _additions(self, patch: PatchRecord, path: str) -> set[bytes] | None:
        """Return the source lines that a patch added to a file, with and without their comments.

        None if a tree of the patch is missing here.
        """
        body = patch.body
        if not (self._blobs.has(body.base) and self._blobs.has(body.tree)):
            return None
        old, new = (
            split_lines(dict(self._blobs.get_source(tree).files).get(path, b""))
            for tree in (body.base, body.tree)
        )
        added = [
            line for line, origin in zip(new, ancestry(old, new), strict=True) if origin is None
        ]
        return {text.strip() for line in added for text in (line, line.split(b"#")[0])} - {b""}

    def _writer(self, patch: PatchRecord, measured: PatchRecord) -> Writer:
        """Return a patch's author as a writer, with this machine's evidence for `measured`."""
        return Writer(
            whose="own" if patch.is_own else "untrusted",
            author=patch.author,
            name="this node" if patch.is_own else self._name(patch.author),
            patch=patch.id,
            title=patch.body.title,
            evidence=self._evidence.get(measured.id, LocalEvidence(level="unverified")),
        )

    def _name(self, author: bytes) -> str:
        for record in self._store.records.listed("profile", author, newest_first=True, limit=1):
            if isinstance(record.body, ProfileBody):
                return record.body.name
        return "no name"

    def _first_on(self, way: list[PatchRecord], stack: PatchRecord) -> int:
        """Return the index of the first patch in `way` that the combined patch `stack` contains.

        That is the first patch with the same base as `stack`, else the one made on the first tree
        of the line's branch, else index 0.
        """
        bases = [patch.body.base for patch in way]
        roots = [
            part.body.tree
            for parent in stack.body.parents
            if (part := self._patches.get(parent)) and is_branching(part.body.origin)
        ]
        began = [tree for tree in (stack.body.base, *roots) if tree in bases]
        return bases.index(began[0]) if began else 0

    def _evidence_on(self, way: list[PatchRecord]) -> dict[bytes, LocalEvidence]:
        """Return the evidence for each patch in `way`, by record id."""
        trees = [patch.body.tree for patch in way]
        found: dict[bytes, LocalEvidence] = {}
        for entry in self._experiments:
            patch = self._patches.get(entry.patch) if entry.patch else None
            if patch is None or entry.decision != "adopted" or patch.body.tree not in trees:
                continue
            first = self._first_on(way, patch)
            parts = way[first : trees.index(patch.body.tree) + 1]
            level: Level = "alone" if len(parts) == 1 else "stack"
            for part in parts:
                found[part.id] = LocalEvidence(level=level, result=entry.id, parts=len(parts))
        for entry in self._experiments:
            if entry.patch and entry.decision == "kept":
                found.setdefault(entry.patch, LocalEvidence(level="kept", result=entry.id))
        return found
