"""Reading the knobs of a task's file: constants of its baseline that a proposer may set."""

import ast
from typing import Literal, cast

from protocol.ideas import KnobSpec, Move
from protocol.source import Source
from trainer.task_folder.fields import Fields, nearest


def read_knobs(fields: Fields, source: Source, moves: tuple[Move, ...]) -> tuple[KnobSpec, ...]:
    """Return the knobs of a file. Raises ConfigurationError if one names no constant."""
    if not fields.has("knobs"):
        return ()
    section = fields.section("knobs")
    known = _constants(source)
    for move in moves:
        known |= {name for edit in move.edits for name in _constants_in(edit.replace)}
    knobs = []
    for name in section.names():
        if name not in known:
            raise section.error(
                name, "is no constant of the baseline or of a move", nearest(name, known)
            )
        knobs.append(_knob(name, section.section(name)))
    return tuple(knobs)


def _knob(name: str, spec: Fields) -> KnobSpec:
    kind = cast(
        "Literal['int', 'float', 'choice']", spec.one_of("type", ("int", "float", "choice"))
    )
    if kind == "choice":
        choices = spec.scalars("choices")
        spec.finish()
        return KnobSpec(name=name, type=kind, choices=choices)
    limit = float(1 << 50)
    low = spec.number("low", low=-limit, high=limit)
    high = spec.number("high", low=low, high=limit)
    scale: Literal["linear", "log"] = "linear"
    if spec.has("scale"):
        scale = cast("Literal['linear', 'log']", spec.one_of("scale", ("linear", "log")))
    if scale == "log" and low <= 0:
        raise spec.error("low", f"is {low:g}", "a logarithmic knob lies above zero")
    spec.finish()
    return KnobSpec(name=name, type=kind, low=low, high=high, scale=scale)


def _constants(source: Source) -> set[str]:
    """Return the module-level constants of the baseline (our own files: parsing them is safe)."""
    return {name for _, content in source.files for name in _constants_in(content.decode())}


def _constants_in(code: str) -> set[str]:
    """Return names in upper case that a line of the code assigns; fragments need not parse."""
    names = set()
    for line in code.splitlines():
        name, equals, value = line.partition(" = ")
        if equals and name.isupper() and name.isidentifier():
            try:
                ast.literal_eval(value.partition("#")[0].strip())
            except (ValueError, SyntaxError):
                continue
            names.add(name)
    return names
