"""`make gpu [PART=compare|noise|pipeline]`: measurements of this machine's card.

The figures are written to build/gpu/PART.json. The first part starts with the card's self-test,
whose report is written to the same folder. Without a card the same runs at toy size on the CPU, and
the figures say nothing about a card.
"""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

_HOME = Path(__file__).parents[2] / "build" / "gpu"


def main() -> int:
    """Run the part that the command line names; return 1 if it could not be measured."""
    if sys.version_info < (3, 11):  # noqa: UP036 -- older versions get this far
        sys.exit("arnode needs Python 3.11 or newer: name one, as make gpu PYTHON=python3.12")
    from tools.gpu.bare import MODULES

    missing = [name for name, module in MODULES.items() if find_spec(module) is None]
    if missing:
        sys.exit(
            f"make gpu needs {', '.join(MODULES)}; not here: {', '.join(missing)}. Name a Python"
            " that has them, as make gpu PYTHON=.venv/bin/python"
        )
    from tools.gpu.parts import PARTS, Options, measure

    parser = argparse.ArgumentParser(prog="python -m tools.gpu")
    parser.add_argument("part", nargs="?", default="compare", choices=[*PARTS])
    parser.add_argument("--seconds", type=int, help="training budget of a run")
    parser.add_argument("--minutes", type=float, help="for the whole part (8.5; at toy size 2)")
    parser.add_argument("--out", type=Path, help="where the figures go (build/gpu/PART.json)")
    parser.add_argument("--home", type=Path, default=_HOME, help="where the text is kept")
    parser.add_argument("--runs", type=int, help="pairs, seeds or experiments at most (3, 5, 3)")
    parser.add_argument("--memory", type=float, default=24.0, help="GiB of the emulated card")
    parser.add_argument("--points", type=int, default=99, help="ablations or sizes at most")
    parser.add_argument("--from-point", type=int, default=0, help="the number of the first")
    given = parser.parse_args()
    return measure(Options(**vars(given)))


if __name__ == "__main__":
    sys.exit(main())
