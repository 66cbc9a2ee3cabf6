"""Hyperparameters in a source: UPPERCASE literals at module level, their ranges and their text.

They are found with `ast` in the editable Python files. A tuple or list of numbers has one
hyperparameter per element. Ranges come from the task's specs or are inferred from the value.
Every number has an axis: a scale on which equal distances are changes of about equal boldness, such
as the logarithm. This module knows nothing of history.
"""

import ast
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from agent.source.canonical import parse
from protocol.ideas import HyperparameterSpec
from protocol.source import Source

Scalar = bool | int | float | str

# Inferred ranges: a factor of four in each direction.
REACH = math.log(4)

_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_SMALL_INT = 16
_MAX_EXPONENT = 40
# A larger number is neither a size nor a rate, and four times it might not be a number.
_MAX_NUMBER = 2**53
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperparameter:
    """One literal: text[start:end] of a file, its value, and the task's spec, if any."""

    path: str
    name: str
    start: int
    end: int
    text: str
    value: Scalar
    spec: HyperparameterSpec | None

    @property
    def choices(self) -> tuple[Scalar, ...]:
        """The other choices or the other truth value; empty if the hyperparameter has neither."""
        if self.spec is not None and self.spec.type == "choice":
            return tuple(choice for choice in self.spec.choices if choice != self.value)
        return (not self.value,) if isinstance(self.value, bool) else ()

    def render(self, value: Scalar) -> str:
        """Return the literal for `value` in the style of the present one."""
        if isinstance(value, str):
            is_plain = value.isprintable() and not {'"', "\\"} & set(value)
            return f'"{value}"' if is_plain else repr(value)
        if isinstance(value, bool):
            return repr(value)
        if isinstance(value, int):
            is_power = "**" in self.text and value.bit_count() == 1
            return f"2**{value.bit_length() - 1}" if is_power else repr(value)
        # repr always reads back as a float; only its exponent is padded.
        return re.sub(r"e([+-])0*", lambda sign: "e-" if sign[1] == "-" else "e", repr(value))


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """The range of a number, as a coordinate between `low` and `high`.

    `kind` is the scale. `tail` is the negative logarithm of 1 - value (betas, momentum). `power` is
    the exponent of a power of two. A step of size 1 moves the coordinate by `unit`.
    """

    kind: Literal["linear", "log", "tail", "power"]
    low: float
    high: float
    unit: float = 1.0
    is_whole: bool = False
    sign: int = 1

    def position(self, value: float) -> float:
        """Return the coordinate of `value`, clamped to the range."""
        return min(max(self.coordinate(value), self.low), self.high)

    def coordinate(self, value: float) -> float:
        """Return the coordinate of `value` without clamping; infinite if it has none."""
        if self.kind == "linear":
            return value
        if self.kind == "power":
            return math.log2(value) if value > 0 else -math.inf
        if self.kind == "tail":
            return -math.log(1 - value) if value < 1 else math.inf
        return math.log(abs(value)) if value else -math.inf

    def holds(self, value: float) -> bool:
        """Return whether `value` is a number of this axis, inside the range."""
        coordinate = self.coordinate(value)
        is_inside = self.low - _ROUNDING <= coordinate <= self.high + _ROUNDING
        has_sign = self.kind != "log" or value * self.sign > 0
        is_step = self.kind != "power" or coordinate.is_integer()
        return is_inside and has_sign and is_step

    def value(self, coordinate: float) -> int | float:
        """Return the rounded number nearest to a coordinate, which is clamped to the range."""
        coordinate = min(max(coordinate, self.low), self.high)
        if self.kind == "power":
            return int(2 ** round(coordinate))
        if self.kind == "tail":
            rest = math.exp(-coordinate)
            return round(1 - rest, max(3, 1 - math.floor(math.log10(rest))))
        number = coordinate if self.kind == "linear" else self.sign * math.exp(coordinate)
        tidy = float(f"{number:.3g}")
        return round(tidy) if self.is_whole else tidy


def find_hyperparameters(
    source: Source, editable: Sequence[str], specs: Sequence[HyperparameterSpec]
) -> tuple[Hyperparameter, ...]:
    """Return the hyperparameters of the editable Python files, in the order of the text."""
    by_name = {spec.name: spec for spec in specs}
    found: list[Hyperparameter] = []
    for path, data in source.files:
        # `ast` counts a CR as a line of its own; sources have LF.
        is_candidate = path in editable and path.endswith(".py") and b"\r" not in data
        module = parse(data) if is_candidate else None
        if module is None:
            continue
        for name, node in _assignments(module):
            spec = by_name.get(name)
            found += [
                hyperparameter
                for hyperparameter in _hyperparameters_of(path, data, name, node, spec)
                if _moves(hyperparameter)
            ]
    return tuple(found)


def hyperparameter_values(
    source: Source, editable: Sequence[str], specs: Sequence[HyperparameterSpec]
) -> tuple[tuple[str, Scalar], ...]:
    """Return the hyperparameters' values by name, in the order of `find_hyperparameters`."""
    return tuple(
        (hyperparameter.name, hyperparameter.value)
        for hyperparameter in find_hyperparameters(source, editable, specs)
    )


