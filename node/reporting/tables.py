"""What a report says in tables: peers' part by level of knowing, what was spent, and on whom.

Claimed, others and here are columns of their own, never one for another.
"""

from collections.abc import Iterator

from node.reporting.figures import (
    FigureWriter,
    deviations,
    hours,
    program_of,
    rate,
    short,
    title_of,
    usd,
)
from node.reporting.markdown import bullets, code_span, table
from node.reporting.origin_gains import OriginGains
from node.reporting.peers_part import AskedPart, Others, OwnClaim, TriedClaim
from node.reporting.report import LineReport
from node.terminal.vocabulary import many, word
from protocol.evidence import GAINS

_LEVELS = (
    "Three levels, never one for another: what its author's key signed (claimed), how many other "
    "keys re-ran it with runs that bear out what they say (others: + confirmed, ~ smaller than "
    "claimed, - refuted; keys, not people), what this machine measured (here). A patch that was "
    "tried as an idea was only screened."
)
_SHARING = (
    "Only stacks are ever verified, so only a stack's gain is measured. Where all of its parts "
    "have one origin, that gain is the origin's alone. The gain of a mixed stack is shared out in "
    "equal parts over its patches: an attribution, not a measurement, in a column of its own. The "
    "device time of checkpoints, confirmed or not, is shared out in the same way; the rates are of "
    "both columns together. Gains count in the span in which their checkpoint ended. What was "
    "confirmed looks a little better than it is, because it had to be."
)
_WAYS = {"again": "run again", "head": "against the head", "idea": "as an idea"}


_ORIGINS = (
    "proposer",
    "model",
    "program",
    "tried",
    "kept",
    "device hours",
    "USD",
    "gain alone",
    "share of mixed",
    "gain per device hour",
    "gain per USD",
)


def peers_part(line: LineReport, figures: FigureWriter) -> Iterator[str]:
    """Yield what came of peers' claims, what others say of own ones, what parts are worth."""
    peers = line.peers
    if peers.tried:
        yield f"### What peers claimed ({len(peers.tried)})"
        yield _LEVELS
        yield _adopted(line)
        rows = [_tried(one, figures) for one in peers.tried]
        yield table(("claim", "by", "how", "claimed", "others", "here"), rows, texts=3)
    if peers.own:
        yield "### What others say of it"
        if not peers.tried:
            yield _LEVELS
        rows = [_own(one, figures) for one in peers.own]
        yield table(("own result", "claimed", "at least", "others", "here"), rows)
    if peers.asked:
        yield "### Parts of the head, asked"
        yield bullets([_asked(one, figures) for one in peers.asked], figures.shown)


def cost_part(line: LineReport, figures: FigureWriter) -> Iterator[str]:
    """Yield what the device and models were used for, and what came of it by origin."""
    total_ms = sum(ms for _, ms in line.device_ms)
    if not total_ms:
        return
    yield "### Cost"
    rows = [(what, hours(ms), f"{ms / total_ms:.0%}") for what, ms in line.device_ms]
    whole = ("all", hours(total_ms), "100%")
    yield table(("what for", "device hours", "share"), (*rows, whole))
    yield f"Models: {line.spend.tokens:,} tokens, {usd(line.spend.usd_nano)}."
    if line.origins:
        yield "### Verified gain by proposer, model and program"
        yield _SHARING
        yield table(_ORIGINS, (_origin(row, figures) for row in line.origins), texts=3)


def _tried(one: TriedClaim, figures: FigureWriter) -> tuple[str, ...]:
    if one.way == "idea":
        claimed, here = deviations(one.claimed_sd), deviations(one.gain_sd)
    else:
        claimed = figures.gain(one.claimed_nano)
        here = figures.interval(one.measured) if one.measured else ""
    told = word(one.here) + (" and adopted" if one.way == "head" and one.here in GAINS else "")
    return (
        title_of(one.title),
        ", ".join(map(short, one.authors)),
        _WAYS[one.way],
        claimed,
        _others(one.others),
        f"{told} {here}" if here not in ("", "–") else told,
    )


def _adopted(line: LineReport) -> str:
    trees = sum(one.way == "head" and one.here in GAINS for one in line.peers.tried)
    parts = [
        part
        for one in line.confirmations
        if one.verdict in GAINS
        for part in one.parts
        if part.authors
    ]
    return (
        f"Adopted here after a confirmation here: {many(trees, 'tree')} as a whole, and"
        f" {many(len(parts), 'patch', 'patches')} in confirmed stacks."
    )


def _own(one: OwnClaim, figures: FigureWriter) -> tuple[str, ...]:
    here = word(one.here.verdict)
    gain = one.here.gain
    return (
        f"{title_of(one.title)} [{short(one.result)}]",
        figures.gain(one.claimed.value_nano),
        figures.gain(one.claimed.lower_nano()),
        f"{_others(one.others)}, {one.new} of them new",
        f"{here} {figures.gain(gain.value_nano)}" if gain else here,
    )


def _asked(one: AskedPart, figures: FigureWriter) -> str:
    shown = f": {figures.interval(one.measured)}" if one.measured else ""
    return f"{figures.time(one.ts_ms)} {title_of(one.title)} {word(one.verdict)}{shown}"


def _others(others: Others | None) -> str:
    return "–" if others is None else f"+{others.confirmed} ~{others.smaller} -{others.refuted}"


def _origin(row: OriginGains, figures: FigureWriter) -> tuple[str, ...]:
    origin = row.origin
    return (
        origin.proposer,
        code_span(origin.model) if origin.model else "–",
        program_of(origin) or "–",
        str(row.tried),
        str(row.kept),
        hours(row.device_ms),
        usd(row.spend.usd_nano),
        figures.gain(row.alone_nano),
        figures.gain(row.shared_nano),
        rate(row.per_device_hour),
        rate(row.per_usd),
    )
