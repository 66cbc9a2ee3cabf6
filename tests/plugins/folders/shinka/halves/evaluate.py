"""Scores how even two parts of some numbers are."""

import argparse

from shinka.core import run_shinka_eval


def validate(output):
    """Return whether a part is one of the numbers given, and why not."""
    numbers, part = output
    left = list(numbers)
    for number in part:
        if number not in left:
            return False, f"{number} was not given"
        left.remove(number)
    return True, None


def aggregate(outputs):
    """Return the score, and what people and nobody may see."""
    differences = [abs(sum(numbers) - 2 * sum(part)) for numbers, part in outputs]
    mean = sum(differences) / len(differences)
    return {
        "combined_score": 1.0 / (1.0 + mean),
        "public": {"difference": mean, "part_size": len(outputs[0][1])},
        "private": {"differences": differences},
    }


def main(program_path, results_dir):
    """Evaluate a program."""
    run_shinka_eval(
        program_path=program_path,
        results_dir=results_dir,
        experiment_fn_name="run_experiment",
        num_runs=3,
        get_experiment_kwargs=lambda run_index: {"seed": run_index + 1},
        validate_fn=validate,
        aggregate_metrics_fn=aggregate,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--program_path", default="initial.py")
    parser.add_argument("--results_dir", default="results")
    given = parser.parse_args()
    main(given.program_path, given.results_dir)
