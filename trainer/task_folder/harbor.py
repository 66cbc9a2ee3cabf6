"""Harbor's task folders: they have a `task.toml` too, of another kind."""

from pathlib import Path
from typing import Final

from protocol.errors import ConfigurationError
from trainer.task_folder.fields import TomlTable

_SECTIONS: Final = frozenset({"agent", "environment", "verifier"})


def refuse_harbor(folder: Path, table: TomlTable) -> None:
    """Raise ConfigurationError if a folder's `task.toml`, of which this is the table, is theirs."""
    if "kind" not in table and "extends" not in table and _SECTIONS & table.keys():
        raise ConfigurationError(
            f"{folder}: is a task of Harbor, for agents in a container; its task.toml is of"
            " another kind",
            "name the one file that is to be improved and a command that prints a number:"
            " arnode task init --target FILE --eval COMMAND --metric NAME --direction min|max",
        )
