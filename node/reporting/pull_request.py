"""The text of a pull request: what changes, what was measured, and how to check it.

What its author wrote stands in code, where nothing of it is markup, a heading or a mention.
"""

from node.reporting.markdown import code_span, fenced
from node.store.experiments import Experiment
from node.store.store import Store
from protocol.board_facts import BoardClaim, read_fact
from protocol.errors import UsageError
from protocol.record_kinds import ResultBody
from protocol.records import Record
from protocol.units import NANO

_ID_DIGITS = 12


def describe(store: Store, record: Record, diff: str) -> str:
    """Return Markdown about a result and its diff; raises UsageError for what was never measured.

    What it says was measured is this author's claim, and it says so.
    """
    body = record.body
    if not isinstance(body, ResultBody):
        raise UsageError(
            f"a {record.kind} has no evidence of its own",
            "give the id of an experiment: see `arnode log`",
        )
    manifest = store.records.manifest(body.task)
    patch = None if body.patch is None else store.records.patch(body.patch)
    title = code_span(patch.title) if patch else "a new head"
    lines = [f"# {title}", ""]
    if patch is not None and patch.why:
        lines += [fenced(patch.why), ""]
    name = manifest.metric.name if manifest else "the metric"
    fact = read_fact(record, manifest, body.hardware_class) if manifest else None
    lines += ["## Evidence", ""]
    if isinstance(fact, BoardClaim) and fact.gain is not None:
        gain = fact.gain
        lines.append(
            f"- gain in {name}: {gain.value_nano / NANO:+.6f}, at least"
            f" {gain.lower_nano() / NANO:+.6f} (95 %, {gain.pairs} pairs of fresh runs)"
        )
        if fact.anchor_gain is not None:
            beside = fact.anchor_gain
            lines.append(
                f"- over the task's baseline, run beside it: {beside.value_nano / NANO:+.6f},"
                f" at least {beside.lower_nano() / NANO:+.6f} ({beside.pairs} pairs)"
            )
    else:
        lines.append(f"- no gain was confirmed: stage {body.stage}, {len(body.runs)} run(s)")
    environment = ", ".join(f"{key} {code_span(str(value))}" for key, value in body.env.items)
    short = record.id.hex()[:_ID_DIGITS]
    lines += [
        f"- on {body.hardware_class}: {environment}",
        f"- signed by key {record.author.hex()[:_ID_DIGITS]}, record `{record.id.hex()}`",
        "",
        "A confirmed stack vouches for the stack, not for its parts.",
        f"`arnode export bundle {short}` writes all of it into one file that",
        "`arnode verify FILE --check-only` checks anywhere.",
        "",
        "## Change",
        "",
    ]
    lines += kept_parts(store, body)
    lines += [fenced(diff, "diff"), ""]
    return "\n".join(lines)


def kept_parts(store: Store, body: ResultBody) -> list[str]:
    """Return a line for each kept patch between a result's base and its tree.

    Of what led to a tree, the last before the result counts: a branch may have begun there.
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
    return [*(f"- {code_span(part.title)}" for part in reversed(parts)), *([""] if parts else [])]
