"""What a report says of a line's research, in plain words: result, checkpoints, ideas, lessons.

A passed checkpoint is never told as if it spoke for the parts of its stack.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import tzinfo

from node.report.blocks import (
    Block,
    Bullets,
    Document,
    Paragraph,
    Plot,
    Quoted,
    Section,
    Words,
    joined,
)
from node.report.concluded import Confirmation, Idea, Part
from node.report.figures import (
    Figures,
    deviations,
    hours,
    many,
    origin_of,
    short,
    time_of,
    title_of,
    usd,
)
from node.report.lines import LineReport, Report
from node.report.peers import interval_of
from node.report.points import NINETY_FIVE
from node.report.tables import cost_sections, peers_sections
from node.store.imported import Imported
from node.store.model_calls import Spending
from protocol.evidence import GAINS
from protocol.rule import DEFAULT

_OUTCOMES = {
    "confirmed": "passed",
    "smaller": "passed (smaller than claimed)",
    "unrunnable": "could not run",
}
_FATES = {
    "passed": "its stack passed",
    "missed": "its stack missed its checkpoint",
    "open": "waits on the working line for a checkpoint",
    None: "left behind when the head moved",
}
_WHAT = {
    "checkpoint": "checkpoint",
    "catchup": "a peer's tree",
    "remeasure": "the head, measured again,",
}
_STACKS = (
    "A checkpoint judges the working line against the verified head in fresh pairs of runs. "
    "One that passed vouches for its stack as a whole, never for the parts: some of them may do "
    "nothing or a little harm."
)
_CAPTION = (
    "An experiment has the interval in which 95 % of the runs of such a source fall ({reach:.6f} "
    "{unit} on either side), a trial against the head the 95 % interval of its gain. What lies "
    "beyond an edge is drawn at it."
)


def document_of(report: Report, zone: tzinfo | None) -> Document:
    """Return the report in words; times are told in `zone`, None being this machine's."""
    since, until = (time_of(ms, zone) for ms in (report.span.since_ms, report.span.until_ms))
    sections = [section for line in report.lines for section in _line(line, zone)]
    if not sections:
        nothing = "Nothing was measured here yet: `arnode start` makes the first run."
        sections = [Section(title="Nothing yet", level=2, blocks=(Paragraph(words=(nothing,)),))]
    if report.asked.calls:
        sections.append(_asked(report.asked))
    if report.imported:
        sections.append(_imported(report.imported))
    return Document(title=f"What happened from {since} to {until}", sections=tuple(sections))


def _asked(asked: Spending) -> Section:
    said = (
        f"Models were asked {many(asked.calls, 'question')}, for all tasks together: "
        f"{asked.tokens:,} tokens and {usd(asked.usd_nano)}, answers that led to no experiment"
        " included. A question whose end was never heard counts as the most that it could take."
    )
    return Section(title="Models", level=2, blocks=(Paragraph(words=(said,)),))


def _imported(files: Sequence[Imported]) -> Section:
    said = "What other tools wrote is unsigned and unverified: it stands on no board."
    items: list[Words] = []
    for one in files:
        metrics = [(Quoted(segment.metric),) for segment in one.log.segments]
        lines = len(one.log.text_lines)
        kept = f"; {many(lines, 'line')} kept as text" if lines else ""
        read = many(len(one.log.read), "experiment")
        items.append((Quoted(one.name), f": {read} of ", *joined(metrics), kept))
    return Section(
        title="Imported", level=2, blocks=(Paragraph(words=(said,)), Bullets(items=tuple(items)))
    )


def _line(line: LineReport, zone: tzinfo | None) -> list[Section]:
    figures = Figures(unit=line.metric.unit, zone=zone)
    top = Section(
        title=f"{line.task} on {line.hardware_class}",
        level=2,
        blocks=(_result(line, figures), _machine(line, figures)),
    )
    sections = [
        top,
        _progress(line),
        _checkpoints(line, figures),
        _ideas("Kept", (one for one in line.ideas if one.is_kept), _kept),
        _ideas("No gain", _discarded(line.ideas), _no_gain),
        _ideas("Failed", _with_decision(line.ideas, "failed"), _failed),
        _ideas("Rejected by the evaluator", _with_decision(line.ideas, "rejected"), _failed),
        *peers_sections(line, figures),
        *cost_sections(line, figures),
        _lessons(line),
    ]
    return [section for section in sections if section is not None]


# The result


def _result(line: LineReport, figures: Figures) -> Paragraph:
    if line.before is None or line.after is None:
        return Paragraph(words=("The task's baseline is not measured yet.",))
    counts = Counter(idea.entry.decision for idea in line.ideas)
    order = "less is better" if line.metric.sign > 0 else "more is better"
    before, after = figures.metric(line.before.metric), figures.metric(line.after.metric)
    moved = line.before.tree != line.after.tree
    said = ["The task's baseline was measured first."] if line.is_new else []
    said.append(
        f"The verified head went from {before} to {after} ({line.metric.name}, {order})."
        if moved
        else f"The verified head stays at {after} ({line.metric.name}, {order})."
    )
    said.append(
        f"{many(len(line.ideas), 'experiment')}: {counts['kept']} kept, {counts['discarded']}"
        f" without a gain, {counts['failed']} failed, {counts['rejected']} rejected."
    )
    said += _trials(line, figures)
    device = f"It took {hours(sum(ms for _, ms in line.device_ms))} device hours"
    paid = f"{line.spend.tokens:,} tokens and {usd(line.spend.usd_nano)}"
    said.append(f"{device}, {paid} of models." if line.spend.tokens else f"{device} and no model.")
    if line.open_keeps:
        said.append(
            f"{many(line.open_keeps, 'kept patch', 'kept patches')} on the working line"
            " still to be judged."
        )
    return Paragraph(words=(" ".join(said),))


