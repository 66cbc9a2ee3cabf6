"""Proposals that wait for the owner's decision, as JSON."""

from typing import TypedDict

from node.line.idea import EDITED
from node.line.proposals import (
    NO_APPROVAL,
    ProposalJob,
    answer_span_ms,
    find_proposal,
    open_proposals,
    rule_of,
    skips_unanswered,
)
from node.line.run_estimates import run_seconds
from node.reporting.open_home import OpenHome
from node.reporting.queries import Nothing, OfProposal
from node.store.named_tasks import line_of_session
from node.store.store import Store
from protocol.patches import unified_diff
from protocol.units import from_nano

ProposalDocument = TypedDict(
    "ProposalDocument",
    {
        "id": int,
        "ts": int,
        "task": str,
        "class": str,
        "title": str,
        "why": str,
        "proposer": str,
        "model": str | None,
        "state": str,
        "note": str,
        "decided": int | None,
        "due": int | None,
        "due_skips": bool,
        "run_s": float | None,
        "usd": float | None,
        "tokens": int | None,
        "result": str | None,
    },
)
"""A proposal, who proposed it, its estimated cost and the owner's decision.

`proposer` is named as in the setting `agent`. `run_s` are the seconds of one run here, null if
unknown; `usd` and `tokens` are what writing it cost. While it waits, it is decided at `due` if
nobody answers (null: never): it then runs, or is dropped with `due_skips`. `result` is its
experiment, null before that ended.
"""


class ProposalsDocument(TypedDict):
    """The proposals that wait for a decision or for their run, oldest first.

    `approve` is the setting of the current or last session. `waiting` counts those without a
    decision.
    """

    approve: str
    waiting: int
    proposals: list[ProposalDocument]


class ProposalPage(TypedDict):
    """A proposal with its diff against the source that it changes, and the text of its files."""

    proposal: ProposalDocument
    diff: str
    files: dict[str, str]


def proposals_document(store: Store) -> ProposalsDocument:
    """Return the open proposals of all lines."""
    line, jobs = line_of_session(store), open_proposals(store)
    return {
        "approve": NO_APPROVAL if line is None else rule_of(store, line),
        "waiting": sum(job.step.state == "waiting" for job in jobs),
        "proposals": [proposal_document(store, job) for job in jobs],
    }


def proposals_page(at: OpenHome, _: Nothing) -> ProposalsDocument:
    """Return the open proposals of all lines."""
    return proposals_document(at.store)


def proposal_page(at: OpenHome, query: OfProposal) -> ProposalPage:
    """Return one proposal with its diff. Raises UsageError if there is none of this number.

    `files` has the files that it changes.
    """
    job = find_proposal(at.store, query.id)
    idea = job.step.idea
    base, source = at.blobs.get_source(idea.base), at.blobs.get_source(idea.tree)
    before = dict(base.files)
    return {
        "proposal": proposal_document(at.store, job),
        "diff": unified_diff(base, source),
        "files": {
            name: data.decode("utf-8", "replace")
            for name, data in source.files
            if before.get(name) != data
        },
    }


def proposal_document(store: Store, job: ProposalJob) -> ProposalDocument:
    """Return one proposal without its source."""
    step, idea = job.step, job.step.idea
    manifest = store.records.manifest(job.line.task)
    rule = rule_of(store, job.line)
    span_ms = answer_span_ms(rule) if step.state == "waiting" else None
    run_s = run_seconds(store, job.line)
    has_begun = job.state == "done" and step.runs
    result = store.jobs.result_of(job.line.task, idea.fingerprint) if has_begun else None
    return {
        "id": job.id,
        "ts": job.created_ms,
        "task": manifest.name if manifest else "",
        "class": job.line.hardware_class,
        "title": idea.title,
        "why": idea.why,
        "proposer": EDITED if idea.proposer == EDITED else idea.arm or idea.proposer,
        "model": idea.model,
        "state": "begun" if has_begun else step.state,
        "note": step.note,
        "decided": step.decided_ms,
        "due": None if span_ms is None else job.created_ms + span_ms,
        "due_skips": skips_unanswered(rule),
        "run_s": None if run_s is None else round(run_s, 1),
        "usd": from_nano(idea.usd_nano),
        "tokens": idea.tokens,
        "result": None if result is None else result.hex(),
    }
