"""What a report says of a line's research, in plain words: result, checkpoints, ideas, lessons.

A confirmed checkpoint is never told as if it spoke for the parts of its stack.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import tzinfo
from typing import Final

from node.line.catch_up import CatchUpStep
from node.line.checkpoint import CheckpointStep
from node.line.early_stop import Stopped
from node.line.pair_trial import HeadTrial
from node.line.remeasure import RemeasureStep
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
from node.reporting.markdown import bullets, code_span, words
from node.reporting.peers_part import interval_of
from node.reporting.report import LineReport, Report
from node.reporting.tables import cost_part, peers_part
from node.store.experiments import Decision
from node.store.imported import Imported
from node.store.model_calls import Spending
from node.terminal.figures import told_sd
from node.terminal.vocabulary import counted, head_words, many, why_unranked, word, wording
from protocol.evidence import GAINS
from protocol.rule import DEFAULT

SHOWN: Final = 20  # of a list
_DECISIONS: Final[tuple[Decision, ...]] = ("kept", "discarded", "failed", "rejected")
_PLOT_WIDTH = 78
_PLOT_HEIGHT = 12
_FATES = {
    "passed": f"its stack was {word('passed')}",
    "missed": f"its stack was {word('missed')}",
    "open": "waits on the working line for a checkpoint",
    None: "left behind when the head moved",
}
_WHAT: Final[dict[type[HeadTrial], str]] = {
    CheckpointStep: "checkpoint",
    CatchUpStep: "a peer's tree",
    RemeasureStep: "the head, measured again,",
}
_STACKS = (
    "A checkpoint judges the working line against the verified head in fresh pairs of runs. "
    "A confirmed one vouches for its stack as a whole, never for the parts: some of them may do "
    "nothing or a little harm."
)


def as_markdown(report: Report, zone: tzinfo | None, *, shown: int | None = SHOWN) -> str:
    """Return the report as text that ends with a newline.

    Times are told in `zone`, None being this machine's; of a list `shown` items, None being all.
    """
    since, until = (time_of(ms, zone) for ms in (report.span.since_ms, report.span.until_ms))
    parts = [f"# What happened from {since} to {until}"]
    for line in report.lines:
        unit = words(line.metric.unit)
        parts += _line(line, FigureWriter(unit=unit, zone=zone, shown=shown))
    if not report.lines:
        nothing = "Nothing was measured here yet: `arnode start` makes the first run."
        parts += ["## Nothing yet", nothing]
    parts += _asked(report.asked)
    parts += _imported(report.imported, shown)
    return "\n\n".join(parts) + "\n"


def _asked(asked: Spending) -> Iterator[str]:
    if asked.calls:
        yield "## Models"
        yield (
            f"Models were asked {many(asked.calls, 'question')}, for all tasks together: "
            f"{asked.tokens:,} tokens and {usd(asked.usd_nano)}, answers that led to no experiment"
            " included. A question whose end was never heard counts as the most that it could take."
        )


def _imported(files: Sequence[Imported], shown: int | None) -> Iterator[str]:
    if not files:
        return
    yield "## Imported"
    yield "What other tools wrote is unsigned and unverified: it stands on no board."
    items: list[str] = []
    for one in files:
        metrics = ", ".join(code_span(segment.metric) for segment in one.log.segments)
        lines = len(one.log.text_lines)
        kept = f"; {many(lines, 'line')} kept as text" if lines else ""
        read = many(len(one.log.read), "experiment")
        items.append(f"{code_span(one.name)}: {read} of {metrics}{kept}")
    yield bullets(items, shown)


def _line(line: LineReport, figures: FigureWriter) -> Iterator[str]:
    yield f"## {line.task} on {line.hardware_class}"
    yield _result(line, figures)
    yield _machine(line, figures)
    yield from _progress(line)
    yield from _checkpoints(line, figures)
    for decision in _DECISIONS:
        yield from _ideas(decision, line.ideas, figures)
    yield from peers_part(line, figures)
    yield from cost_part(line, figures)
    if line.lessons:
        yield "### What it taught"
        yield bullets([code_span(lesson) for lesson in line.lessons], figures.shown)


# The result


def _result(line: LineReport, figures: FigureWriter) -> str:
    if line.before is None or line.after is None:
        return "The task's baseline is not measured yet."
    counts = Counter[str](idea.entry.decision for idea in line.ideas)
    order = "less is better" if line.metric.sign > 0 else "more is better"
    before, after = figures.metric(line.before.metric), figures.metric(line.after.metric)
    moved = line.before.tree != line.after.tree
    why = why_unranked(line.scoring)
    said = [] if why is None else [f"This task is {why}."]
    said += ["The task's baseline was measured first."] if line.is_new else []
    head = head_words(line.scoring)
    said.append(
        f"The {head} went from {before} to {after} ({line.metric.name}, {order})."
        if moved
        else f"The {head} stays at {after} ({line.metric.name}, {order})."
    )
    if line.after.in_doubt:
        said.append(f"It is {word('in_doubt')} ({code_span(line.after.in_doubt)}).")
    said.append(f"{many(len(line.ideas), 'experiment')}: {counted(counts, _DECISIONS)}.")
    said += _trials(line, figures)
    device = f"It took {hours(sum(ms for _, ms in line.device_ms))} device hours"
    if line.counted_share is not None:
        device += f", with a run in training {line.counted_share:.0%} of the time"
    paid = f"{line.spend.tokens:,} tokens and {usd(line.spend.usd_nano)}"
    said.append(f"{device}, {paid} of models." if line.spend.tokens else f"{device} and no model.")
    said += _stopped(line.stopped)
    if line.open_keeps:
        said.append(
            f"{many(line.open_keeps, 'kept patch', 'kept patches')} on the working line"
            " still to be judged."
        )
    return " ".join(said)


def _stopped(found: Stopped) -> list[str]:
    """Say what stopping early saved, and what it cost as far as that is known."""
    if not found.stopped and not found.let_go_on:
        return []
    screens, saved = many(found.screens, "screen"), hours(found.saved_ms)
    said = [f"{found.stopped} of {screens} were stopped early, which saved {saved} device hours."]
    if found.let_go_on:
        said.append(
            f"{found.let_go_on} more looked as hopeless and went on all the same: "
            f"{found.kept or 'none'} of these {'was' if found.kept < 2 else 'were'} kept."
        )
    return said


def _trials(line: LineReport, figures: FigureWriter) -> list[str]:
    said: list[str] = []
    for kind, one, several in (
        (CheckpointStep, "checkpoint", "checkpoints"),
        (CatchUpStep, "peer's tree", "peers' trees"),
    ):
        trials = [trial for trial in line.confirmations if trial.kind is kind]
        if trials:
            gains = sum(trial.verdict in GAINS for trial in trials)
            said.append(f"{gains} of {many(len(trials), one, several)} {word('confirmed')}.")
        elif kind is CheckpointStep:
            said.append("No checkpoint ended.")
    taken_back = sum(trial.verdict in GAINS and not trial.stands for trial in line.confirmations)
    if taken_back:
        said.append(f"{many(taken_back, 'of them was', 'of them were')} taken back since.")
    if line.gain_nano:
        gain = figures.gain(line.gain_nano)
        said.append(f"Verified gain, measured in pairs: {gain}.")
    return said


def _machine(line: LineReport, figures: FigureWriter) -> str:
    env = ", ".join(code_span(f"{name} {value}") for name, value in line.env.items)
    where = "; ".join(filter(None, (code_span(line.hardware_class), env)))
    noise = f"One run has {told_sd(line.noise_sd)} {figures.unit}, its standard deviation."
    return f"Machine: {where}. {noise}"


def _progress(line: LineReport) -> Iterator[str]:
    """Draw the plot in characters, several experiments to a column where there are many."""
    from node.reporting.staircase import legend, staircase

    if line.points:
        yield "### Progress"
        history = [point.column for point in line.points]
        drawn = staircase(history, width=_PLOT_WIDTH, height=_PLOT_HEIGHT).plain
        rows = [row.rstrip() for row in (*drawn.split("\n"), legend().plain)]
        yield "\n".join(["```text", *rows, "```"])


# Trials against the head


def _checkpoints(line: LineReport, figures: FigureWriter) -> Iterator[str]:
    if line.confirmations:
        yield f"### Checkpoints ({len(line.confirmations)})"
        yield _STACKS
        yield bullets([_confirmation(one, figures) for one in line.confirmations], figures.shown)


def _confirmation(one: ConcludedTrial, figures: FigureWriter) -> str:
    said = [f"{figures.time(one.entry.ts_ms)} {_WHAT[one.kind]} {word(one.verdict)}"]
    if one.verdict in GAINS and not one.stands:
        said.append(", taken back since")
    interval = interval_of(one.measured)
    if interval and one.measured:
        said.append(f": {figures.interval(interval)} in {many(one.measured.pairs, 'pair')}")
    elif one.verdict == "unrunnable":
        said.append(f": {code_span(one.note)}")
    elif one.gain_nano is not None:
        said.append(f": {figures.gain(one.gain_nano)}")
    if one.author:
        said.append(f", by {short(one.author)}")
    if one.parts:
        said.append(f"; {many(len(one.parts), 'part')}: {', '.join(map(_part, one.parts))}")
    return f"{''.join(said)} [{short(one.entry.id)}]"


def _part(part: StackedPatch) -> str:
    return f"{title_of(part.title)} ({origin_of(part.origin)}{by(part.authors)})"


# Ideas


def _ideas(
    decision: Decision, among: Iterable[ConcludedIdea], figures: FigureWriter
) -> Iterator[str]:
    ideas = [idea for idea in among if idea.entry.decision == decision]
    if ideas:
        if decision == "discarded":
            ideas.sort(key=_nearest_first)
        yield f"### {word(decision).capitalize()} ({len(ideas)})"
        told = [
            f"{title_of(idea.entry.title)}: {origin_of(idea.origin)}{by(idea.authors)}"
            f"{_TOLD[decision](idea)} [{short(idea.entry.id)}]"
            for idea in ideas
        ]
        yield bullets(told, figures.shown)


def _nearest_first(idea: ConcludedIdea) -> tuple[int, float]:
    """What almost gained is worth another look."""
    stage = {"rebased": 0, "rechecked_out": 1}
    return stage.get(idea.decision, 2), 99.0 if idea.gain_sd is None else -idea.gain_sd


def _kept(idea: ConcludedIdea) -> str:
    gain = f", {deviations(idea.gain_sd)} in its recheck" if idea.gain_sd is not None else ""
    return f"{gain}; {_FATES[idea.fate]}"


def _discarded(idea: ConcludedIdea) -> str:
    told = wording(idea.decision)
    gain = deviations(idea.gain_sd)
    match idea.decision:
        case "screened_out":
            why = f": {gain} in one run, {DEFAULT.screen_sd:g} are needed"
        case "rechecked_out":
            why = f": {gain} in its recheck, which is not enough"
        case "rebased":
            why = f": {gain}, {told.meaning}"
        case _:
            why = ""
    return f", {told.word}{why}"


def _failed(idea: ConcludedIdea) -> str:
    return f", {code_span(idea.reason or 'no reason is known')}"


_TOLD: Final[dict[Decision, Callable[[ConcludedIdea], str]]] = {
    "kept": _kept,
    "discarded": _discarded,
    "failed": _failed,
    "rejected": _failed,
}
