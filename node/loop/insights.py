"""Insights: the results of a series of experiments, published after every promotion trial.

A series holds the experiments from one promotion trial to the next. Ideas are named by their
hyperparameter, their listed move, or their proposer. Titles are not used, since models, peers or
users write them, and an insight contains facts only. Peers' insights are passed on unchanged.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from agent.proposal import Insight
from node.line.attempts import result_here
from node.line.experiment import COMBINING, PEER, ExperimentStep
from node.line.idea import SUBMITTED, Idea
from node.line.job_step import ended_runs
from node.line.line_writer import LineWriter
from node.line.promotion_trial import PromotionTrial
from node.store.experiments import ABLATION, BRANCHING
from node.store.jobs import Job, LineKey
from node.store.store import Store
from node.terminal.vocabulary import interval_words, many
from protocol.records import Record
from protocol.remarks import MAX_EVIDENCE, MAX_INSIGHT, InsightBody
from protocol.units import NANO, from_nano

SEARCH: Final = "search"  # the proposer whose ideas are named by hyperparameters and moves
_NAMED = (8, 6, 4, 3, 2, 1)  # items of a list that are named, as many as there is room for
_OFTEN = 2  # fewest tries of an idea that is reported as never kept
_IDENTIFIER = re.compile(rb"\b[A-Z][A-Z0-9_]{0,39}\b")
_HYPERPARAMETER = re.compile(r"hyperparameter:([A-Z][A-Z0-9_]*)((?:\[\d{1,3}\])?):(up|down|set)")
_NAME = r"[a-z0-9][a-z0-9_.-]{0,39}"
_MOVE = re.compile(rf"move:{_NAME}|moves:{_NAME}(?:\+{_NAME}){{1,3}}")
_BY = {
    PEER: "a peer's patch",
    SUBMITTED: "a submitted edit",
    ABLATION: "a removed part",
    COMBINING: "two patches together",
    BRANCHING: "another tree than the head",
}
_OWN_SHOWN = 6
_OTHERS_SHOWN = 6
_OF_ONE_AUTHOR = 2
_LOOKED_AT = 500  # newest records of all authors
_ID_DIGITS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One experiment of a series: the name of its `idea`, and its `failure` if it failed."""

    idea: str
    kind: str
    is_kept: bool
    failure: str | None
    result: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A promotion trial, and the experiments before it.

    `parts` are the ideas in the trial's stack, in order.
    """

    promotion_trial: PromotionTrial
    parts: tuple[str, ...]
    tried: tuple[Tried, ...]
    unit: str


def publish_insight(line_writer: LineWriter) -> None:
    """Publish an insight about the latest promotion trial, unless it is already published.

    If the node was killed after the trial was written, the next call publishes its insight.
    """
    jobs = line_writer.store.jobs.closed_jobs(line_writer.key, PromotionTrial)
    if not jobs:
        return
    step = jobs[-1].step
    if step.measured is None or _is_published(line_writer, step.measured.record):
        return
    series = _series(
        line_writer, step, after=jobs[-2].id if len(jobs) > 1 else 0, before=jobs[-1].id
    )
    line_writer.record_writer.insight(lesson(series), evidence_of(series))


def lesson(series: Series) -> str:
    """Describe the results of a series in a few sentences; long lists are cut to fit."""
    texts = (" ".join(_sentences(series, named)) for named in _NAMED)
    return next(text for text in texts if len(text) <= MAX_INSIGHT)


def evidence_of(series: Series) -> tuple[bytes, ...]:
    """Return the results behind an insight: the trial's, its patches', and the failures."""
    measured = series.promotion_trial.measured
    named = [measured.record] if measured else []
    named += [one.result for one in series.tried if one.is_kept and one.result]
    named += [one.result for one in series.tried if one.failure and one.result]
    return tuple(dict.fromkeys(named))[:MAX_EVIDENCE]


def insights_of(
    store: Store, line: LineKey, author: bytes, *, blocked: Collection[bytes] = ()
) -> tuple[Insight, ...]:
    """Return insights about a line, the newest first: this node's (`author`) and others'.

    Of each other author only the latest few are returned, of a `blocked` author none. Texts stay
    unchanged.
    """
    own = store.records.listed("insight", author, newest_first=True, limit=_LOOKED_AT)
    anybodys = store.records.listed("insight", newest_first=True, limit=_LOOKED_AT)
    others = (one for one in anybodys if one.author not in (author, *blocked))
    chosen = [
        *islice(_unretracted(store, line, own), _OWN_SHOWN),
        *islice(_few_of_each(_unretracted(store, line, others)), _OTHERS_SHOWN),
    ]
    chosen.sort(key=lambda one: (one[0].ts_ms, one[0].id), reverse=True)
    return tuple(
        Insight(
            author=record.author.hex()[:_ID_DIGITS],
            is_own=record.author == author,
            text=body.message,
        )
        for record, body in chosen
    )


def _unretracted(
    store: Store, line: LineKey, records: Iterable[Record]
) -> Iterator[tuple[Record, InsightBody]]:
    """Yield records about a line, unless they or their promotion trials were retracted."""
    for record in records:
        body = record.body
        if not isinstance(body, InsightBody) or body.task != line.task:
            continue
        is_of_class = body.hardware_class in (None, line.hardware_class)
        named = (record.id, *body.evidence[:1])
        if is_of_class and not any(store.records.retraction(one) for one in named):
            yield record, body


def _few_of_each(
    entries: Iterable[tuple[Record, InsightBody]],
) -> Iterator[tuple[Record, InsightBody]]:
    """Yield the first few of each author, so that a busy author leaves room for the others."""
    counts: Counter[bytes] = Counter()
    for record, body in entries:
        counts[record.author] += 1
        if counts[record.author] <= _OF_ONE_AUTHOR:
            yield record, body


# A series


def _series(line_writer: LineWriter, step: PromotionTrial, *, after: int, before: int) -> Series:
    store, manifest = line_writer.store, line_writer.record_writer.manifest
    baseline = line_writer.source(manifest.baseline_tree)
    known = {name for _, data in baseline.files for name in _IDENTIFIER.findall(data)}
    jobs = store.jobs.closed_jobs(line_writer.key, ExperimentStep, after=after)
    trials = [(job, job.step) for job in jobs if job.id < before]
    ideas = {(trial.base, trial.tree): idea_of(trial, known) for _, trial in trials}
    parts = [part for patch in step.stack if (part := store.records.patch(patch))]
    return Series(
        promotion_trial=step,
        parts=tuple(ideas.get((part.base, part.tree), _by(part.origin.proposer)) for part in parts),
        tried=tuple(
            _tried(line_writer, job, trial, ideas[trial.base, trial.tree])
            for job, trial in trials
            if trial.decision != "rebased"  # it was tried again, as another experiment
        ),
        unit=manifest.metric.unit,
    )


def _tried(
    line_writer: LineWriter, job: Job[ExperimentStep], step: ExperimentStep, idea: str
) -> Tried:
    found = result_here(line_writer.store, line_writer.key, step.idea.fingerprint)
    failure = None
    if step.decision in ("failed", "rejected"):
        ended = ended_runs(line_writer.store.jobs.runs_of(job.id))
        own = [run for run in ended if run.role == "candidate"]
        failure = own[-1].status if own else step.decision
    return Tried(
        idea=idea,
        kind=_kind(step.idea),
        is_kept=step.decision == "kept",
        failure=failure,
        result=found[0] if found else None,
    )


def idea_of(step: ExperimentStep, known: Iterable[bytes]) -> str:
    """Return a short name for an idea. The name contains no free text, which could be a message.

    A hyperparameter is named only if it is in `known`, the names in the task's own source.
    """
    if step.idea.proposer == SEARCH:
        if (hyperparameter := _HYPERPARAMETER.fullmatch(step.idea.key)) and hyperparameter[
            1
        ].encode() in known:
            return f"{hyperparameter[1]}{hyperparameter[2]} {hyperparameter[3]}"
        if _MOVE.fullmatch(step.idea.key):
            return step.idea.key.replace(":", " ", 1).replace("+", " and ")
    return _by(step.idea.proposer)


def _by(proposer: str) -> str:
    return _BY.get(proposer, f"one by {proposer}")


def _kind(idea: Idea) -> str:
    if idea.proposer == SEARCH and idea.key.startswith(("move:", "moves:")):
        return "moves"
    return {PEER: "peers' patches", SUBMITTED: "handed in"}.get(idea.proposer, idea.proposer)


def _is_published(line_writer: LineWriter, record: bytes) -> bool:
    own = (
        one.body
        for one in line_writer.store.records.listed("insight", line_writer.record_writer.author)
    )
    return any(isinstance(body, InsightBody) and body.evidence[:1] == (record,) for body in own)


# The wording


def _sentences(series: Series, named: int) -> list[str]:
    tried, kept = series.tried, Counter(one.idea for one in series.tried if one.is_kept)
    entries = [_verdict(series, named)]
    if tried:
        kinds = Counter(one.kind for one in tried)
        of_kind = Counter(one.kind for one in tried if one.is_kept)
        shares = [f"{kind} {of_kind[kind]} of {count}" for kind, count in _ranked(kinds)]
        entries.append(f"Of {many(len(tried), 'experiment')} kept: {_list(shares, named)}.")
    failures = Counter(f"{one.idea} ({one.failure})" for one in tried if one.failure)
    if failures:
        words = [_times(failure, count) for failure, count in _ranked(failures)]
        entries.append(f"Failed: {_list(words, named)}.")
    tries = Counter(one.idea for one in tried if not one.failure)
    vain = {idea: n for idea, n in tries.items() if n >= _OFTEN and not kept[idea]}
    if vain:
        words = [f"{idea} ({count} tries)" for idea, count in _ranked(vain)]
        entries.append(f"Never gained: {_list(words, named)}.")
    return entries


def _verdict(series: Series, named: int) -> str:
    step, measured = series.promotion_trial, series.promotion_trial.measured
    names = [_times(idea, count) for idea, count in Counter(series.parts).items()]
    what = f"a stack of {many(len(step.stack), 'patch', 'patches')} ({_list(names, named)})"
    if measured is None or measured.gain_nano is None:
        return f"Promotion trial failed: {what} does not run here."
    interval = interval_words(from_nano(measured.lower_nano), from_nano(measured.upper_nano))
    figures = (
        f"{measured.gain_nano / NANO:+.6f} {series.unit}, {interval} in "
        f"{many(measured.pairs, 'pair')}"
    )
    if step.passed:
        return f"Promotion trial passed: {what} gains {figures}."
    if measured.is_overfit:
        return (
            f"Promotion trial failed: {what} was discarded as overfit. It gains on the visible "
            "data, "
            f"and measured {figures} on the holdout."
        )
    return f"Promotion trial failed: {what} measured {figures}, which shows no gain."


def _ranked(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _list(words: Sequence[str], named: int) -> str:
    more = len(words) - named
    return ", ".join(words[:named]) + (f" and {more} more" if more > 0 else "")


def _times(word: str, count: int) -> str:
    return word if count == 1 else f"{word} ×{count}"
