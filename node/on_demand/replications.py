"""Output of a catalogue's findings and their measurements: a table, JSON, progress messages.

All texts of a catalogue are untrusted and shown as such. This module makes no decisions.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from node.on_demand.measuring import pair_json, pair_words
from node.on_demand.replicating import Replication
from node.terminal.durations import span_words
from node.terminal.vocabulary import many, word, wording
from protocol.codecs import plain
from protocol.rule import Judgement, Policy
from protocol.runs import Run
from protocol.units import from_nano

if TYPE_CHECKING:
    from rich.console import Console

_NAME_WIDTH = 20
PAIR_HEADER = f"{'finding':<{_NAME_WIDTH}} pair  base      finding   (secret split)"
_SOURCE_WIDTH, _CLAIM_WIDTH = 30, 50  # columns; longer text is wrapped


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicationEffort:
    """The number of all runs behind the verdicts, and the number and seconds of new ones."""

    runs: int
    runs_now: int
    seconds: float


def run_line(name: str, run: Run) -> str:
    """Return a message about a run whose pair is not complete yet."""
    value = from_nano(run.secret_nano)
    column = PAIR_HEADER.index("base" if run.role == "base" else "finding  ", _NAME_WIDTH)
    return f"{name:<{column}}{run.status if value is None else f'{value:.6f}'}"


def pair_line(replication: Replication) -> str:
    """Return a message about a finding's latest pair."""
    name = replication.candidate.finding.name
    confirmation = replication.confirmation
    if confirmation.latest is None:
        return f"{name}: {word(replication.verdict)}: {plain(replication.reason)}"
    ended = "" if replication.is_open else f"  {word(replication.verdict)}"
    words = pair_words(confirmation.pairs[-1], confirmation.latest.evidence_share)
    pairs = f"{name:<{_NAME_WIDTH}} {len(confirmation.pairs):>4}"
    return f"{pairs}  {words}{ended}"


def print_table(
    out: "Console", replications: Sequence[Replication], *, unit: str, hardware_class: str
) -> None:
    """Print claimed and measured gains, the largest measured gain first."""
    from rich.table import Table
    from rich.text import Text

    out.print(f"gain in {plain(unit)} over the task's baseline on {hardware_class}", style="bold")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("finding", no_wrap=True)
    table.add_column("source", overflow="fold", max_width=_SOURCE_WIDTH)
    table.add_column("claimed", overflow="fold", max_width=_CLAIM_WIDTH)
    table.add_column("measured", no_wrap=True, justify="right")
    table.add_column("95 % interval", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("pairs", no_wrap=True, justify="right")
    for one in sorted(replications, key=_order):
        finding, judged = one.candidate.finding, one.confirmation.latest
        table.add_row(
            Text(finding.name),
            Text(plain(finding.source)),
            Text(plain(finding.claimed)),
            f"{judged.gain:+.4f}" if judged else "–",
            _interval(judged),
            Text(_verdict_words(one), style=wording(one.verdict).style),
            str(len(one.confirmation.pairs)),
        )
    out.print(table, soft_wrap=False)
    for one in replications:
        if one.reason:
            out.print(Text(f"{one.candidate.finding.name}: {plain(one.reason)}"))


def summary(replications: Sequence[Replication], effort: ReplicationEffort) -> str:
    """Return the last line of the output: the number of each verdict, and the time."""
    verdicts = Counter(one.verdict for one in replications)
    counts = ", ".join(f"{number} {word(verdict)}" for verdict, number in verdicts.most_common())
    before = effort.runs - effort.runs_now
    known = f", {before} earlier runs" if before else ""
    findings = many(len(replications), "finding")
    return f"{findings}: {counts}; {effort.runs_now} runs in {span_words(effort.seconds)}{known}"


def _interval(judged: Judgement | None) -> str:
    if judged is None or judged.lower is None or judged.upper is None:
        return "–"
    return f"{judged.lower:+.4f} to {judged.upper:+.4f}"


def as_json(replication: Replication, policy: Policy) -> dict[str, object]:
    """Return the replication of a finding as JSON, with figures in the metric's unit."""
    finding, confirmation = replication.candidate.finding, replication.confirmation
    judged = confirmation.latest
    return {
        "name": finding.name,
        "title": finding.title,
        "idea": finding.idea,
        "source": finding.source,
        "claimed": finding.claimed,
        "claimed_gain": finding.claimed_gain,
        "candidate": replication.candidate.source.tree.hex(),
        "pairs": [pair_json(pair) for pair in confirmation.pairs],
        "gain": judged and judged.gain,
        "lower": judged and judged.lower,
        "upper": judged and judged.upper,
        "log_e": judged and judged.log_e,
        "alpha": policy.alpha,
        "verdict": None if replication.is_open else replication.verdict,
        "claim": judged and judged.claim,
        "reason": replication.reason or None,
        "runs": len(replication.own),
        "seconds": round(replication.seconds, 1),
    }


def _order(replication: Replication) -> tuple[bool, float]:
    judged = replication.confirmation.latest
    return judged is None, -judged.gain if judged else 0.0


def _verdict_words(replication: Replication) -> str:
    judged = replication.confirmation.judgement
    verdict, claim = word(replication.verdict), judged.claim if judged else None
    return f"{verdict} ({claim})" if claim else verdict
