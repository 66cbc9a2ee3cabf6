"""A line's research as blocks: result, promotion trials, ideas and insights.

A confirmed promotion trial is never presented as evidence for a single one of its patches.
`markdown.py`, `html.py` and `terminal.py` render the blocks.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import tzinfo
from typing import Final, TypedDict

from node.line.catch_up import CatchUpStep
from node.line.early_stop import Stopped
from node.line.head_recheck import HeadRecheckStep
from node.line.pair_trial import HeadTrial
from node.line.promotion_trial import PromotionTrial
from node.reporting.blocks import (
    Block,
    Plot,
    Span,
    Text,
    bullets,
    heading,
    joined,
    name_of,
    paragraph,
    quoted,
    text,
)
from node.reporting.concluded import ConcludedIdea, ConcludedTrial, StackedPatch
from node.reporting.figures import (
    FigureWriter,
    by,
    deviations,
    hours,
    origin_of,
    short,
    time_of,
    title_of,
    usd,
)
from node.reporting.markdown import markdown_of
from node.reporting.peers_part import interval_of
from node.reporting.points import NINETY_FIVE, points_document
from node.reporting.report import LineReport, Report
from node.reporting.tables import cost_part, peers_part
from node.reporting.tasks import metric_document
from node.store.experiments import Decision
from node.store.imported import Imported
from node.store.model_calls import ModelCostTotals
from node.store.notes import Note
from node.terminal.vocabulary import counted, head_words, many, sd_text, why_unranked, word, wording
from protocol.evidence import GAINS
from protocol.rule import DEFAULT

SHOWN: Final = 20  # items of a list
_DECISIONS: Final[tuple[Decision, ...]] = ("kept", "discarded", "failed", "rejected")
_FATES = {
    "passed": f"{word('passed')} in its promotion trial",
    "missed": f"{word('missed')} in its promotion trial",
    "overfit": wording("overfit").meaning,
    "open": "on the working line, waiting for a promotion trial",
    None: "left the working line without a promotion trial",
}
_WHAT: Final[dict[type[HeadTrial], str]] = {
    PromotionTrial: "promotion trial",
    CatchUpStep: "a peer's source",
    HeadRecheckStep: "repeated trial of the head",
}
_STACKS = (
    "A promotion trial compares the working line with the verified head in pairs of new runs. "
    "If it is confirmed, all patches together give a gain. A single patch among them may have no "
    "effect or do a little harm."
)


class NightDocument(TypedDict):
    """A report from `since` to `until` (ms since 1970); lists show `shown` items at first."""

    title: str
    since: int
    until: int
    shown: int
    blocks: list[Block]


def as_markdown(report: Report, zone: tzinfo | None, *, shown: int | None = SHOWN) -> str:
    """Return the report as text that ends with a newline.

    Times are in `zone`, or in local time if None. Lists have `shown` items, or all if None.
    """
    return markdown_of(whole_night(report, zone), shown=shown)


def night_document(report: Report, zone: tzinfo | None) -> NightDocument:
    """Return a report for the page. Times are in `zone`, or in local time if None."""
    return {
        "title": _title(report, zone),
        "since": report.span.since_ms,
        "until": report.span.until_ms,
        "shown": SHOWN,
        "blocks": _night(report, zone),
    }


def whole_night(report: Report, zone: tzinfo | None) -> list[Block]:
    """Return a report with its title. Times are in `zone`, or in local time if None."""
    return [heading(1, _title(report, zone)), *_night(report, zone)]


def _title(report: Report, zone: tzinfo | None) -> str:
    since, until = (time_of(ms, zone) for ms in (report.span.since_ms, report.span.until_ms))
    return f"What happened from {since} to {until}"


def _night(report: Report, zone: tzinfo | None) -> list[Block]:
    """Return the blocks of a report after its title."""
    blocks: list[Block] = []
    for line in report.lines:
        blocks += _line(line, FigureWriter(unit=name_of(line.metric.unit), zone=zone))
    if not report.lines:
        command = quoted("arnode start")
        nothing = paragraph(
            "Nothing was measured here yet. The node that ", command, " runs makes the first run."
        )
        blocks += [heading(2, "No results yet"), nothing]
    return [*blocks, *_model_costs(report.model_costs), *_imported(report.imported)]


def _model_costs(costs: ModelCostTotals) -> Iterator[Block]:
    if costs.calls:
        yield heading(2, "Models")
        yield paragraph(
            f"Models answered {many(costs.calls, 'question')} for all tasks together: "
            f"{costs.tokens:,} tokens and {usd(costs.usd_nano)}, including answers that led to no"
            " experiment. A question of unknown cost counts with its highest possible cost."
        )


def _imported(files: Sequence[Imported]) -> Iterator[Block]:
    if not files:
        return
    yield heading(2, "Imported")
    yield paragraph("Logs of other tools are unsigned, unverified and not ranked.")
    items: list[Text] = []
    for one in files:
        metrics = joined(", ", (quoted(segment.metric) for segment in one.log.segments))
        lines = len(one.log.text_lines)
        kept = f"; {many(lines, 'line')} kept as text" if lines else ""
        read = many(len(one.log.read), "experiment")
        items.append(text(quoted(one.name), f": {read} of ", metrics, kept))
    yield bullets(items)


def _line(line: LineReport, figures: FigureWriter) -> Iterator[Block]:
    yield heading(2, f"{line.task} on {line.hardware_class}")
    yield paragraph(_result(line, figures))
    yield paragraph(_machine(line, figures))
    if line.points:
        yield heading(3, "Progress")
        yield _plot(line, figures)
    yield from _promotion_trials(line, figures)
    for decision in _DECISIONS:
        yield from _ideas(decision, line.ideas)
    yield from peers_part(line, figures)
    yield from cost_part(line, figures)
    if line.lessons:
        yield heading(3, "Lessons")
        yield bullets(map(quoted, line.lessons))


# The result


def _result(line: LineReport, figures: FigureWriter) -> Text:
    if line.before is None or line.after is None:
        return ("The task's baseline has not been measured yet.",)
    counts = Counter[str](idea.entry.decision for idea in line.ideas)
    sentences = [*_head_moved(line, figures)]
    sentences.append((f"{many(len(line.ideas), 'experiment')}: {counted(counts, _DECISIONS)}.",))
    sentences += _trials(line, figures)
    device = f"The runs took {hours(sum(ms for _, ms in line.device_ms))} device hours"
    if line.counted_share is not None:
        device += f", with candidates running {line.counted_share:.0%} of the time"
    paid = f"{line.spend.tokens:,} tokens and {usd(line.spend.usd_nano)}"
    models = (
        f"{device}; models used {paid}." if line.spend.tokens else f"{device}; no model was used."
    )
    sentences += [(models,), *((one,) for one in _stopped(line.stopped))]
    if line.open_keeps:
        keeps = many(line.open_keeps, "kept patch", "kept patches")
        sentences.append((f"{keeps} on the working line, not verified yet.",))
    return joined(" ", sentences)


def _head_moved(line: LineReport, figures: FigureWriter) -> Iterator[Text]:
    """Yield sentences on the head: its metric before and after, and why it must be rechecked."""
    assert line.before is not None  # noqa: S101 -- the caller checked
    assert line.after is not None  # noqa: S101 -- the caller checked
    if (why := why_unranked(line.scoring)) is not None:
        yield (f"This task is {why}.",)
    if line.is_new:
        yield ("The task's baseline was measured first.",)
    order = "less is better" if line.metric.sign > 0 else "more is better"
    head, what = head_words(line.scoring), f" ({line.metric.name}, {order})."
    before, after = figures.metric(line.before.metric), figures.metric(line.after.metric)
    if line.before.tree != line.after.tree:
        yield text(f"The {head} went from ", before, " to ", after, what)
    else:
        yield text(f"The {head} stays at ", after, what)
    if line.after.recheck_pending:
        yield text(f"It is {word('recheck_pending')} (", quoted(line.after.recheck_pending), ").")


def _stopped(found: Stopped) -> list[str]:
    """Return sentences on early stopping: the time it saved, and how often it was checked.

    A check continues a screen that would be stopped, and shows whether its patch is kept.
    """
    if not found.stopped and not found.let_go_on:
        return []
    screens, saved = many(found.screens, "screen"), hours(found.saved_ms)
    sentences = [
        f"{found.stopped} of {screens} were stopped early, which saved {saved} device hours."
    ]
    if found.let_go_on:
        sentences.append(
            f"As a check, {found.let_go_on} more screens with an equally bad forecast were"
            f" continued, and {found.kept or 'none'} of them {'was' if found.kept < 2 else 'were'}"
            " kept."
        )
    return sentences


def _trials(line: LineReport, figures: FigureWriter) -> Iterator[Text]:
    for kind, one, several in (
        (PromotionTrial, "promotion trial", "promotion trials"),
        (CatchUpStep, "peer's source", "peers' sources"),
    ):
        trials = [trial for trial in line.confirmations if trial.kind is kind]
        if trials:
            gains = sum(trial.verdict in GAINS for trial in trials)
            yield (f"{gains} of {many(len(trials), one, several)} {word('confirmed')}.",)
        elif kind is PromotionTrial:
            yield ("No promotion trial ended.",)
    retracted = sum(trial.verdict in GAINS and not trial.stands for trial in line.confirmations)
    if retracted:
        yield (f"{many(retracted, 'of them was', 'of them were')} retracted later.",)
    if line.gain_nano:
        yield text("Verified gain, measured in pairs: ", figures.gain(line.gain_nano), ".")


def _machine(line: LineReport, figures: FigureWriter) -> Text:
    env = joined(", ", (quoted(f"{name} {value}") for name, value in line.env.items))
    where = joined("; ", filter(None, (quoted(line.hardware_class), env)))
    if not line.noise_sd:
        return text("Machine: ", where, ". Repeated runs gave the same score.")
    noise = f"Noise: {sd_text(line.noise_sd)} "
    return text("Machine: ", where, f". {noise}", figures.unit, " (standard deviation of one run).")


def _plot(line: LineReport, figures: FigureWriter) -> Plot:
    reach = f"{NINETY_FIVE * line.noise_sd:.6f} "
    bars = (
        "The bar of an experiment covers the scores of 95 % of its source's runs (",
        reach,
        figures.unit,
        " on either side). ",
    )
    caption = text(
        *(bars if line.noise_sd else ()),
        "The bar of a trial against the head is the 95 % interval of its gain."
        " Points outside the plot are drawn at its edge.",
    )
    return Plot(
        metric=metric_document(line.metric),
        head_words=head_words(line.scoring),
        caption=caption,
        points=points_document(line.points),
    )


# Trials against the head


def _promotion_trials(line: LineReport, figures: FigureWriter) -> Iterator[Block]:
    if line.confirmations:
        yield heading(3, f"Trials against the head ({len(line.confirmations)})")
        yield paragraph(_STACKS)
        yield bullets(_confirmation(one, figures) for one in line.confirmations)


def _confirmation(one: ConcludedTrial, figures: FigureWriter) -> Text:
    outcome = word(one.verdict)
    if one.entry.decision == "overfit":
        outcome = wording("overfit").meaning
    entry_text = text(f"{figures.time(one.entry.ts_ms)} {_WHAT[one.kind]} {outcome}")
    if one.verdict in GAINS and not one.stands:
        entry_text = text(entry_text, ", retracted later")
    interval = interval_of(one.measured)
    if interval and one.measured:
        pairs = f" in {many(one.measured.pairs, 'pair')}"
        entry_text = text(entry_text, ": ", figures.interval(interval), pairs)
    elif one.verdict == "unrunnable":
        entry_text = text(entry_text, ": ", quoted(one.note))
    elif one.gain_nano is not None:
        entry_text = text(entry_text, ": ", figures.gain(one.gain_nano))
    if one.author:
        entry_text = text(entry_text, ", by ", short(one.author))
    if one.parts:
        parts = joined(", ", map(_part, one.parts))
        entry_text = text(entry_text, f"; {many(len(one.parts), 'patch', 'patches')}: ", parts)
    return text(entry_text, " [", short(one.entry.id), "]")


def _part(part: StackedPatch) -> Text:
    return text(title_of(part.title), " (", origin_of(part.origin), by(part.authors), ")")


# Ideas


def _ideas(decision: Decision, among: Iterable[ConcludedIdea]) -> Iterator[Block]:
    ideas = [idea for idea in among if idea.entry.decision == decision]
    if ideas:
        if decision == "discarded":
            ideas.sort(key=_nearest_first)
        yield heading(3, f"{word(decision).capitalize()} ({len(ideas)})")
        yield bullets(_idea(idea, _WHY[decision](idea)) for idea in ideas)


def _idea(idea: ConcludedIdea, why: Text) -> Text:
    title, origin = title_of(idea.entry.title), origin_of(idea.origin)
    note = _owner_note(idea.owner_note) if idea.owner_note else ()
    return text(title, ": ", origin, by(idea.authors), why, note, " [", short(idea.entry.id), "]")


def _owner_note(note: Note) -> Text:
    words: list[Span] = ["leave this change alone"] if note.leave else []
    if note.text:
        words.append(quoted(" ".join(note.text.split())))
    return text("; your note: ", joined(": ", words))


def _nearest_first(idea: ConcludedIdea) -> tuple[int, float]:
    """Return a sort key: ideas that failed in a later stage first, then by gain, largest first."""
    stage = {"rebased": 0, "rechecked_out": 1}
    return stage.get(idea.decision, 2), 99.0 if idea.gain_sd is None else -idea.gain_sd


def _kept(idea: ConcludedIdea) -> Text:
    gain = f", {deviations(idea.gain_sd)} in its recheck" if idea.gain_sd is not None else ""
    return (f"{gain}; {_FATES[idea.fate]}",)


def _discarded(idea: ConcludedIdea) -> Text:
    outcome = wording(idea.decision)
    if idea.gain_sd is None:
        return (f", {outcome.word}",)
    gain = deviations(idea.gain_sd)
    match idea.decision:
        case "screened_out":
            why = f": {gain} in one run, {DEFAULT.screen_sd:g} sd are needed"
        case "rechecked_out":
            why = f": {gain} in its recheck, which is not enough"
        case "rebased":
            why = f": {gain}, {outcome.meaning}"
        case _:
            why = ""
    return (f", {outcome.word}{why}",)


def _failed(idea: ConcludedIdea) -> Text:
    return text(", ", quoted(idea.reason or "the reason is unknown"))


_WHY: Final[dict[Decision, Callable[[ConcludedIdea], Text]]] = {
    "kept": _kept,
    "discarded": _discarded,
    "failed": _failed,
    "rejected": _failed,
}
