"""The JSON of `arnode status`, from the store and the research loop.

Without a running node all values are from the store, and live figures are zero.
"""

from collections import Counter
from dataclasses import asdict
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from node.home.clock import clock_ms
from node.home.control_socket import Message
from node.line.branch import branch_of, kept_in, most_keeps
from node.line.catch_up import CatchUpStep
from node.line.head_recheck import head_recheck_reason
from node.line.job_kinds import HEAD_TRIALS
from node.line.noise import shown_sd
from node.line.proposals import proposals_of
from node.line.rerun import RerunStep
from node.loop.planning import PlannerState, aim_in_force
from node.proposing.budget import spent_today
from node.reporting.company import Companies
from node.store.experiments import Decision
from node.store.jobs import Line
from node.store.others_results import others_intents
from node.store.store import Store
from node.terminal.vocabulary import JUDGED, gap_to
from protocol.manifest import TaskManifest
from protocol.record_kinds import ProfileBody, ResultBody
from protocol.remarks import IntentBody
from protocol.rerun import RerunVerdict
from protocol.rule import DEFAULT
from protocol.styles import Style
from protocol.units import NANO, from_nano

if TYPE_CHECKING:
    from node.loop.research import Research
    from node.loop.slots import ArmState
    from node.peering.lists import Lists
    from node.peering.membership import Membership
    from node.peering.rendezvous import Rendezvous
    from node.remote.lanes import RemoteLanes

_HOUR_MS = 3_600_000
DECISIONS: tuple[Decision, ...] = ("kept", "discarded", "failed", "rejected")
VERDICTS: tuple[RerunVerdict, ...] = (
    "confirmed", "smaller", "refuted", "unconfirmed", "unrunnable",
)  # fmt: skip


def status_document(
    store: Store,
    *,
    author: bytes | None,
    net: str,
    sandbox: str,
    research: "Research | None" = None,
    membership: "Membership | None" = None,
    remote: "RemoteLanes | None" = None,
    companies: Companies | None = None,
) -> dict[str, Message]:
    """Return the status document.

    `author` is None until the node has a key. `net` is the network in use. A running node passes
    `research`; a bootstrap node passes only `membership`. `remote` has the lanes on other machines.
    `companies` are the counters of earlier calls.
    In the document, `reused` is a sequence number that the key gave to two records, null if none.
    """
    name = ""
    if author is not None:
        for record in store.records.listed("profile", author, newest_first=True, limit=1):
            name = record.body.name if isinstance(record.body, ProfileBody) else ""
    lines: list[Message] = [
        line_document(store, line, research, author, companies) for line in store.jobs.lines()
    ]
    return {
        "running": research is not None or membership is not None,
        "paused": research is not None and research.is_paused,
        "node": {
            "author": author.hex() if author else None,
            "name": name,
            "reused": store.boards.reused_number(author) if author else None,
        },
        "sandbox": sandbox,
        "lines": lines,
        "remote_lanes": remote.state_rows() if remote else [],
        "network": _network(store, net, membership),
        "cost": _cost(store),
        "self_test": None,  # the running node sets it during a card's self-test
    }


def _cost(store: Store) -> Message:
    """Return the cost of models today (UTC). Calls without a final cost count as reserved."""
    spent = spent_today(store, clock_ms())
    return {
        "usd_today": spent.usd_nano / NANO,
        "tokens_today": spent.tokens,
        "calls_today": spent.calls,
        "visits_today": spent.visits,
    }


def _network(store: Store, net: str, membership: "Membership | None") -> Message:
    """Return the state of the network. `name` is null while this node is not connected to one.

    `in_use` is the network of this node's new records, connected or not. `lost_messages` counts
    gossip messages that arrived faster than they were read; they are fetched again. `reach` is
    `direct` if a bootstrap node has dialled this node, `relay` if it is reached through a relay.
    """
    addresses: list[Message] = list(membership.addresses) if membership else []
    return {
        "name": membership.network.name if membership else None,
        "in_use": net,
        "peers": len(membership.peers) if membership else 0,
        "records": store.records.count(),
        "addresses": addresses,
        "lost_messages": membership.process.lost_messages if membership else 0,
        "reach": membership.peering.reaching.kind if membership else "unknown",
        "dht": _dht(membership.rendezvous) if membership and membership.rendezvous else None,
        "lists": _lists(membership.lists) if membership and membership.lists else [],
    }


