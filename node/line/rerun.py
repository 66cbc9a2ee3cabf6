"""Re-runs of claims: a claimed tree against its own base, with unpredictable seeds.

The rule judges the claim on this machine's secret split, with the policy `VERIFY` or `QUICK`. The
node signs every verdict. The verified head does not change: adopting a tree needs another trial
with new evidence.

Claims on fixed instances publish their answers. A peer's judge checks the answers without running
the program that made them.
"""

from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields, replace
from typing import Annotated, Any, ClassVar

from agent.source.canonical import fingerprint
from node.line.job_step import JobStep, RunDescription
from node.line.line_context import LineContext
from node.line.line_writer import LineWriter
from node.line.pair_trial import HeadTrial, PairTrial
from node.line.repeating import AGAIN, claim_answered, look_again, published_figure, separate_repeat
from node.line.trial import ANCHOR_PAIRS, Confirmation, MetricReading, Pair, next_of_confirmation
from node.store.blobs import BLOB_LIMIT_BYTES
from node.store.experiments import ABLATION
from node.store.jobs import Job, LineKey, PlannedRun
from node.store.store import Store
from node.terminal.vocabulary import many, word
from protocol.codecs import binary, integer, single_line
from protocol.evidence import Evidence, SupportedVerdict, least_nano
from protocol.fields import OPTIONAL, Digest, Named
from protocol.gains import FigureScale, pairs_of
from protocol.keys import SigningKey
from protocol.manifest import TaskManifest
from protocol.record_kinds import Origin
from protocol.rerun import MAX_PAIRS, prove_seeds, rerun_seed
from protocol.rule import MIN_PAIRS, QUICK, VERIFY, Claim, Policy, policy_of
from protocol.runs import Role, Run
from protocol.source import Source
from protocol.styles import Style
from protocol.units import NANO, from_nano, to_nano
from trainer.measuring.lane import LaneRunner
from trainer.measuring.outcome import RunOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedClaim:
    """A claim to re-run, the limits of the trial, and whether to publish the verdict.

    Gains are positive if better. `target` is the result that makes the claim; `author` signed it.
    """

    base: Source
    candidate: Source
    author: bytes
    target: bytes | None = None
    gain_nano: int | None = None
    lower_nano: int | None = None
    alpha: float = VERIFY.alpha
    max_pairs: int = VERIFY.max_pairs
    is_quick: bool = False
    is_published: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RerunStep(PairTrial):
    """A re-run of a claim: a tree against the base that it was claimed against.

    `gain_nano` is the gain that the result `target` claims, and `lower_nano` its lower bound. Both
    are positive if better, and None without a claim. `part` is set in an ablation: it is this
    node's patch that the ablation removes.

    All seeds except `again_seed` are derived from `proof`, a signature of this node. The claim's
    author published `again_seed` with the figure `published_nano`. Both are set only if the figure
    does not depend on the machine.

    Closing the job sets the remaining fields: the verdict and its reason, `word` (the verdict on
    the claim), the gain measured here with its interval, the evidence (ln E in thousandths) and the
    id of the record.
    """

    target: Digest | None
    author: Digest
    gain_nano: Annotated[int | None, Named("gain")]
    lower_nano: Annotated[int | None, Named("lower")]
    alpha_micro: Annotated[int, integer(1, 500_000), Named("alpha")]
    max_pairs: Annotated[int, integer(2, 64)]
    is_quick: Annotated[bool, Named("quick")]
    is_published: Annotated[bool, Named("published")]
    proof: Annotated[bytes, binary(64, 64)]
    part: Annotated[Digest | None, OPTIONAL] = None
    again_seed: Annotated[int | None, OPTIONAL] = None
    published_nano: Annotated[int | None, Named("figure"), OPTIONAL] = None
    verdict: Annotated[str, single_line(0, 32)] = ""
    reason: Annotated[str, single_line(0, 300)] = ""
    word: Annotated[str, single_line(0, 32)] = ""
    measured_nano: Annotated[int | None, Named("measured")] = None
    from_nano: Annotated[int | None, Named("from")] = None
    to_nano: Annotated[int | None, Named("to")] = None
    log_e_milli: Annotated[int | None, Named("log_e")] = None
    record: Digest | None = None

    KIND: ClassVar = "rerun"
    LETS_EXPLORE: ClassVar = True

    @property
    def question(self) -> "RerunStep":
        """A copy of the step without the outcome."""
        unanswered = {one.name: one.default for one in fields(self) if one.default is not MISSING}
        asked = {name: getattr(self, name) for name in ("part", "again_seed", "published_nano")}
        return replace(self, **{**unanswered, **asked})

    @property
    def policy(self) -> Policy:
        """The rule's numbers for this claim."""
        mode = QUICK if self.is_quick else VERIFY
        return replace(mode, alpha=self.alpha_micro / 1e6, max_pairs=self.max_pairs)

    @property
    def claim(self) -> Claim | None:
        """The claimed gain, in the metric's unit; None if nothing is claimed."""
        if self.gain_nano is None:
            return None
        return Claim(gain=self.gain_nano / NANO, lower=from_nano(self.lower_nano))

    @property
    def _what(self) -> str:
        return "a part of the head" if self.part else f"claim of {self.author.hex()[:12]}"

    def describe(self, store: Store, run: PlannedRun) -> RunDescription:
        if run.role == AGAIN:
            text = "a seed that its author published"
            return self.about(self._what, run, "re-run", text=text)
        if self.part is None:
            return self.about(self._what, run, "re-run")
        part = store.records.patch(self.part)
        title = f"without: {part.title if part else 'a part'}"
        return self.about(title, run, "ablation", text="the gain of a part of the head")

    def is_of_peers(self, own: bytes) -> bool:
        return self.author != own

    def weigh(
        self, runs: list[PlannedRun], reading: MetricReading, manifest: TaskManifest
    ) -> Confirmation:
        """Return the state of the trial and its next step.

        If the re-run is published, pairs are run until the record alone shows the verdict. A gain
        is then also measured against the task's baseline, by which leaderboards rank.
        """
        is_for_others = self.is_published and self.part is None
        paired, again = separate_repeat(runs)
        confirmation = next_of_confirmation(
            paired,
            replace(reading, policy=self.policy),
            needs_anchor=is_for_others and self.base != manifest.baseline_tree,
            anchor_pairs=ANCHOR_PAIRS if is_for_others else MIN_PAIRS,
            claim=self.claim,
            for_readers=(lambda pairs: _shown(pairs, self, manifest)) if is_for_others else None,
        )
        return look_again(confirmation, again, self.published_nano, manifest)

    def plan_pair(self, line_writer: LineWriter, job: Job[Any]) -> None:
        """Plan the next pair, with a seed derived from `proof`."""
        runs = line_writer.store.jobs.runs_of(job.id)
        if self.again_seed is not None and not runs:
            line_writer.store.jobs.plan_run(
                job.id, role=AGAIN, tree=self.tree, seed=self.again_seed
            )
        planned = dict.fromkeys(run.seed for run in separate_repeat(runs)[0])
        seed = rerun_seed(self.proof, len(planned))
        line_writer.plan_pair(job, self.base, self.tree, seed)

    def conclude(
        self, line_context: LineContext, job: Job[Any], runs: list[Run], confirmation: Confirmation
    ) -> None:
        """Sign the verdict; in an ablation, remove a patch that gains nothing."""
        with line_context.store.transaction():
            closed = close_rerun(line_context.line_writer, job, runs, confirmation)
            _take_out(line_context.line_writer, self, runs, confirmation)
        summary = closed.summary(len(confirmation.pairs))
        line_context.activity.judged(f"{self._what} {summary}", record=closed.record)

    def open_again(self, line_writer: LineWriter) -> Job[Any]:
        """Open the job again on another split. The seeds stay: they depend on claim and key."""
        return line_writer.open_job(self)

    def summary(self, pairs: int) -> str:
        """Return the verdict after this many pairs, in words."""
        gain = "" if self.measured_nano is None else f", gain {self.measured_nano / NANO:.4f}"
        why = f": {self.reason}" if self.reason else ""
        return f"{word(self.verdict)} after {many(pairs, 'pair')}{gain}{why}"


