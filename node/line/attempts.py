"""The outcome of a submitted source, read from the store and printed in autoresearch's format.

An attempt is identified by its canonical AST, so that no user measures one program twice in the
hope of a lucky seed. It is complete once the source is decided and the promotion trial, if one
became due, has ended.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from agent.source.canonical import fingerprint
from node.line.branch import is_stack_full
from node.line.experiment import ExperimentStep
from node.line.idea import SubmissionStep
from node.line.promotion_trial import PromotionTrial
from node.store.jobs import Job, Line, LineKey
from node.store.store import Store
from node.terminal.vocabulary import screened_words, wording
from protocol.codecs import plain
from protocol.manifest import TaskManifest
from protocol.record_kinds import ResultBody
from protocol.rule import Policy, screening_policy
from protocol.runs import Run, patch_score_nano
from protocol.source import Source
from protocol.styles import RUNS, Style
from protocol.units import NANO

Identifier = Literal["keep", "discard", "crash"]
PromotionTrialOutcome = Literal["passed", "missed", "overfit"]

_LABEL_WIDTH = 18  # as in autoresearch's output
_LOG_LINES = 50  # as many as autoresearch's program.md prints after a crash
_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The result of the promotion trial of a kept patch, and the note in its record."""

    word: PromotionTrialOutcome
    note: str
    record: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A decided source with its recorded runs and the metric to report (None on failure).

    `against` describes the base that the source was compared with; it is empty for the baseline and
    after a failure. `is_working` is True if the source is the working line now. `working` is the
    working line's tree. `has_moved` is True if the working line had changed by the time of the
    decision.
    """

    tree: bytes
    word: Identifier
    because: str = ""
    against: str = ""
    status: str
    metric_nano: int | None
    runs: tuple[Run, ...] = ()
    record: bytes | None = None
    patch: bytes | None = None
    log_tail: str = ""
    judged: Judged | None = None
    is_working: bool = False
    has_moved: bool = False
    working: bytes
    reference_nano: tuple[int, ...]

    @property
    def exit_code(self) -> int:
        """0 if it was measured and decided, 7 if the evaluator rejected it, 1 on other failures."""
        return {"ok": 0, "rejected": 7}.get(self.status, 1)


def attempt_of(
    store: Store,
    key: LineKey,
    mark: bytes,
    source_of: Callable[[bytes], Source],
    policy: Policy,
) -> Attempt | None:
    """Return the outcome of the source with this canonical AST; None while it is open.

    The source of a kept patch stays open while its promotion trial is due or in progress.
    """
    line = store.jobs.line(key)
    if line is None:
        return None
    is_working = mark == fingerprint(source_of(line.working))
    if is_working and not line.reference_nano:
        return None
    if not is_working and is_queued(store, key, mark):
        return None
    attempt = _recorded(store, line, mark, policy)
    if attempt is None:
        return _unrecorded(line) if is_working else None
    is_on_trial = is_stack_full(store, line, policy) or bool(
        store.jobs.open_jobs(key, PromotionTrial)
    )
    if is_on_trial and attempt.patch in line.stack:
        return None
    return replace(attempt, is_working=is_working)


def result_here(store: Store, key: LineKey, mark: bytes) -> tuple[bytes, ResultBody] | None:
    """Return the result record of the source with this canonical AST on this line, and its id."""
    record_id = store.jobs.result_of(key.task, mark)
    body = store.records.get(record_id).body if record_id else None
    if record_id and isinstance(body, ResultBody) and body.hardware_class == key.hardware_class:
        return record_id, body
    return None


def is_queued(store: Store, key: LineKey, mark: bytes) -> bool:
    """Return True if the source with this canonical AST is queued or being measured."""
    measured = (job.step.idea.fingerprint for job in store.jobs.open_jobs(key, ExperimentStep))
    waiting = (job.step.fingerprint for job in store.jobs.open_jobs(key, SubmissionStep))
    return mark in (*measured, *waiting)


def repeated_attempt(attempt: Attempt) -> Attempt:
    """Return the attempt with the reason why its source is not run again."""
    if attempt.is_working:
        reference_nano = attempt.reference_nano
        return replace(
            attempt,
            word="keep",
            because="it is the working line, which new sources are compared with",
            status="ok",
            metric_nano=round(fmean(reference_nano)),
        )
    before = f"tried before ({attempt.record.hex()[:12]}), not repeated" if attempt.record else ""
    if attempt.judged and attempt.judged.word != "passed":
        is_overfit = attempt.judged.word == "overfit"
        fate = "discarded as overfit" if is_overfit else wording(attempt.judged.word).word
        because = f"{before}: it was kept, but its stack was later {fate}"
        return replace(attempt, word="discard", because=because)
    moved = "; the working line has changed since" if attempt.word == "keep" else ""
    return replace(attempt, because=f"{before}: {attempt.because}{moved}", has_moved=False)


def trailer(attempt: Attempt, metric_name: str) -> str:
    """Return the outcome in the format that autoresearch's program.md greps.

    After a failure, the text begins with the end of the log. The candidate writes the log, so each
    line of it gets a prefix: it cannot imitate arnode's output.
    """
    rows: list[tuple[str, str]] = []
    lines: list[str] = []
    if attempt.metric_nano is None:
        said = plain(attempt.log_tail, lines=True).splitlines()[-_LOG_LINES:]
        lines += [f"| {line}" for line in said]
    else:
        rows.append((metric_name, f"{attempt.metric_nano / NANO:.6f}"))
        rows += _figures(attempt.runs)
    rows.append(("decision", attempt.word))
    rows.append(("because", plain(attempt.because)))
    if attempt.against:
        rows.append(("against", attempt.against))
    if attempt.judged:
        rows.append(("promotion_trial", _promotion_trial_words(attempt, attempt.judged)))
    elif attempt.has_moved:
        rows.append(("line", "changed during the run; to get it: arnode head --working > train.py"))
    if attempt.record:
        rows.append(("record", attempt.record.hex()[:12]))
    lines += ["---", *(f"{name + ':':<{_LABEL_WIDTH}}{value}" for name, value in rows)]
    return "\n".join(lines) + "\n"


def _figures(runs: tuple[Run, ...]) -> list[tuple[str, str]]:
    """Return the costs of the last run, named as in autoresearch."""
    if not runs:
        return []
    run = ([run for run in runs if run.role == "candidate"] or runs)[-1]  # baselines have none
    millions = run.tokens / 1e6
    return [
        ("training_seconds", f"{run.ms / 1000:.1f}"),
        ("total_seconds", f"{(run.ms + run.serve_ms) / 1000:.1f}"),
        ("peak_vram_mb", f"{run.peak_mem_bytes / _MIB:.1f}"),
        ("total_tokens_M", f"{millions:.1f}" if millions >= 1 else f"{millions:.4f}"),
    ]


def _promotion_trial_words(attempt: Attempt, judged: Judged) -> str:
    outcome, note = wording(judged.word).word, plain(judged.note)
    said = note if outcome in note else f"{outcome}: {note}"
    if judged.word == "passed":
        return said
    return (
        f"{said}; the working line is again {attempt.working.hex()[:12]}; to get it: "
        "arnode head --working > train.py"
    )


def _recorded(store: Store, line: Line, mark: bytes, policy: Policy) -> Attempt | None:
    found = result_here(store, line.key, mark)
    if found is None:
        return None
    record_id, body = found
    job = _job_of(store, line, mark)
    if manifest := store.records.manifest(body.task):
        policy = screening_policy(Style.of(manifest), policy)
    against = _against(line, body, manifest) if manifest and body.status == "ok" else ""
    word: Identifier = "keep" if body.stage in ("baseline", "keep") else "discard"
    if body.status != "ok":
        word = "crash"
    because = _because(body, job, policy, manifest)
    judged = None if body.patch is None else _judged(store, line, body.patch)
    if judged is not None and judged.word == "overfit":
        word, because = "discard", judged.note
    return Attempt(
        tree=body.tree,
        word=word,
        because=because,
        against=against,
        status=body.status,
        metric_nano=_speaking(body),
        runs=body.runs,
        record=record_id,
        patch=body.patch,
        log_tail=_log_tail(store, job),
        judged=judged,
        has_moved=body.stage != "baseline" and line.working not in (body.base, body.tree),
        working=line.working,
        reference_nano=line.reference_nano,
    )


def _unrecorded(line: Line) -> Attempt:
    """Return the working line as an attempt, for a damaged store that lost its record."""
    return Attempt(
        tree=line.working,
        word="keep",
        status="ok",
        metric_nano=round(fmean(line.reference_nano)),
        is_working=True,
        working=line.working,
        reference_nano=line.reference_nano,
    )


def _speaking(body: ResultBody) -> int | None:
    """Return the metric to report; None on failure."""
    if body.status != "ok":
        return None
    if body.stage != "baseline":
        return patch_score_nano(body.runs)
    return round(fmean(run.metric_nano for run in body.runs if run.metric_nano is not None))


def _against(line: Line, body: ResultBody, manifest: TaskManifest) -> str:
    """Describe the base that a source was compared with, as the line knows it now."""
    if body.stage == "baseline":
        return ""
    names = {
        line.working: "the working line",
        line.verified: "the verified head",
        manifest.baseline_tree: "the baseline",
    }
    name = names.get(body.base, "an earlier working line")
    level = "" if body.level_nano is None else f", {body.level_nano / NANO:.6f}"
    has_left = line.working not in (body.base, body.tree)
    now = f"; the working line is now {line.working.hex()[:12]}" if has_left else ""
    return f"{name} ({body.base.hex()[:12]}{level}){now}"


def _because(
    body: ResultBody,
    job: Job[ExperimentStep] | None,
    policy: Policy,
    manifest: TaskManifest | None,
) -> str:
    if body.stage == "baseline":
        return "it is the task's baseline"
    if body.status != "ok":
        failed = next(run for run in body.runs if run.status == body.status)
        what = wording("rejected").meaning if body.status == "rejected" else body.status
        return f"{what}: {failed.reason}"
    step = job.step if job else None
    if step is None or step.gain_milli is None:
        return body.note
    if step.decision == "rebased":
        return wording("rebased").meaning
    style = Style.of(manifest) if manifest else RUNS
    sign = manifest.metric.sign if manifest else 1
    difference = sign * (step.known_level_nano - (_speaking(body) or 0)) / NANO
    gain = screened_words(step.gain_milli / 1000, difference, style, digits=2)
    gain = f"{gain} against the working line"
    if style.is_exact:
        return gain if step.decision == "kept" else f"{gain}; a gain is needed"
    if step.decision == "screened_out":
        return f"{gain}; at least {policy.screen_sd:g} is needed"
    tries = sum(run.role == "candidate" for run in body.runs)
    needed_sd = policy.rechecks_sd[: tries - 1]
    if not needed_sd:
        return gain
    fresh = "a second run with a fresh seed"
    if len(needed_sd) > 1:
        fresh = f"{len(needed_sd)} runs with fresh seeds on average"
    return f"{gain} in {fresh}; at least {needed_sd[-1]:g} is needed"


def _job_of(store: Store, line: Line, mark: bytes) -> Job[ExperimentStep] | None:
    closed = reversed(store.jobs.closed_jobs(line.key, ExperimentStep))
    return next((job for job in closed if job.step.idea.fingerprint == mark), None)


def _log_tail(store: Store, job: Job[ExperimentStep] | None) -> str:
    runs = store.jobs.runs_of(job.id) if job else []
    own = [run.outcome for run in runs if run.outcome and run.role == "candidate"]
    return own[-1].log_tail if own else ""


def _judged(store: Store, line: Line, patch: bytes) -> Judged | None:
    """Return the outcome of the promotion trial of the stack with this patch."""
    for job in reversed(store.jobs.closed_jobs(line.key, PromotionTrial)):
        step = job.step
        if patch not in step.stack or (step.measured and step.measured.says_nothing):
            continue
        for entry in store.experiments.listed(line.key):  # the first: re-runs by others follow
            is_its = (entry.stage, entry.tree, entry.parent) == ("confirm", step.tree, step.base)
            body = store.records.get(entry.id).body if is_its else None
            if isinstance(body, ResultBody):
                is_overfit = bool(step.measured and step.measured.is_overfit)
                missed: PromotionTrialOutcome = "overfit" if is_overfit else "missed"
                word: PromotionTrialOutcome = "passed" if step.passed else missed
                return Judged(word=word, note=body.note, record=entry.id)
    return None
