"""Where the repository is, and the tests' tasks in it."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
TASKS: Final = ROOT / "tests" / "tasks"