def step_of(wanted: WantedClaim, *, key: SigningKey, store: Store, line: LineKey) -> RerunStep:
    """Return the step of a re-run; `key` is this node's author key, which the seeds depend on."""
    base, tree = wanted.base.tree, wanted.candidate.tree
    proof = prove_seeds(key, target=wanted.target, base=base, tree=tree)
    is_own = wanted.author == key.public
    claim = None if is_own else claim_answered(store, wanted.target, base, tree)
    again_seed, published_nano = published_figure(store, line, claim, proof) or (None, None)
    return RerunStep(
        base=base,
        tree=tree,
        target=wanted.target,
        author=wanted.author,
        gain_nano=wanted.gain_nano,
        lower_nano=wanted.lower_nano,
        alpha_micro=round(wanted.alpha * 1e6),
        max_pairs=wanted.max_pairs,
        is_quick=wanted.is_quick,
        # An author is no witness of their own claim.
        is_published=wanted.is_published and not is_own,
        proof=proof,
        again_seed=again_seed,
        published_nano=published_nano,
    )


def asked_before(store: Store, line: LineKey, step: RerunStep) -> Job[RerunStep] | None:
    """Return the job with the same question, queued or done.

    The seeds are derived from the claim and this node's key, so a second job would measure the
    same.
    """
    queued = store.jobs.open_jobs(line, RerunStep)
    jobs = [*queued, *store.jobs.closed_jobs(line, RerunStep)]
    return next((job for job in jobs if job.step.question == step), None)


