"""The command `arnode verify`: re-run a claim against its own base, and wait for the verdict.

If a node runs, it gets the request over its socket. Otherwise this process acts as the node for
this claim. Either way the re-run is queued in the store, and the result is read from the store. So
a kill or an interrupt loses no more than the current run.
"""

import asyncio
import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from agent.source.capabilities import CapabilityFinding
from node.exchange.bundle_check import claim_in
from node.exchange.bundling import bundle_of
from node.home.config import Config
from node.home.control_socket import call, is_running, nonsense
from node.home.home import Home
from node.home.keyfile import read_keys
from node.home.sandboxing import require_peer_sandbox, require_sandbox
from node.home.settings_in_force import config_of
from node.line.job_step import ended_runs
from node.line.noise import known_noise
from node.line.open_task import find_task
from node.line.rerun import RerunStep, asked_before, step_of
from node.line.run_estimates import rerun_duration_text, run_seconds
from node.line.trial import MetricReading, judge_pairs
from node.on_demand.measuring import pair_words
from node.on_demand.session import act_as_node, follow
from node.running.node import Node
from node.running.program import at_work
from node.running.questions import RerunRequest
from node.source_review.adoption import marks_of
from node.store.blobs import Blobs
from node.store.jobs import Job, LineKey
from node.store.named_tasks import task_source
from node.store.store import Store
from node.terminal.progress import Progress, reporting
from protocol.errors import ArnodeError, ConfigurationError, NotRunningError
from protocol.manifest import TaskManifest
from protocol.runs import Run
from protocol.styles import Style
from trainer.cards.cards import probe_devices
from trainer.task_folder.task import NotPreparedError, Task

_STAYS = "it stays in the queue: the same `arnode verify` or `arnode start` continues it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The result of a re-run: all runs, the verdict in `step`, and findings in the claimed code.

    `signed_ms` is the time of its record, in ms since 1970; None without a record.
    """

    manifest: TaskManifest
    hardware_class: str
    step: RerunStep
    runs: tuple[Run, ...]
    marks: tuple[CapabilityFinding, ...] | None  # None if its files are no longer here
    signed_ms: int | None


def verify_claim(question: RerunRequest) -> Verified:
    """Re-run and judge a claim. Raises ArnodeError, KeyboardInterrupt."""
    home = Home.here()
    has_ended = False
    job_id: int | None = None
    if is_running(home.socket):
        job_id = asked = ask_node(home, question)
        with contextlib.suppress(KeyboardInterrupt):
            show = _shown("; your own research pauses")
            has_ended = follow(home, lambda store: show(store, asked))
    else:
        job_id = _work_alone(home, question)
    with Store.open_read_only(home) as store:
        job = None if job_id is None else store.jobs.get(job_id, RerunStep)
        if job is not None and job.state == "done":
            return _verified(home, store, job)
    if has_ended:
        raise NotRunningError("the node ended before it judged this claim", _STAYS)
    print(f"  not judged yet; {_STAYS}", file=sys.stderr)
    raise KeyboardInterrupt


def ask_node(home: Home, question: RerunRequest) -> int:
    """Queue a claim with the running node and return its job's number."""
    match call(home.socket, "verify", question.to_message()):
        case {"job": int() as job_id}:
            return job_id
    raise nonsense()


def _verified(home: Home, store: Store, job: Job[RerunStep]) -> Verified:
    step = job.step
    manifest = store.records.manifest(job.line.task)
    if manifest is None:
        raise ArnodeError(
            "the store lacks the record of the claim's task", "run `arnode home fsck`"
        )
    marks = marks_of(store, Blobs(home.blobs), job.line.task, step.tree)
    return Verified(
        manifest=manifest,
        hardware_class=job.line.hardware_class,
        step=step,
        runs=tuple(ended_runs(store.jobs.runs_of(job.id))),
        marks=marks,
        signed_ms=store.records.get(step.record).ts_ms if step.record else None,
    )


