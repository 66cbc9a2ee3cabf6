"""`make fake-gpu [PART=…]`: scripts on cards that do not exist; results in docs/fake-gpu.json.

Results are kept per script, so that an interrupted call can resume.
"""

import argparse
import asyncio
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tools.fake_gpu.cells import MADE, PARTS, Cell, cells
from tools.fake_gpu.environment import FOLDER, Environment, make_environment
from tools.figures import provenance
from tools.paths import ROOT

FIGURES: Final = ROOT / "docs" / "fake-gpu.json"
_PROCESSOR: Final = "processor"  # the part without a card
_AT_ONCE: Final = 2
_SHARE: Final = 0.9  # of a card's memory that a size may use
_GIB: Final = 1 << 30

Row = dict[str, Any]


def main() -> int:
    """Run the missing cells, and print the table of all."""
    parser = argparse.ArgumentParser(prog="make fake-gpu PART=")
    parser.add_argument("part", nargs="*", choices=[*PARTS, _PROCESSOR, []])
    parser.add_argument("--only", default="", help="cells whose name has this in it, as sm90")
    parser.add_argument("--json", action="store_true", help="the rows instead of the table")
    options = parser.parse_args()
    environment = make_environment()
    parts = options.part or [*PARTS, _PROCESSOR]
    has_processor_passed = _PROCESSOR not in parts or _prove_processor(environment)
    wanted = [
        cell
        for cell in cells([part for part in parts if part in PARTS])
        if options.only in cell.key
    ]
    kept = _kept()
    missing = [cell for cell in wanted if kept.get(cell.key, {}).get("script") != _digest(cell)]
    asyncio.run(_play_all(environment, missing, kept, whole=len(wanted)))
    rows = {cell.key: kept[cell.key] for cell in wanted}
    print(json.dumps(rows, indent=1) if options.json else _table(wanted, kept))
    return 0 if has_processor_passed and all(_holds(row) for row in rows.values()) else 1


def _prove_processor(environment: Environment) -> bool:
    """Return True if sandboxes can use the CUDA build on a machine without a card."""
    command = [str(environment.python), "-m", "trainer.card_selftest", "--processor"]
    command += ["--out", str(FOLDER / "processor.json")]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


async def _play_all(
    environment: Environment, missing: list[Cell], kept: dict[str, Row], *, whole: int
) -> None:
    """Run cells, a few at a time, and store each row once it is complete."""
    left, places = list(missing), asyncio.Semaphore(_AT_ONCE)

    async def one(cell: Cell) -> None:
        async with places:
            kept[cell.key] = await play(environment, cell)
        left.remove(cell)
        FIGURES.write_text(json.dumps({**provenance(), "cells": kept}, indent=1) + "\n")
        said = f"{whole - len(left)} of {whole}  {cell.key}  {_in_words(kept[cell.key])}"
        print(said, file=sys.stderr, flush=True)

    await asyncio.gather(*map(one, missing))


async def play(environment: Environment, cell: Cell) -> Row:
    """Train with a cell, then score with its exported weights."""
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        weights = Path(folder) / "weights"
        trained = await _played(environment, cell, "train", weights, Path(folder))
        scored: Row = {}
        if trained["ended"] == "exported" and cell.is_scored:
            scored = await _played(environment, cell, "serve", weights, Path(folder))
    memory_bytes = cell.card.memory_gib * _GIB
    row = {
        "part": cell.part,
        "script": _digest(cell),
        "trained": trained["ended"],
        "scored": scored.get("ended", ""),
        "attention": trained["attention"],
        "peak_gib": round(trained["peak_bytes"] / _GIB, 2),
        "share": round(trained["peak_bytes"] / memory_bytes, 3),
        "scoring_gib": round(scored.get("peak_bytes", 0) / _GIB, 2),
        "weights_mb": round(trained["weights_bytes"] / 1e6),
        "cubins": trained["kernels"],
        "most_shared_kib": trained["shared_bytes"] >> 10,
        "seconds": trained["seconds"],
    }
    if not cell.is_scored:
        del row["scored"], row["scoring_gib"]
    return row


async def _played(
    environment: Environment, cell: Cell, role: str, weights: Path, folder: Path
) -> Row:
    ran = await asyncio.create_subprocess_exec(
        *environment.command(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment.variables(cell.card, folder),
        cwd=ROOT,
    )
    said, complained = await ran.communicate(json.dumps(cell.request(role, weights)).encode())
    if ran.returncode:
        last = complained.decode(errors="replace").strip().rpartition("\n")[2]
        said = json.dumps({**_DIED, "ended": f"died ({ran.returncode}): {last}"}).encode()
    row: Row = json.loads(said)
    return row


_DIED: Final = {
    "peak_bytes": 0, "weights_bytes": 0, "attention": "", "kernels": 0, "shared_bytes": 0,
    "seconds": 0,
}  # fmt: skip


def _digest(cell: Cell) -> str:
    return hashlib.sha256(cell.script).hexdigest()[:12]


def _kept() -> dict[str, Row]:
    if not FIGURES.exists():
        return {}
    rows: dict[str, Row] = json.loads(FIGURES.read_text())["cells"]
    return rows


def _holds(row: Mapping[str, Any]) -> bool:
    """Return True if the cell ran to its end and fits the card."""
    ended = row["trained"] == "exported" and row.get("scored", "answered") == "answered"
    return bool(ended and row["share"] < _SHARE)


def _in_words(row: Mapping[str, Any]) -> str:
    if row["trained"] != "exported":
        return str(row["trained"])
    fits = "" if row["share"] < _SHARE else " TOO MUCH"
    return f"{row['peak_gib']} GiB, {row['share']:.0%}{fits}, {row['cubins']} cubins"


def _table(wanted: list[Cell], kept: Mapping[str, Row]) -> str:
    """Return a line for each cell, with a remark if no such card was ever made."""
    lines = []
    for cell in wanted:
        least, most = MADE[cell.card.sm]
        is_made = least - 1 <= cell.card.memory_gib <= most
        remark = "" if is_made else f"  (of sm{cell.card.sm} there are {least} to {most} GB)"
        lines.append(f"{cell.key:60} {_in_words(kept[cell.key])}{remark}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