def open_rerun(line_writer: LineWriter, wanted: WantedClaim) -> Job[RerunStep]:
    """Queue a claim and return its job, or the existing job with the same question."""
    step = step_of(
        wanted, key=line_writer.record_writer.key, store=line_writer.store, line=line_writer.key
    )
    if job := asked_before(line_writer.store, line_writer.key, step):
        return job
    line_writer.blobs.put_source(wanted.base)
    line_writer.blobs.put_source(wanted.candidate)
    return line_writer.open_job(step)


def close_rerun(
    line_writer: LineWriter,
    job: Job[RerunStep],
    runs: Sequence[Run],
    confirmation: Confirmation,
) -> RerunStep:
    """Store the verdict and sign it, unless the user declined. Callers hold the transaction."""
    step, judged = job.step, confirmation.judgement
    record = None
    paired, again = separate_repeat(runs)
    policy = policy_of(Style.of(line_writer.record_writer.manifest), step.policy)
    if step.is_published:
        record = line_writer.record_writer.rerun(
            base=step.base,
            tree=step.tree,
            target=step.target,
            proof=step.proof,
            runs=paired,
            again=again,
            verdict=confirmation.verdict,
            alpha_millionths=step.alpha_micro,
            max_pairs=min(policy.max_pairs, MAX_PAIRS),
        ).id
    closed = replace(
        step,
        verdict=confirmation.verdict,
        reason=confirmation.reason,
        word=judged.claim or "" if judged else "",
        measured_nano=to_nano(judged.gain) if judged else None,
        from_nano=to_nano(judged.lower) if judged else None,
        to_nano=to_nano(judged.upper) if judged else None,
        log_e_milli=round(judged.log_e * 1000) if judged else None,
        record=record,
    )
    line_writer.close_job(job, closed)
    return closed