def _work_alone(home: Home, question: RerunRequest) -> int | None:
    """Act as the node until this claim is judged; return its job, or None if never queued."""
    config = config_of(home)
    with Store.open_read_only(home) as store:
        bundle = bundle_of(store, Blobs(home.blobs), question.claim)
        found = claim_in(bundle, question.claim)
        known = task_source(store, found.manifest.id)
        own = read_keys(home).author if home.key.exists() else None
        if own is not None:
            device = probe_devices(found.manifest, config.gpus)[0]
            line = LineKey(task=found.manifest.id, hardware_class=device.slug)
            step = step_of(question.wanted(found), key=own, store=store, line=line)
            before = asked_before(store, line, step)
            if before is not None and before.state == "done":
                return before.id
    require_sandbox(config)
    is_own = own is not None and found.author == own.public
    if not is_own:
        require_peer_sandbox(config)
    home.prepare()
    job_id: int | None = None

    def hand_in(node: Node) -> Callable[[], bool]:
        nonlocal job_id
        job_id = node.take(question)
        return partial(_shown(), node.line_resources.store, job_id)

    with contextlib.suppress(KeyboardInterrupt), at_work(home, config, to_terminal=False):
        with reporting() as progress:
            task = _task_of(home, config, found.manifest, known, progress)
        acting = act_as_node(
            home, config, task, hand_in, runs_untrusted=not is_own, is_log_shown=False
        )
        asyncio.run(acting)
    return job_id


def _task_of(
    home: Home, config: Config, manifest: TaskManifest, known: str | None, progress: Progress
) -> Task:
    """Return the installed task with the claim's id."""
    unprepared: NotPreparedError | None = None
    for name in dict.fromkeys(filter(None, (known, config.task, manifest.name))):
        try:
            task = find_task(home, name=name, text=None, progress=progress)
        except NotPreparedError as fault:
            unprepared = fault if name in (known, manifest.name) else unprepared
        except ArnodeError:
            continue
        else:
            if task.id == manifest.id:
                return task
    if unprepared is not None:
        raise unprepared
    raise ConfigurationError(
        f"the claim is about task {manifest.name} ({manifest.id.hex()[:12]}), whose files are not "
        "here",
        "set `task` to its folder: `ARNODE_TASK=DIR arnode verify …`",
    )


def _shown(meanwhile: str = "") -> Callable[[Store, int], bool]:
    """Return a function that prints the expected cost on stderr, then each pair.

    `meanwhile` ends the sentence about the cost. The function returns True once the job is closed.
    """
    is_cost_shown = False
    reported_runs = shown_pairs = 0

    def show(store: Store, job_id: int) -> bool:
        nonlocal is_cost_shown, reported_runs, shown_pairs
        job = store.jobs.get(job_id, RerunStep)
        manifest = store.records.manifest(job.line.task) if job else None
        if job is None or manifest is None:
            return False
        step = job.step
        if not is_cost_shown and (run_s := run_seconds(store, job.line)) is not None:
            is_cost_shown = True
            print(f"  {_cost(step, manifest, run_s)}{meanwhile}", file=sys.stderr)
            print("  base      candidate (secret split)", file=sys.stderr, flush=True)
        is_done = job.state == "done"
        runs = store.jobs.runs_of(job_id)
        ended = sum(run.outcome is not None for run in runs)
        if ended == reported_runs:
            return is_done
        reported_runs = ended
        reading = _reading(store, manifest, job)
        pairs = step.weigh(runs, reading, manifest).pairs
        for count in range(shown_pairs + 1, len(pairs) + 1):
            log_e = judge_pairs(pairs[:count], reading, step.claim).log_e
            if is_done and count == len(pairs) and step.log_e_milli is not None:
                log_e = step.log_e_milli / 1000  # as judged, before these runs changed the noise
            share = step.policy.evidence_share(log_e)
            print(f"  {pair_words(pairs[count - 1], share)}", file=sys.stderr, flush=True)
        shown_pairs = len(pairs)
        return is_done

    return show


def _reading(store: Store, manifest: TaskManifest, job: Job[RerunStep]) -> MetricReading:
    """Return a `MetricReading` to show a job's metrics without an open session."""
    return MetricReading(
        sign=manifest.metric.sign,
        noise=known_noise(store, job.line, manifest.noise_floor_nano),
        policy=job.step.policy,
        style=Style.of(manifest),
    )


def _cost(step: RerunStep, manifest: TaskManifest, run_s: float) -> str:
    """Return a sentence about the usual and the maximal duration."""
    takes = rerun_duration_text(manifest, run_s, policy=step.policy, is_published=step.is_published)
    ways = "; --quick can only refute the claim or find a smaller gain" if step.is_quick else ""
    return f"{takes}{ways}"
