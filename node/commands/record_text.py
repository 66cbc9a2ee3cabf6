"""Printing of a record's fields: figures in their unit, untrusted text without escape sequences."""

from collections.abc import Mapping
from decimal import Decimal

from node.terminal.terminal import say, to_json
from protocol.codecs import plain
from protocol.fields import Mapped
from protocol.manifest import MetricSpec
from protocol.record_kinds import Body, TaskBody

_NANO_DIGITS = 9
_MILLIONTH_DIGITS = 6
_LEAST_DIGITS = 6  # as in tables


def fields_for_people(body: Body | Mapped, metric: MetricSpec | None) -> object:
    """Return a record's fields as JSON values, with scaled integers written as figures.

    Figures of the metric get its unit. `metric` is None if the task, and so the scale, is unknown.
    """
    fields = body.manifest if isinstance(body, TaskBody) else body
    return _with_figures(fields, to_json(body.to_value()), metric)


def _with_figures(value: object, document: object, metric: MetricSpec | None) -> object:
    if isinstance(value, Mapped) and isinstance(document, Mapping):
        known = {name: (attribute, item) for name, attribute, item in value.parts()}
        return {
            name: _figure(*known[name], shown, metric) if name in known else shown
            for name, shown in document.items()
        }
    if isinstance(value, tuple) and isinstance(document, list) and len(value) == len(document):
        return [
            _with_figures(one, shown, metric) for one, shown in zip(value, document, strict=True)
        ]
    return document


def _figure(attribute: str, value: object, document: object, metric: MetricSpec | None) -> object:
    """Return a field as a figure. The suffix of `attribute` is its scale, such as `_millionths`."""
    if isinstance(value, int) and attribute.endswith("_nano") and metric is not None:
        digits = _NANO_DIGITS if metric.scale is None else metric.scale
        return f"{_decimal(value, digits, least=min(digits, _LEAST_DIGITS))} {metric.unit}".rstrip()
    if isinstance(value, int) and attribute.endswith("_millionths"):
        return _decimal(value, _MILLIONTH_DIGITS)
    return _with_figures(value, document, metric)


def _decimal(number: int, digits: int, *, least: int = 0) -> str:
    """Return number / 10^digits exactly, with at least `least` digits after the point."""
    exact = Decimal(number).scaleb(-digits)
    short = f"{exact:.{least}f}"
    return short if Decimal(short) == exact else f"{exact.normalize():f}"


def print_fields(fields: Mapping[str, object], *, indent: str = "") -> None:
    """Print fields. The items of a map or list are indented below its name."""
    for name, value in fields.items():
        if isinstance(value, dict):
            say(f"{indent}{name}:")
            print_fields(value, indent=indent + "  ")
        elif isinstance(value, list) and value:
            say(f"{indent}{name}:")
            for item in value:
                say(f"{indent}  {_in_one_line(item)}")
        else:
            say(f"{indent}{name}: {_in_one_line(value)}")


def _in_one_line(value: object) -> str:
    if isinstance(value, dict):
        return "  ".join(f"{name}={_in_one_line(item)}" for name, item in value.items())
    if isinstance(value, list):
        return "[" + ", ".join(_in_one_line(item) for item in value) + "]"
    return "-" if value is None else plain(str(value))
