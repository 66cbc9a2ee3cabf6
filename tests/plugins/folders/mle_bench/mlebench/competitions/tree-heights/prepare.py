import csv
import random
from pathlib import Path

from .columns import KEY as KEY_COLUMN
from .columns import TARGET


def _write(path: Path, columns: list[str], rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def prepare(raw: Path, public: Path, private: Path):
    """Hold back a quarter of the trees."""
    with (raw / "trees.csv").open() as file:
        rows = list(csv.DictReader(file))
    random.Random(42).shuffle(rows)
    held = rows[: len(rows) // 4]
    _write(public / "train.csv", list(rows[0]), rows[len(held) :])
    _write(public / "test.csv", [name for name in rows[0] if name != TARGET], held)
    _write(private / "test.csv", [KEY_COLUMN, TARGET], held)
    _write(
        public / "sample_submission.csv",
        [KEY_COLUMN, TARGET],
        [{**row, TARGET: "10.0"} for row in held],
    )
