"""How `head --provenance` shows who wrote each line: runs of lines for people, all for scripts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from node.commands.basics import hex_or_none, short
from node.terminal.terminal import plain, print_json

if TYPE_CHECKING:
    from node.store.blobs import Blobs
    from node.store.jobs import Line
    from node.store.store import Store
    from node.vetting.provenance import Evidence, Writer, WrittenLine


def written_lines(
    store: "Store", blobs: "Blobs", line: "Line", tree: bytes
) -> "tuple[WrittenLine, ...]":
    """Return every line of one of a line's trees with its writer."""
    from node.line.heads import manifest_of
    from node.vetting.provenance import provenance

    return provenance(store, blobs, manifest_of(store, line), line.key, tree)


def print_provenance(lines: "Sequence[WrittenLine]", tree: bytes, *, as_json: bool) -> None:
    """Print runs of lines of one writer, or as JSON every line."""
    from node.vetting.provenance import passages

    if as_json:
        print_json({"tree": tree.hex(), "lines": [_as_json(line) for line in lines]})
        return
    has_files = len({line.path for line in lines}) > 1
    rows = [
        (
            (f"{first.path}:" if has_files else "") + f"{first.number}-{last.number}",
            _author(first.writer),
            _evidence(first.writer.evidence),
            first.writer.title,
        )
        for first, last in passages(lines)
    ]
    shown = [tuple(map(plain, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        click.echo("  ".join(padded).rstrip())


def _author(writer: "Writer") -> str:
    if writer.whose != "foreign" or writer.author is None:
        return writer.name
    return f"{writer.name} {short(writer.author)}"


def _evidence(evidence: "Evidence") -> str:
    result = "" if evidence.result is None else short(evidence.result)
    match evidence.level:
        case "stack":
            return f"confirmed in a stack of {evidence.parts} ({result})"
        case "alone":
            return f"confirmed ({result})"
        case "kept":
            return f"kept here ({result})"
        case "baseline":
            return "-"
    return "unverified"


def _as_json(line: "WrittenLine") -> dict[str, object]:
    writer, evidence = line.writer, line.writer.evidence
    return {
        "path": line.path,
        "line": line.number,
        "text": line.text,
        "writer": writer.whose,
        "author": _hex(writer.author),
        "name": writer.name,
        "patch": _hex(writer.patch),
        "title": writer.title,
        "evidence": {
            "level": evidence.level,
            "result": _hex(evidence.result),
            "parts": evidence.parts,
        },
    }


def _hex(digest: bytes | None) -> str | None:
    return hex_or_none(digest)
