"""A reader of a task's constants, moves and hyperparameters, all of which refer to its baseline.

A move consists of edits. A `HyperparameterSpec` is a constant that a proposer may set. An
edit's search text must occur exactly once in the baseline, or the file does not load. Published
gains are in `trainer.task_folder.findings`, not here.
"""

from pathlib import Path
from typing import Literal, cast

from protocol.constants import constants_of, with_constants
from protocol.ideas import Edit, HyperparameterSpec, Move
from protocol.source import Source
from protocol.syntax import literal
from trainer.task_folder.fields import Fields, nearest, read_toml


def sized(fields: Fields, source: Source) -> Source:
    """Return the baseline with the values in `[constants]`, which set the sizes of a rung.

    Raises ConfigurationError for a constant that is not assigned in exactly one line of the
    baseline.
    """
    if not fields.has("constants"):
        return source
    section = fields.section("constants")
    known = {name: path for path, name in constants_of(source)}
    for name in section.names():
        if name not in known:
            problem = "is not assigned in exactly one line of the baseline"
            raise section.error(name, problem, nearest(name, known))
    values = {(known[name], name): repr(section.scalar(name)).encode() for name in section.names()}
    return with_constants(source, values)


def read_moves(path: Path, source: Source) -> tuple[Move, ...]:
    """Return the moves of a file. Raises ConfigurationError if one has a fault."""
    root = Fields(path, read_toml(path))
    moves = tuple(_move(section, source) for section in root.sections("move"))
    root.finish()
    refuse_twins(root, "move", [move.name for move in moves])
    return moves


def read_edits(section: Fields, source: Source) -> tuple[Edit, ...]:
    """Return the edits that a section lists. Raises ConfigurationError if one does not fit."""
    return tuple(_edit(edit, source) for edit in section.sections("edit"))


def refuse_twins(root: Fields, kind: str, names: list[str]) -> None:
    """Raise ConfigurationError if a name occurs twice."""
    for name in names:
        if names.count(name) > 1:
            raise root.error(kind, f"{name!r} occurs twice", "rename one of them")


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
            "copy it exactly from the baseline; put edits of another baseline in a separate file",
        )
    return edit


def read_hyperparameters(
    fields: Fields, source: Source, moves: tuple[Move, ...]
) -> tuple[HyperparameterSpec, ...]:
    """Return the hyperparameters of a file.

    Raises ConfigurationError if one does not name a constant.
    """
    if not fields.has("hyperparameters"):
        return ()
    section = fields.section("hyperparameters")
    # Parsing these is safe: they are the task's own files.
    texts = [content.decode() for _, content in source.files]
    texts += [edit.replace for move in moves for edit in move.edits]
    known = {name for text in texts for name in _constants_in(text)}
    for name in section.names():
        if name not in known:
            raise section.error(
                name, "is not a constant in the baseline or in a move", nearest(name, known)
            )
    return tuple(_hyperparameter(name, section.section(name)) for name in section.names())


def _hyperparameter(name: str, spec: Fields) -> HyperparameterSpec:
    kind = cast(
        "Literal['int', 'float', 'choice']", spec.one_of("type", ("int", "float", "choice"))
    )
    if kind == "choice":
        choices = spec.scalars("choices")
        spec.finish()
        return HyperparameterSpec(name=name, type=kind, choices=choices)
    limit = float(1 << 50)
    low = spec.number("low", low=-limit, high=limit)
    high = spec.number("high", low=low, high=limit)
    scale: Literal["linear", "log"] = "linear"
    if spec.has("scale"):
        scale = cast("Literal['linear', 'log']", spec.one_of("scale", ("linear", "log")))
    if scale == "log" and low <= 0:
        raise spec.error("low", f"is {low:g}", "with a log scale it must be above zero")
    spec.finish()
    return HyperparameterSpec(name=name, type=kind, low=low, high=high, scale=scale)


def _constants_in(code: str) -> set[str]:
    """Return the upper-case names that are assigned a literal. The code need not parse."""
    names = set()
    for line in code.splitlines():
        name, equals, value = line.partition(" = ")
        if equals and name.isupper() and name.isidentifier():
            try:
                literal(value.partition("#")[0].strip())
            except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
                continue
            names.add(name)
    return names
