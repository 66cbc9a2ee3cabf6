"""Scores marks on a ruler by how many distances between two of them differ."""

import json
import sys
import time
from itertools import combinations
from pathlib import Path

LENGTH = 20


def evaluate(program_path, results_path):
    """Write the figures of a program."""
    sys.path.insert(0, str(Path(program_path).resolve().parent))
    program = __import__(Path(program_path).stem)
    started = time.time()
    marks = program.marks(LENGTH)
    seconds = time.time() - started
    if not all(isinstance(one, int) and 0 <= one <= LENGTH for one in marks):
        raise ValueError("a mark that is not on the ruler")
    distances = {abs(one - other) for one, other in combinations(marks, 2)}
    with Path(results_path).open("w") as file:
        json.dump(
            {"distances": len(distances), "ratio": len(distances) / LENGTH, "eval_time": seconds},
            file,
        )


if __name__ == "__main__":
    evaluate(sys.argv[1], sys.argv[2])