def _trials(line: LineReport, figures: Figures) -> list[str]:
    said: list[str] = []
    for kind, one, several in (
        ("checkpoint", "checkpoint", "checkpoints"),
        ("catchup", "peer's tree", "peers' trees"),
    ):
        trials = [trial for trial in line.confirmations if trial.kind == kind]
        passed = sum(trial.verdict in GAINS for trial in trials)
        if trials:
            said.append(f"{passed} of {many(len(trials), one, several)} passed.")
        elif kind == "checkpoint":
            said.append("No checkpoint ended.")
    taken_back = sum(trial.verdict in GAINS and not trial.stands for trial in line.confirmations)
    if taken_back:
        said.append(f"{many(taken_back, 'of them was', 'of them were')} taken back since.")
    if line.gain_nano:
        gain = figures.gain(line.gain_nano)
        said.append(f"Verified gain, measured in pairs: {gain}.")
    return said


def _machine(line: LineReport, figures: Figures) -> Paragraph:
    env = joined([(Quoted(f"{name} {value}"),) for name, value in line.env.items])
    noise = f"One run scatters by {line.noise_sd:.6f} {figures.unit} (standard deviation)."
    where = ("Machine: ", Quoted(line.hardware_class), *(("; ", *env) if env else ()), ". ")
    return Paragraph(words=(*where, noise))


def _progress(line: LineReport) -> Section | None:
    if not line.points:
        return None
    unit = line.metric.unit
    caption = _CAPTION.format(reach=NINETY_FIVE * line.noise_sd, unit=unit)
    plot = Plot(points=line.points, unit=unit, caption=caption)
    return Section(title="Progress", level=3, blocks=(plot,))


def _lessons(line: LineReport) -> Section | None:
    if not line.lessons:
        return None
    told = Bullets(items=tuple((Quoted(lesson),) for lesson in line.lessons))
    return Section(title="What it taught", level=3, blocks=(told,))


# Trials against the head


def _checkpoints(line: LineReport, figures: Figures) -> Section | None:
    if not line.confirmations:
        return None
    items = tuple(_confirmation(one, figures) for one in line.confirmations)
    blocks: tuple[Block, ...] = (Paragraph(words=(_STACKS,)), Bullets(items=items))
    return Section(title=f"Checkpoints ({len(items)})", level=3, blocks=blocks)


def _confirmation(one: Confirmation, figures: Figures) -> Words:
    outcome = _OUTCOMES.get(one.verdict, f"missed ({one.verdict})")
    words: list[str | Quoted] = [f"{figures.time(one.entry.ts_ms)} {_WHAT[one.kind]} {outcome}"]
    if one.verdict in GAINS and not one.stands:
        words.append(", taken back since")
    interval = interval_of(one.measured)
    if interval and one.measured:
        words.append(f": {figures.interval(interval)} in {many(one.measured.pairs, 'pair')}")
    elif one.verdict == "unrunnable":
        words += [": ", Quoted(one.note)]
    elif one.gain_nano is not None:
        words.append(f": {figures.gain(one.gain_nano)}")
    if one.author:
        words += [", by ", short(one.author)]
    if one.parts:
        words += [f"; {many(len(one.parts), 'part')}: ", *joined([*map(_part, one.parts)])]
    return (*words, " [", short(one.entry.id), "]")


def _part(part: Part) -> Words:
    by = [(short(author),) for author in part.authors]
    claimed = (" by ", *joined(by)) if by else ()
    return (title_of(part.title), " (", *origin_of(part.origin), *claimed, ")")


# Ideas


def _ideas(title: str, ideas: Iterable[Idea], tell: Callable[[Idea], Words]) -> Section | None:
    told = tuple(
        (title_of(idea.entry.title), ": ", *tell(idea), " [", short(idea.entry.id), "]")
        for idea in ideas
    )
    if not told:
        return None
    return Section(title=f"{title} ({len(told)})", level=3, blocks=(Bullets(items=told),))


def _with_decision(ideas: Iterable[Idea], decision: str) -> list[Idea]:
    return [idea for idea in ideas if idea.entry.decision == decision]


def _discarded(ideas: Iterable[Idea]) -> list[Idea]:
    """Near misses first: they are worth another look."""
    stage = {"rebased": 0, "rechecked_out": 1}

    def order(idea: Idea) -> tuple[int, float]:
        gain = -99.0 if idea.gain_sd is None else idea.gain_sd
        return stage.get(idea.decision, 2), -gain

    return sorted(_with_decision(ideas, "discarded"), key=order)


def _kept(idea: Idea) -> Words:
    gain = f", {deviations(idea.gain_sd)} in its second run" if idea.gain_sd is not None else ""
    return (*_who(idea), f"{gain}; {_FATES[idea.fate]}")


def _no_gain(idea: Idea) -> Words:
    gain = deviations(idea.gain_sd)
    match idea.decision:
        case "screened_out":
            why = f"{gain} in one run, {DEFAULT.screen_sd:g} are needed"
        case "rechecked_out":
            why = f"{gain} in its second run, {DEFAULT.recheck_sd:g} are needed"
        case "rebased":
            why = f"{gain}, but the working line had moved on: tried again there"
        case _:
            why = "no gain"
    return (*_who(idea), f", {why}")


def _failed(idea: Idea) -> Words:
    return (*_who(idea), ", ", Quoted(idea.reason or "no reason is known"))


def _who(idea: Idea) -> Words:
    by = [(short(author),) for author in idea.authors]
    return (*origin_of(idea.origin), *((" by ", *joined(by)) if by else ()))
