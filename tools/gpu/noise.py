"""Measurements of a metric's noise over seeds, and of the size of the baseline.

The seeds also show how far audits differ from claims. The sweep shows if the baseline is well sized
for a smaller card.
"""

from collections.abc import Sequence
from statistics import fmean
from typing import Final

from protocol.units import NANO
from tools.gpu.measuring import Figures, Report, Session, figures_of, metrics_of, pooled_sd
from tools.gpu.sources import (
    constants_of,
    moved,
    on_smaller_card,
    ours,
    size_of_ours,
    with_constants,
)
from trainer.measuring.outcome import RunOutcome

# Steps in depth and in doublings of the batch from the sized baseline, the nearest first.
_GRID: Final = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1), (-1, 1), (1, -1))


async def run_noise(
    session: Session,
    report: Report,
    *,
    seeds: int,
    memory_gib: float,
    sweep_seconds: int,
    points: slice,
) -> None:
    """Fill in the report: seeds first, then the sweep while there is time."""
    outcomes = [await session.begin(1)]
    report.figures["tolerance_nats"] = session.tolerance_nats
    report.figures["seeds"] = _seeds(outcomes)
    for seed in range(2, seeds + 1):
        if not session.has_time_for():
            report.skipped.append(f"seeds {seed} to {seeds}: no time is left")
            break
        outcomes.append(await session.run(f"seed {seed}", ours(), seed))
        report.figures["seeds"] = _seeds(outcomes)
    await _sweep(session, report, memory_gib, sweep_seconds, list(_GRID)[points])


def _seeds(outcomes: list[RunOutcome]) -> Figures:
    metrics = metrics_of(outcomes)
    audits = [outcome.audit for outcome in outcomes if outcome.audit is not None]
    return {
        "runs": [figures_of(outcome) for outcome in outcomes],
        "mean_bpb": fmean(metrics),
        "sd_bpb": pooled_sd(metrics),
        "range_bpb": max(metrics) - min(metrics),
        "audits": [
            {
                "k": audit.k,
                "claim_minus_audit_nats": audit.mean_nano / NANO,
                "standard_error_nats": audit.se_nano / NANO,
                "largest_nats": audit.max_nano / NANO,
            }
            for audit in audits
        ],
    }


async def _sweep(
    session: Session,
    report: Report,
    memory_gib: float,
    seconds: int,
    grid: Sequence[tuple[int, int]],
) -> None:
    """Run our script at sizes around the one that it takes for a card with this much memory."""
    machine = session.machine
    if machine.memory_gib is not None and machine.memory_gib < memory_gib:
        report.skipped.append(f"sweep: this card has less than {memory_gib:g} GiB")
        return
    base = size_of_ours(memory_gib if machine.is_card else None)
    source = on_smaller_card(ours(), memory_gib)
    points: list[Figures] = []
    report.figures["sweep"] = {
        "emulated_memory_gib": memory_gib if machine.is_card else None,
        "budget_s": seconds,
        "points_of_grid": f"{len(grid)} of {len(_GRID)}",
        "points": points,
    }
    for number, (deeper, doublings) in enumerate(grid):
        if not session.has_time_for():
            report.skipped.append(f"sweep: no time for {len(grid) - number} of its points")
            break
        size = moved(base, deeper, doublings)
        what = f"{size.layers} layers, width {size.width}, {size.step_tokens} tokens a step"
        outcome = await session.run(
            what,
            with_constants(source, {**constants_of(size), "TIME_BUDGET": str(seconds)}),
            1,
            audited=False,
        )
        points.append(
            {
                "layers": size.layers,
                "width": size.width,
                "step_tokens": size.step_tokens,
                "is_sized_baseline": size == base,
                **figures_of(outcome),
            }
        )
