"""Baselines of the shipped tasks as functions to call, with moves or without.

What the sandbox does around them is not here: a test plays candidate and judge in one process.
"""

import tomllib
from collections.abc import Generator
from types import ModuleType
from typing import Any

from protocol.ideas import Move
from protocol.source import Source
from trainer.task_folder.fields import Fields
from trainer.task_folder.folder import BUILTIN_FOLDER
from trainer.task_folder.moves import read_hyperparameters, read_moves

SEED = bytes(range(32))
OTHER_SEED = bytes(range(1, 33))


def moves_of(name: str) -> tuple[Move, ...]:
    """Return a task's moves, each of which fits its baseline."""
    folder = BUILTIN_FOLDER / name
    return read_moves(folder / "moves.toml", _source(name))


def hyperparameters_of(name: str) -> dict[str, Any]:
    """Return a task's hyperparameters by name: constants of the baseline or of a move."""
    fields = Fields(BUILTIN_FOLDER / name / "task.toml", _table(name))
    return {
        hyperparameter.name: hyperparameter
        for hyperparameter in read_hyperparameters(fields, _source(name), moves_of(name))
    }


def moved(name: str, *moves: Move) -> str:
    """Return the baseline's text after some moves, in their order, as far as they fit."""
    text = _text(name)
    for move in moves:
        if all(text.count(edit.search) == 1 for edit in move.edits):
            for edit in move.edits:
                text = text.replace(edit.search, edit.replace)
    return text


def candidate(name: str, *moves: Move) -> ModuleType:
    """Return the baseline as a new module, after some moves."""
    module = ModuleType(f"candidate_of_{name.replace('-', '_')}")
    exec(compile(moved(name, *moves), f"{name} {moves}", "exec"), module.__dict__)  # noqa: S102
    return module


def transcript_of(conversation: Generator[Any, Any, None], function: Any) -> list[list[Any]]:
    """Return what a judge and a candidate's function say to each other."""
    transcript = []
    message = next(conversation)
    while True:
        transcript.append([message, function(message)])
        try:
            message = conversation.send(transcript[-1][1])
        except StopIteration:
            return transcript


def _table(name: str) -> dict[str, Any]:
    return tomllib.loads((BUILTIN_FOLDER / name / "task.toml").read_text())


def _text(name: str) -> str:
    return (BUILTIN_FOLDER / name / _table(name)["editable"][0]).read_text()


def _source(name: str) -> Source:
    return Source.of({_table(name)["editable"][0]: _text(name).encode()})