def _dht(rendezvous: "Rendezvous") -> Message:
    """Return the result of the last DHT lookup, with times in seconds since 1970.

    `found` counts the nodes found, `asked` the requests sent, `answered` the servers that
    answered, and `announced` those that know this node.
    """
    last = rendezvous.last
    return {
        "last": None if last is None else round(last.at_s),
        "next": round(rendezvous.next_s),
        "found": last.found if last else 0,
        "asked": last.asked if last else 0,
        "answered": last.answered if last else 0,
        "announced": last.announced if last else 0,
        "fault": last.fault if last else None,
    }


def _lists(lists: "Lists") -> Message:
    """Return the state of each signed list of addresses.

    `written` is in seconds since 1970, null until a list was read. `fault` is why the last fetch
    failed, null if it did not.
    """
    return [
        {
            "place": one.place,
            "written": one.text.written_s if one.text else None,
            "addresses": len(one.text.addresses) if one.text else 0,
            "fault": one.fault,
        }
        for one in lists.last
    ]


def head_metrics(store: Store, line: Line, tree: bytes) -> list[float]:
    """Return the public metrics of the runs of a tree's latest baseline or confirmation."""
    entry = store.experiments.latest_of(line.key, tree)
    if entry is None:
        return []
    body = store.records.get(entry.id).body
    assert isinstance(body, ResultBody)  # noqa: S101 -- experiments follow from results
    role = "base" if entry.stage == "baseline" else "candidate"
    return [
        run.metric_nano / NANO
        for run in body.runs
        if run.role == role and run.metric_nano is not None
    ]


def line_document(
    store: Store,
    line: Line,
    research: "Research | None" = None,
    author: bytes | None = None,
    companies: Companies | None = None,
) -> dict[str, Message]:
    """Return the state of a line, and its present activity."""
    manifest = store.records.manifest(line.task)
    live = research if research is not None and research.line_key == line.key else None
    activity = live.activity if live else None
    return {
        "task": {"id": line.task.hex(), "name": manifest.name if manifest else ""},
        "scoring": manifest.scoring if manifest else JUDGED,
        "best_known": _best_known(manifest),
        "gap": _gap(store, line, manifest),
        "class": line.hardware_class,
        "devices": ["cpu"],
        "lanes": activity.lanes if activity else 0,
        "baseline": _mean(head_metrics(store, line, manifest.baseline_tree)) if manifest else None,
        "head": _head(store, line),
        "working": _working(store, line),
        "noise_sd": _noise_sd(manifest, live),
        "experiments": _experiments(store, line),
        "per_hour": round(activity.runs_per_hour, 1) if activity else 0,
        "counted_share": round(activity.counted_share, 3) if activity else 0,
        "verification": _verification(store, line),
        "company": asdict((companies or Companies()).of(store, line.key)),
        "intents": _intents(store, line, author),
        "now": _now(live) if live else None,
        "proposers": [_proposer(one) for one in live.arm_states] if live else [],
        "planner": _planner(store, line, live),
        "proposals_waiting": sum(
            job.step.state == "waiting" for job in proposals_of(store, line.key)
        ),
    }


def _noise_sd(manifest: TaskManifest | None, live: "Research | None") -> float | None:
    """Return the noise of one run, 0 if scores are exact; None if it is unknown."""
    if manifest is None or (live is None and _is_unmeasured(manifest)):
        return None
    sd = live.noise_sd if live else manifest.noise_floor_nano / NANO
    return shown_sd(sd, Style.of(manifest))


def _is_unmeasured(manifest: TaskManifest) -> bool:
    return not manifest.noise_floor_nano and not Style.of(manifest).is_exact


def _planner(store: Store, line: Line, live: "Research | None") -> Message:
    """Return the state of the planner model; null without a planner.

    `aim` and `written` (seconds since 1970) are null while no aim is in force. `waiting` is why the
    planner is waiting, null if it is not.
    """
    aim, state = aim_in_force(store, line.key), live.planner if live else None
    if state is None:
        if aim is None or live is not None:
            return None
        state = PlannerState(model=aim.model, waiting="")
    return {
        "model": state.model,
        "aim": aim.text if aim else None,
        "written": aim.ts_ms // 1000 if aim else None,
        "waiting": state.waiting or None,
    }


def _proposer(state: "ArmState") -> Message:
    """Return the state of a proposer.

    `slots` counts the experiments on its ideas, and `share` is their fraction of the latest
    experiments. `gain_per_hour` is the gain of its kept patches, which fresh runs or an ablation
    measured, in standard deviations of one run per device hour. It is null without device time.
    `waiting` is why the proposer makes no proposal now, or null.
    """
    hours = state.device_hours
    return {
        "name": state.name,
        "share": round(state.share, 3),
        "slots": state.slots,
        "gain_per_hour": round(state.gain_sd / hours, 3) if hours else None,
        "device_hours": round(hours, 3),
        "usd": round(state.usd, 6),
        "waiting": state.waiting or None,
    }