def _shown(
    pairs: Sequence[Pair], step: RerunStep, manifest: TaskManifest
) -> SupportedVerdict | None:
    """Return the verdict on the claim that leaderboards compute from these pairs."""
    runs = [run for pair in pairs for run in (pair.base, pair.candidate)]
    shown = Evidence.of(
        pairs_of(runs, "base", FigureScale.of(manifest), secret=True),
        manifest.noise_floor_nano,
        Style.of(manifest),
    )
    gain_nano, lower_nano = step.gain_nano or 0, step.lower_nano or 0
    return shown.supported_verdict(least_nano(gain_nano, lower_nano))


def _take_out(
    line_writer: LineWriter, step: RerunStep, runs: Sequence[Run], confirmation: Confirmation
) -> None:
    """Remove a patch from the working line if the line measured no worse without it.

    Callers hold the transaction.
    """
    line, part = line_writer.known_line, step.part and line_writer.store.records.patch(step.part)
    latest = confirmation.latest
    if not part or latest is None or latest.gain > 0 or line.working != step.tree:
        return
    # The trial's base is the candidate of this record: same runs, opposite roles.
    turned: dict[str, Role] = {"base": "candidate", "candidate": "base", "anchor": "anchor"}
    patch = line_writer.record_writer.patch(
        step.tree,
        step.base,
        title=f"without: {part.title}",
        why=f"The working line is no worse without it: {latest.gain:.6f} in {len(runs)} runs.",
        parents=(step.part,) if step.part else (),
        origin=Origin(proposer=ABLATION),
    )
    record = line_writer.record_writer.result(
        patch.id,
        step.tree,
        step.base,
        stage="keep",
        runs=[replace(run, role=turned[run.role]) for run in runs],
        note="kept: the line is no worse without the patch",
        has_verdict=True,
    )
    mark = fingerprint(line_writer.source(step.base))
    line_writer.store.jobs.mark_tried(line_writer.key.task, mark, record.id)
    line_writer.go_on_from(step.base, patch.id, [pair.base for pair in confirmation.pairs[-2:]])


async def falls_short(
    step: JobStep, run: PlannedRun, line_writer: LineWriter, runner: LaneRunner
) -> RunOutcome | None:
    """Return the score of a claim's published answer if it is worse than claimed.

    The claim is then refuted without running its program. Return None if the claim has no published
    answer, or if the answer is as good as claimed.
    """
    if not isinstance(step, RerunStep) or run.role not in ("candidate", AGAIN):
        return None
    shown = _run_that_shows(step, line_writer)
    if shown is None or shown.answer is None or shown.metric_nano is None:
        return None
    if not line_writer.blobs.has(shown.answer):
        return None
    outcome = await runner.judged(line_writer.blobs.get(shown.answer), run.seed)
    sign = line_writer.record_writer.manifest.metric.sign
    is_reached = outcome.metric_nano is not None and (
        sign * outcome.metric_nano <= sign * shown.metric_nano
    )
    return None if is_reached else outcome


def with_answer(record: Run, step: JobStep, evidence: bytes | None, line_writer: LineWriter) -> Run:
    """Return a run with its answer, if it has one and the answer is small enough for peers.

    Only candidates in trials against the head publish answers, as only these become claims.
    """
    is_claimed = isinstance(step, HeadTrial) and record.role == "candidate"
    if evidence is None or not is_claimed or len(evidence) > BLOB_LIMIT_BYTES:
        return record
    return replace(record, answer=line_writer.blobs.put(evidence))


def _run_that_shows(step: RerunStep, line_writer: LineWriter) -> Run | None:
    """Return the first run of a claim that publishes an answer; None unless instances are fixed."""
    if not line_writer.style.is_exact:
        return None
    claim = claim_answered(line_writer.store, step.target, step.base, step.tree)
    if claim is None:
        return None
    own = (run for run in claim.runs if run.role == "candidate" and run.metric_nano is not None)
    return next((run for run in own if run.answer), None)
