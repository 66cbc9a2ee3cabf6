"""The tables of a report: peers' claims and verdicts, device time, and gains by origin.

Claims, peers' verdicts and this node's measurements have separate columns.
"""

from collections.abc import Iterator
from dataclasses import asdict

from node.line.experiment import PEER
from node.reporting.blocks import (
    Block,
    Span,
    Text,
    bullets,
    figures_column,
    heading,
    joined,
    paragraph,
    quoted,
    table,
    text,
    words_column,
)
from node.reporting.company import company_words
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
from node.reporting.origin_gains import OriginGains
from node.reporting.peers_part import Others, OwnClaim, RemovedPatch, TriedClaim
from node.reporting.report import LineReport
from node.store.experiments import CATCHING_UP
from node.terminal.vocabulary import many, word
from protocol.evidence import GAINS

_LEVELS = (
    "The columns are separate kinds of evidence. Claimed: signed by the author's key. Others: how "
    "many other keys (not people) re-ran the claim, with runs that support their verdict "
    "(+ confirmed, ~ smaller than claimed, - refuted). Here: measured on this machine. A patch "
    "that was tried as an idea was only screened."
)
_SHARING = (
    "A promotion trial measures the gain of all its patches together. If one "
    "proposer made all of them, with the same model and instructions, its row has the whole gain "
    "(gain alone). Otherwise the gain is divided equally among the patches (share of mixed): an "
    "attribution, not a measurement. The device time of promotion trials, passed or not, is "
    "divided in the same way. The rates are based on the sum of both gains. A gain counts in the "
    "time span in which its trial ended. Confirmed gains are on average a little too high, because "
    "only the best pass."
)
_HOW = {"again": "re-run", "head": "against the head", "idea": "as an idea"}


_CLAIMS = (
    words_column("claim", wraps=True),
    words_column("by", wraps=True),
    words_column("how"),
    *map(figures_column, ("claimed", "others", "here")),
)
_OWN = (
    words_column("own result", wraps=True),
    *map(figures_column, ("claimed", "at least", "others", "here")),
)
_COST = (words_column("purpose"), figures_column("device hours"), figures_column("share"))
_ORIGINS = (
    *map(words_column, ("proposer", "model", "program")),
    *map(figures_column, ("tried", "kept", "device hours", "USD", "gain alone", "share of mixed")),
    *map(figures_column, ("gain per device hour", "gain per USD")),
)


def peers_part(line: LineReport, figures: FigureWriter) -> Iterator[Block]:
    """Yield blocks on peers' claims, verdicts on this node's results, and removed patches."""
    peers = line.peers
    if peers.tried:
        yield heading(3, f"What peers claimed ({len(peers.tried)})")
        yield paragraph(_LEVELS)
        yield paragraph(_adopted(line))
        yield table(_CLAIMS, [_tried(one, figures) for one in peers.tried])
    if peers.own:
        yield heading(3, "What peers measured")
        if not peers.tried:
            yield paragraph(_LEVELS)
        yield table(_OWN, [_own(one, figures) for one in peers.own])
    if company := company_words(asdict(line.company)):
        yield heading(3, "Other nodes")
        yield bullets((*company, *_gain_with_peers(line, figures)))
    if peers.removed:
        yield heading(3, "Patches of the head, measured by removal")
        yield bullets(_removed(one, figures) for one in peers.removed)


def _gain_with_peers(line: LineReport, figures: FigureWriter) -> Iterator[Text]:
    """Yield the part of the verified gain in the span that came with peers' patches, if any."""
    rows = [row for row in line.origins if row.origin.proposer in (PEER, CATCHING_UP)]
    nano = sum(row.alone_nano + row.shared_nano for row in rows)
    if nano:
        yield text("of the verified gain, ", figures.gain(nano), " came with their patches")


def cost_part(line: LineReport, figures: FigureWriter) -> Iterator[Block]:
    """Yield the blocks on device time, model cost, and verified gains by origin."""
    total_ms = sum(ms for _, ms in line.device_ms)
    if not total_ms:
        return
    yield heading(3, "Cost")
    rows = [(what, hours(ms), f"{ms / total_ms:.0%}") for what, ms in line.device_ms]
    whole = ("all", hours(total_ms), "100%")
    yield table(_COST, (*rows, whole))
    yield paragraph(f"Models: {line.spend.tokens:,} tokens, {usd(line.spend.usd_nano)}.")
    if line.origins:
        yield heading(3, "Verified gain by proposer, model and instructions")
        yield paragraph(_SHARING)
        yield table(_ORIGINS, (_origin(row, figures) for row in line.origins))


def _tried(one: TriedClaim, figures: FigureWriter) -> tuple[Span | Text, ...]:
    claimed: Text
    here: Text
    if one.how == "idea":
        claimed = (deviations(one.claimed_sd),)
        here = () if one.gain_sd is None else (deviations(one.gain_sd),)
    else:
        claimed = figures.gain(one.claimed_nano)
        here = figures.interval(one.measured) if one.measured else ()
    outcome = word(one.here) + (" and adopted" if one.how == "head" and one.here in GAINS else "")
    return (
        title_of(one.title),
        joined(", ", map(short, one.authors)),
        _HOW[one.how],
        claimed,
        _others(one.others),
        text(outcome, " ", here) if here else outcome,
    )


def _adopted(line: LineReport) -> str:
    trees = sum(one.how == "head" and one.here in GAINS for one in line.peers.tried)
    parts = [
        part
        for one in line.confirmations
        if one.verdict in GAINS
        for part in one.parts
        if part.authors
    ]
    return (
        f"Confirmed and adopted on this node: {many(trees, 'source')} as a whole, and"
        f" {many(len(parts), 'patch', 'patches')} in promotion trials."
    )


def _own(one: OwnClaim, figures: FigureWriter) -> tuple[Span | Text, ...]:
    here = word(one.here.verdict)
    gain = one.here.gain
    return (
        text(title_of(one.title), " [", short(one.result), "]"),
        figures.gain(one.claimed.value_nano),
        figures.gain(one.claimed.lower_nano()),
        f"{_others(one.others)}, {one.new} of them new",
        text(f"{here} ", figures.gain(gain.value_nano)) if gain else here,
    )


def _removed(one: RemovedPatch, figures: FigureWriter) -> Text:
    shown = text(": ", figures.interval(one.measured)) if one.measured else ()
    when = f"{figures.time(one.ts_ms)} "
    return text(when, title_of(one.title), f" {word(one.verdict)}", shown)


def _others(others: Others | None) -> str:
    return "–" if others is None else f"+{others.confirmed} ~{others.smaller} -{others.refuted}"


def _origin(row: OriginGains, figures: FigureWriter) -> tuple[Span | Text, ...]:
    origin = row.origin
    return (
        origin.proposer,
        quoted(origin.model) if origin.model else "–",
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