def _best_known(manifest: TaskManifest | None) -> float | None:
    """Return the best known metric as stated in the task's manifest; None if it states none."""
    program = manifest.program if manifest else None
    return from_nano(program.best_known) if program else None


def _gap(store: Store, line: Line, manifest: TaskManifest | None) -> float | None:
    """Return the distance from the head to the best known metric, negative if better."""
    known, head = _best_known(manifest), _mean(head_metrics(store, line, line.verified))
    if manifest is None or known is None or head is None:
        return None
    return gap_to(known, head, sign=manifest.metric.sign)


def _now(research: "Research") -> Message:
    """Return the present activity; `also_running` counts further runs in progress.

    While `paused` nothing new starts. `until` is the end of the pause, null if it has none.
    """
    activity = research.activity
    now_document: dict[str, Message] = {"title": activity.title, "stage": activity.stage}
    return {**now_document, "also_running": activity.also_running, **research.pausing.document()}


def _working(store: Store, line: Line) -> Message:
    """Return the state of the working line. `branch` names its root, null if its root is the head.

    `metric` is the mean of its reference runs, null without any or without kept patches. After
    `trial_after` more kept patches its promotion trial is due, and at `trial_by_ms` (milliseconds
    since 1970) at the latest. Both are null without kept patches or on a branch.
    """
    branch, keeps = branch_of(store, line), kept_in(store, line.stack)
    is_counted = bool(line.stack) and branch is None
    most = most_keeps(store.records.manifest(line.task), DEFAULT)
    hours = DEFAULT.promotion_trial_hours
    return {
        "tree": line.working.hex(),
        "metric": _mean([nano / NANO for nano in line.reference_nano]) if line.stack else None,
        "keeps": keeps,
        "branch": branch.step.title if branch else None,
        "trial_after": max(0, most - keeps) if is_counted else None,
        "trial_by_ms": line.promotion_trial_ms + round(hours * _HOUR_MS) if is_counted else None,
    }


def _mean(values: list[float]) -> float | None:
    return fmean(values) if values else None


def _head(store: Store, line: Line) -> Message:
    """Return the verified head. `recheck_pending` is why it has to be confirmed again, or null."""
    metrics = head_metrics(store, line, line.verified)
    return {
        "tree": line.verified.hex(),
        "metric": _mean(metrics),
        "metric_sd": stdev(metrics) if len(metrics) > 1 else None,
        "runs": len(metrics),
        "recheck_pending": head_recheck_reason(store, line),
    }


def _intents(store: Store, line: Line, author: bytes | None) -> Message:
    """Return the experiments that other nodes announced as in progress, newest first."""
    now_ms = clock_ms()
    records = others_intents(store, line.key, author=author or b"", now_ms=now_ms)
    return [
        {
            "author": record.author.hex(),
            "title": record.body.title,
            "base": record.body.base.hex(),
            "age_s": (now_ms - record.ts_ms) // 1000,
        }
        for record in records
        if isinstance(record.body, IntentBody)
    ]


def _experiments(store: Store, line: Line) -> Message:
    counts = store.experiments.tried(line.key)
    document: dict[str, Message] = {"total": sum(counts.values())}
    return document | {decision: counts.get(decision, 0) for decision in DECISIONS}


def _verification(store: Store, line: Line) -> Message:
    """Return verdict counts of promotion trials, peers' best trees and re-runs of claims."""
    confirmations = Counter(store.experiments.confirmations(line.key))
    passed = confirmations["adopted"]
    failed = confirmations["failed"] + confirmations["rejected"]
    claims = Counter(job.step.verdict for job in store.jobs.closed_jobs(line.key, RerunStep))
    # Only a peer's tree has a claim that can be refuted; kept patches claim no gain.
    refuted = sum(
        job.step.verdict == "refuted" for job in store.jobs.closed_jobs(line.key, CatchUpStep)
    )
    missed = confirmations.total() - passed - failed - refuted
    claims.update(confirmed=passed, refuted=refuted, unconfirmed=missed, unrunnable=failed)
    queued = len(store.jobs.open_jobs(line.key, *HEAD_TRIALS, RerunStep))
    return {"queued": queued, **{verdict: claims[verdict] for verdict in VERDICTS}}
