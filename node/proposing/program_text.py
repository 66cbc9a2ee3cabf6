"""The program text that proposers are given: the user's own, read anew at every proposal.

A file of the task's name among the home's programs goes before the one that came with the task,
so that editing it steers a node that runs. A fault of that file is said once and the last text
that could be read stays in force.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from trainer.task_folder.task import Task

MOST_BYTES: Final = 64 * 1024


class ProgramText:
    """Reads one task's program. `say` is told of what is wrong with it."""

    def __init__(self, task: Task, folder: Path, say: Callable[[str], None]) -> None:
        self._own = folder / f"{task.name}.md"
        self._shipped = task.program_path
        self._text = task.program
        self._say = say
        self._told = ""

    @property
    def path(self) -> Path:
        """Where it is read from now."""
        return self._own if self._own.exists() else self._shipped

    def read(self) -> str:
        """Return the text as it is now."""
        path, fault = self.path, ""
        try:
            with path.open("rb") as file:
                data = file.read(MOST_BYTES + 1)
            if len(data) > MOST_BYTES:
                fault = f"it is longer than {MOST_BYTES} bytes"
            else:
                self._text = data.decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            fault = getattr(error, "strerror", None) or "it is not UTF-8"
        if fault and fault != self._told:
            self._say(f"{path} is not read: {fault}; what was read before stays in force")
        self._told = fault
        return self._text
