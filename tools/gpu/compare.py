"""A comparison of our script with autoresearch's defaults, and ablations of our script.

Both scripts have the same card, data, tokens, budget and seeds. Each ablation reverts one of the
points that our script takes from autoresearch's overnight session.
"""

from statistics import fmean
from typing import Final

from tools.gpu.measuring import (
    Figures,
    Report,
    Session,
    figures_of,
    metrics_of,
    pooled_sd,
    rates_of,
)
from tools.gpu.sources import (
    ABLATIONS,
    ours,
    shape_of_ours,
    shape_of_theirs,
    theirs,
    with_constants,
)
from trainer.measuring.outcome import RunOutcome

_WANTED_SDS: Final = 5.0


async def run_compare(session: Session, report: Report, *, pairs: int, points: slice) -> None:
    """Fill in the report: pairs with equal seeds first, then ablations while there is time."""
    report.figures |= {
        "attention": "our script's, in both scripts",
        "loader": "the harness's, for both",
        "warm_up": "on invented tokens before the clock starts, by both",
    }
    mine = [await session.begin(1)]
    rival: list[RunOutcome] = []
    for seed in range(1, pairs + 1):
        if seed > 1:
            if not session.has_time_for(2):
                report.skipped.append(f"pairs {seed} to {pairs}: no time is left")
                break
            mine.append(await session.run(f"ours, seed {seed}", ours(), seed))
        rival.append(await session.run(f"autoresearch's defaults, seed {seed}", theirs(), seed))
        report.figures["pairs"] = _pairs(mine, rival)
        report.figures["rates"] = _rates(session, mine, rival)
    sd = pooled_sd(metrics_of(mine), metrics_of(rival))
    await _ablate(session, report, fmean(metrics_of(mine)), sd, points)


def _pairs(mine: list[RunOutcome], rival: list[RunOutcome]) -> Figures:
    here, there = metrics_of(mine), metrics_of(rival)
    sd = pooled_sd(here, there)
    difference = fmean(here) - fmean(there) if there else None
    in_sds = difference / sd if sd and difference is not None else None
    return {
        "ours": [figures_of(outcome) for outcome in mine],
        "autoresearch": [figures_of(outcome) for outcome in rival],
        "difference_bpb": difference,
        "noise_sd_bpb": sd,
        "difference_in_sds": in_sds,
        "is_lower_by_5_sds": None if in_sds is None else in_sds <= -_WANTED_SDS,
    }


def _rates(session: Session, mine: list[RunOutcome], rival: list[RunOutcome]) -> Figures:
    machine, manifest = session.machine, session.task.manifest
    if machine.memory_gib is None:
        return {}  # toys have other shapes
    size = {"vocabulary": manifest.vocabulary_size, "context": manifest.context}
    return {
        "ours": rates_of(mine, shape_of_ours(machine.memory_gib, **size), machine.peak_flops),
        "autoresearch": rates_of(rival, shape_of_theirs(**size), machine.peak_flops),
    }


async def _ablate(
    session: Session, report: Report, base_bpb: float, sd: float | None, points: slice
) -> None:
    """Run our script with one point reverted at a time, with a seed that the pairs used as well."""
    found: dict[str, Figures] = {}
    report.figures["ablations"] = found
    report.skipped += [
        f"ablation {number}, {name}: not asked for"
        for number, name in enumerate(ABLATIONS)
        if name not in list(ABLATIONS)[points]
    ]
    for number, (name, values) in list(enumerate(ABLATIONS.items()))[points]:
        if not session.has_time_for():
            report.skipped.append(f"ablation {number}, {name}: no time is left")
            continue
        outcome = await session.run(f"without {name}", with_constants(ours(), values), 1)
        loss = None
        if metric := metrics_of([outcome]):
            loss = metric[0] - base_bpb
        found[name] = {
            **figures_of(outcome),
            "loss_without_bpb": loss,
            "loss_without_in_sds": loss / sd if sd and loss is not None else None,
        }
