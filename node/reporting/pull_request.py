"""The text of a pull request: the change, its measurements, and how to check them.

The author's text is quoted, so none of it becomes markup, a heading or a mention.
"""

from collections.abc import Iterator

from node.reporting.blocks import (
    Block,
    Quoted,
    QuotedLines,
    Span,
    Text,
    bullets,
    heading,
    joined,
    paragraph,
    quoted,
    text,
)
from node.reporting.markdown import markdown_of
from node.store.experiments import Experiment
from node.store.store import Store
from protocol.board_facts import BoardClaim, read_fact
from protocol.errors import UsageError
from protocol.manifest import TaskManifest
from protocol.record_kinds import ResultBody
from protocol.records import Record
from protocol.units import NANO

_ID_DIGITS = 12


def describe(store: Store, record: Record, diff: str) -> str:
    """Return Markdown about a result and its diff. The text names the key that signed the figures.

    Raises UsageError if the record is not a result.
    """
    body = record.body
    if not isinstance(body, ResultBody):
        raise UsageError(
            f"a {record.kind} has no evidence of its own",
            "give the id of an experiment: see `arnode log`",
        )
    return markdown_of(_described(store, record, body, diff))


def _described(store: Store, record: Record, body: ResultBody, diff: str) -> Iterator[Block]:
    manifest = store.records.manifest(body.task)
    patch = None if body.patch is None else store.records.patch(body.patch)
    yield heading(1, quoted(patch.title) if patch else "a new head")
    if patch is not None and patch.why:
        yield QuotedLines(text=patch.why)
    yield heading(2, "Evidence")
    yield bullets(_evidence(record, body, manifest))
    yield paragraph(
        "The patches were confirmed together, not one by one.\n",
        quoted(f"arnode export bundle {record.id.hex()[:_ID_DIGITS]}"),
        " writes the evidence into one file, which\n",
        quoted("arnode verify FILE --check-only"),
        " checks anywhere.",
    )
    yield heading(2, "Change")
    if parts := kept_parts(store, body):
        yield bullets(parts)
    yield QuotedLines(text=diff, language="diff")


def _evidence(
    record: Record, body: ResultBody, manifest: TaskManifest | None
) -> Iterator[Span | Text]:
    name = manifest.metric.name if manifest else "the metric"
    fact = read_fact(record, manifest, body.hardware_class) if manifest else None
    if isinstance(fact, BoardClaim) and fact.gain is not None:
        gain = fact.gain
        yield (
            f"gain in {name}: {gain.value_nano / NANO:+.6f}, at least"
            f" {gain.lower_nano() / NANO:+.6f} (95 %, {gain.pairs} pairs of new runs)"
        )
        if fact.anchor_gain is not None:
            anchor = fact.anchor_gain
            yield (
                f"gain over the task's baseline, in pairs: {anchor.value_nano / NANO:+.6f},"
                f" at least {anchor.lower_nano() / NANO:+.6f} ({anchor.pairs} pairs)"
            )
    else:
        yield f"no gain was confirmed: stage {body.stage}, {len(body.runs)} run(s)"
    env = joined(", ", (text(f"{key} ", quoted(str(value))) for key, value in body.env.items))
    yield text(f"on {body.hardware_class}: ", env)
    author, whole = record.author.hex()[:_ID_DIGITS], quoted(record.id.hex())
    yield text(f"signed by key {author}, record ", whole)


def kept_parts(store: Store, body: ResultBody) -> list[Quoted]:
    """Return the title of each kept patch between a result's base and its tree.

    A branch can reach a tree that was reached before. Of several patches that lead to one tree, the
    last one before the result is used.
    """
    parts: list[Experiment] = []
    kept: dict[bytes, Experiment] = {}
    for one in store.experiments.listed():
        if one.decision in ("kept", "branched"):
            kept[one.tree] = one
        if (one.stage, one.tree, one.parent) == ("confirm", body.tree, body.base):
            break
    tree = body.tree
    while tree in kept and tree != body.base:
        parts.append(kept.pop(tree))
        tree = parts[-1].parent
    return [quoted(part.title) for part in reversed(parts)]
