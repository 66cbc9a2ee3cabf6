"""The paths of the repository and of the tests' tasks."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
TASKS: Final = ROOT / "tests" / "tasks"
