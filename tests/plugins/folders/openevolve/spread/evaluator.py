"""Scores places by how far apart the two nearest ones are."""

import importlib.util
import time
from itertools import pairwise
from pathlib import Path

from openevolve.evaluation_result import EvaluationResult

WIDTH = float((Path(__file__).parent / "width.txt").read_text())


def _places(program_path):
    spec = importlib.util.spec_from_file_location("program", program_path)
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    return program.answer()


def evaluate_stage1(program_path):
    """Say only whether there are places at all."""
    return {"combined_score": 1.0 if len(_places(program_path)) > 1 else 0.0}


def evaluate_stage2(program_path):
    """Measure in full."""
    return evaluate(program_path)


def evaluate(program_path):
    """Return the score and what it is made of."""
    print("evaluating")
    try:
        started = time.perf_counter()
        places = _places(program_path)
        seconds = time.perf_counter() - started
    except ValueError as fault:
        return {"combined_score": 0.0, "error": str(fault)}
    gap = min(after - before for before, after in pairwise(places))
    inside = all(0 <= place <= WIDTH for place in places)
    score = gap if inside else 0.0
    return EvaluationResult(
        metrics={"combined_score": score, "gap": gap, "eval_time": seconds},
        artifacts={"places": str(places)},
    )
