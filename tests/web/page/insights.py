"""Answers about hyperparameters, as after weeks of varying them, with hostile names and values."""

import math
import random
from typing import Any, Final

from tests.node.examples import HARDWARE_CLASS, TASK
from tests.web.page.full_store import HOSTILE, LONG

NUMBERS: Final = ("LEARNING_RATE", "WEIGHT_DECAY", "DEPTH", "WARMUP_STEPS", "ADAM_BETA2")
WORDS: Final = ("WINDOW_PATTERN", "MODE")
_DECISIONS: Final = ("discarded",) * 14 + ("kept", "failed", "rejected", "discarded")
FAR_WORSE: Final = 3  # experiments, the first ones, whose scores lie beyond a plot's range
_START_MS: Final = 1_790_000_000_000


def importance() -> dict[str, Any]:
    """Return what `importance` answers, with hostile texts. The last number has no effect."""
    shares = (0.52, 0.21, 0.08, 0.05, 0.001)
    named = [
        {
            "name": name,
            "share": share,
            "low": 0.7 * share,
            "high": min(1.0, 1.4 * share),
            "best": 0.4,
            "values": [
                {"value": 0.001 * 2**step, "gain_sd": 2 - (step - 4) ** 2 / 4} for step in range(9)
            ],
        }
        for name, share in zip(NUMBERS, shares, strict=True)
    ]
    gains = {"SL": 0.0, HOSTILE[0]: 0.4, HOSTILE[1]: -1.2}
    words = [{"value": value, "gain_sd": gain} for value, gain in gains.items()]
    hostile = {"name": HOSTILE[2], "share": 0.04, "low": 0.0, "high": 0.2, "best": HOSTILE[0]}
    found = [*named[:-1], {**hostile, "values": words}, named[-1]]
    estimate = {**_line(), "hyperparameters": found, "explained": 0.91}
    return {"v": 1, "estimate": estimate, "newer": 0, "progress": None}


def kinds() -> dict[str, Any]:
    """Return what `kinds` answers, with hostile texts."""
    found = [
        _kind("tiny", "hyperparameter", 214, 9, 6),
        _kind("tiny", "architecture", 58, 3, 17),
        _kind("tiny", "optimiser", 31, 0, 2),
        _kind("tiny", HOSTILE[1], 4, 0, 0),
        _kind(HOSTILE[0], "hyperparameter", 12, 1, 0),
    ]
    return {"v": 1, "kinds": found}


def hyperparameters(count: int, name: str | None = None) -> dict[str, Any]:
    """Return what `hyperparameters` answers: `count` experiments, and their values."""
    chance = random.Random(3)
    names = [*NUMBERS, *WORDS] if name is None else [name]
    columns: dict[str, list[Any]] = {one: [] for one in ("id", "title", "ts", "decision", "metric")}
    values: dict[str, list[Any]] = {one: [] for one in names}
    for number in range(count):
        drawn = {one: _value(one, chance) for one in names}
        rate = drawn.get("LEARNING_RATE")
        off = abs(math.log10(rate / 0.02)) if isinstance(rate, float) else 1.0
        decision = chance.choice(_DECISIONS)
        has_score = decision not in ("failed", "rejected")
        columns["id"].append(f"{number:064x}")
        columns["title"].append(HOSTILE[number % 3] if number % 40 == 0 else f"change {number}")
        columns["ts"].append(_START_MS + number * 60_000)
        columns["decision"].append(decision)
        metric = 1.46 + 0.02 * off + chance.gauss(0, 0.004) + 5.0 * (number < FAR_WORSE)
        columns["metric"].append(metric if has_score else None)
        for one, value in drawn.items():
            values[one].append(value)
    return {
        "v": 1,
        **_line(),
        "metric": {"name": "bits per byte", "unit": "bpb", "direction": "min"},
        "hyperparameters": [{"name": one, "count": count} for one in names],
        "total": count + 234,
        "experiments": columns,
        "values": values,
    }


def _value(name: str, chance: random.Random) -> float | str | None:
    if name == "WINDOW_PATTERN":
        return chance.choice(("SL", "SSSL", "L", HOSTILE[0], LONG, None))
    if name == "MODE":
        return f"mode{chance.randrange(30)}"
    if name == "DEPTH":
        return float(chance.randrange(2, 13))
    if name == "WARMUP_STEPS":
        return chance.choice((0.0, 10.0, 20.0, 50.0, None))
    return 10.0 ** chance.uniform(-4, 0)


def pretend_insights(page: Any, *, count: int = 1_000) -> None:
    """Let the page's server answer with these from now on."""

    def answer_values(route: Any) -> None:
        _, _, query = route.request.url.partition("name=")
        route.fulfill(json=hyperparameters(count, query.split("&")[0] or None))

    page.route("**/api/v1/hyperparameters?*", answer_values)
    page.route("**/api/v1/kinds?*", lambda route: route.fulfill(json=kinds()))
    page.route("**/api/v1/importance?*", lambda route: route.fulfill(json=importance()))


def _line() -> dict[str, Any]:
    return {"task": {"id": TASK.hex(), "name": "tiny"}, "class": HARDWARE_CLASS}


def _kind(task: str, kind: str, tried: int, kept: int, failed: int) -> dict[str, Any]:
    of = {"task": {"id": task, "name": task}, "class": HARDWARE_CLASS, "kind": kind}
    return {**of, "tried": tried, "kept": kept, "failed": failed}