def may_be(hyperparameter: Hyperparameter, value: Scalar) -> bool:
    """Return whether a value is possible: of the same type, and in the range or the choices."""
    axis = axis_of(hyperparameter)
    if type(value) is not type(hyperparameter.value):
        return False
    if axis is None or isinstance(value, bool | str):
        return value == hyperparameter.value or value in hyperparameter.choices
    return axis.holds(value)


def axis_of(hyperparameter: Hyperparameter) -> Axis | None:
    """Return the axis of a hyperparameter's number, or None if it is not a number."""
    value, spec = hyperparameter.value, hyperparameter.spec
    if isinstance(value, bool | str) or (spec is not None and spec.type == "choice"):
        return None
    is_whole = isinstance(value, int) if spec is None else spec.type == "int"
    if spec is None:
        return _inferred_int_axis(int(value)) if is_whole else _inferred_float_axis(value)
    if spec.scale == "log" and value >= 0 and (spec.low is None or spec.low > 0):
        low = spec.low or (value / 4 or 1e-3)
        high = spec.high or max(4 * value, 4 * low)
        if is_whole and _is_power_of_two(value):
            return _power_axis(math.ceil(math.log2(low)), math.floor(math.log2(high)))
        return Axis(kind="log", low=math.log(low), high=math.log(high), is_whole=is_whole)
    low = value - max(abs(value), 1) if spec.low is None else spec.low
    high = value + max(abs(value), 1) if spec.high is None else spec.high
    return _linear_axis(low, high, is_whole=is_whole)


def _inferred_int_axis(value: int) -> Axis | None:
    if _is_power_of_two(value):
        exponent = int(math.log2(value))
        return _power_axis(exponent - 2, exponent + 2)
    if value < 0:
        return None  # more often a sentinel than a size
    if value < _SMALL_INT:
        return _linear_axis(min(1, value), value + max(2, value // 2), is_whole=True)
    middle = math.log(value)
    return Axis(kind="log", low=middle - REACH, high=middle + REACH, is_whole=True)


def _inferred_float_axis(value: float) -> Axis:
    if value == 0:
        return _linear_axis(0.0, 0.5, is_whole=False)
    if 0.8 <= value < 1:
        middle = -math.log(1 - value)
        return Axis(kind="tail", low=middle - REACH, high=middle + REACH)
    middle = math.log(abs(value))
    return Axis(kind="log", low=middle - REACH, high=middle + REACH, sign=1 if value > 0 else -1)


def _linear_axis(low: float, high: float, *, is_whole: bool) -> Axis:
    unit = (high - low) / (2 * REACH)
    return Axis(kind="linear", low=low, high=high, unit=unit, is_whole=is_whole)


def _power_axis(low: int, high: int) -> Axis:
    return Axis(kind="power", low=max(0, low), high=high, unit=1 / math.log(2), is_whole=True)


def _is_power_of_two(value: float) -> bool:
    return value >= 8 and math.log2(value).is_integer()


def _moves(hyperparameter: Hyperparameter) -> bool:
    axis = axis_of(hyperparameter)
    return bool(hyperparameter.choices) if axis is None else axis.low < axis.high


def _assignments(module: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Yield the UPPERCASE names that are assigned exactly once at module level."""
    assigned: list[tuple[str, ast.expr]] = []
    for statement in module.body:
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target, value = statement.targets[0], statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            target, value = statement.target, statement.value
        else:
            continue
        if isinstance(target, ast.Name) and _NAME.fullmatch(target.id):
            assigned.append((target.id, value))
    times = Counter(name for name, _ in assigned)
    for name, value in assigned:
        # A gain by another seed is luck.
        if times[name] == 1 and "SEED" not in name:
            yield name, value


def _hyperparameters_of(
    path: str, data: bytes, name: str, node: ast.expr, spec: HyperparameterSpec | None
) -> Iterator[Hyperparameter]:
    parts = [(name, node)]
    if isinstance(node, ast.Tuple | ast.List):
        parts = [(f"{name}[{index}]", element) for index, element in enumerate(node.elts)]
    for label, part in parts:
        value = _scalar(part)
        if value is None or (part is not node and isinstance(value, bool | str)):
            continue
        start = _offset(data, part.lineno, part.col_offset)
        end = _offset(data, part.end_lineno or part.lineno, part.end_col_offset or 0)
        text = data.decode("utf-8")[start:end]
        yield Hyperparameter(
            path=path, name=label, start=start, end=end, text=text, value=value, spec=spec
        )


def _scalar(node: ast.expr) -> Scalar | None:
    """Return the value of a literal, a negated number or a power of two such as 2**19."""
    match node:
        case ast.Constant(value=bool() | str() as value):
            return value
        case ast.Constant(value=int() | float() as value) if abs(value) < _MAX_NUMBER:
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return None if isinstance(value, bool) or value >= _MAX_NUMBER else -value
        case ast.BinOp(left=ast.Constant(value=2), op=ast.Pow(), right=ast.Constant(value=value)):
            return int(2**value) if type(value) is int and value <= _MAX_EXPONENT else None
        case _:
            return None


def _offset(data: bytes, line: int, column: int) -> int:
    """Return the text index of a position that `ast` counts in lines and bytes."""
    before = data.split(b"\n")[: line - 1]
    return len(data[: sum(len(part) + 1 for part in before) + column].decode("utf-8"))
