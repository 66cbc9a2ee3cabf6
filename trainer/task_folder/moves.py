"""Reading edits of a task's baseline from TOML: the moves that a task lists.

An edit's search text occurs exactly once in the baseline, or its file does not load. Whether a
change helps is not known here (`trainer.task_folder.findings` holds what others say of theirs).
"""

from pathlib import Path

from protocol.ideas import Edit, Move
from protocol.source import Source
from trainer.task_folder.fields import Fields, nearest, read_toml


def read_moves(path: Path, source: Source) -> tuple[Move, ...]:
    """Return the moves of a file. Raises ConfigurationError if one has a fault."""
    root = Fields(path, read_toml(path))
    moves = tuple(_move(section, source) for section in root.sections("move"))
    root.finish()
    refuse_twins(root, "move", [move.name for move in moves])
    return moves


def read_edits(section: Fields, source: Source) -> tuple[Edit, ...]:
    """Return the edits that a section lists, each of which fits `source`."""
    return tuple(_edit(edit, source) for edit in section.sections("edit"))


def refuse_twins(root: Fields, kind: str, names: list[str]) -> None:
    """Raise ConfigurationError if a name is there twice."""
    for name in names:
        if names.count(name) > 1:
            raise root.error(kind, f"{name!r} is there twice", "rename one of them")


def _move(section: Fields, source: Source) -> Move:
    move = Move(
        name=section.text("name"),
        title=section.text("title"),
        why=section.text("why"),
        edits=read_edits(section, source),
    )
    section.finish()
    return move


def _edit(section: Fields, source: Source) -> Edit:
    paths = [path for path, _ in source.files]
    edit = Edit(
        path=section.text("path") if section.has("path") else paths[0],
        search=section.text("search"),
        replace=section.content("replace"),
    )
    section.finish()
    if edit.path not in paths:
        raise section.error("path", f"is {edit.path!r}", nearest(edit.path, paths))
    if source[edit.path].decode().count(edit.search) != 1:
        raise section.error(
            "search",
            "does not occur exactly once in the baseline",
            "copy it from there exactly; edits of another baseline need a file of their own",
        )
    return edit
