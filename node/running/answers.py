"""The answers of a running node to commands, over its socket and over the API."""

from collections.abc import Mapping
from typing import Any

from agent.source.canonical import fingerprint
from node.home.clock import clock_ms
from node.home.control_socket import Message
from node.home.fleet import people_of
from node.line.handed_in import check_submission
from node.line.hypotheses import complete, register
from node.line.open_task import lacking
from node.line.proposals import ProposalJob, approve, edit, reject
from node.loop.authors import author_rates
from node.loop.in_flight import Lost
from node.proposing.advice import advice, prompt_document
from node.reporting.company import Companies
from node.reporting.experiment import experiment_found
from node.reporting.owner import ProgramDocument, program_document
from node.reporting.peers import peers_document, trust_in
from node.reporting.publishing import read_draft, sign_report
from node.reporting.queries import Nothing, OfProposal
from node.reporting.status import status_document
from node.running.card_selftest import pause_document
from node.running.node import Node
from node.running.questions import RerunRequest
from node.running.transfer_request import TransferRequest
from node.store.blobs import Blobs
from node.store.notes import keep_note
from node.store.store import Store
from node.web.commands import (
    COMMANDS,
    DONE,
    Answer,
    Carry,
    ClosedHypothesis,
    Completed,
    Decided,
    Done,
    EditedProposal,
    Handed,
    NewHypothesis,
    OfDigest,
    Paused,
    PauseFor,
    Propose,
    Queued,
    Registered,
    RejectProposal,
    Said,
    Say,
    SignReport,
    Stop,
    Submit,
    TagExperiment,
    Tagged,
    Verify,
)
from protocol.errors import ArnodeError, UsageError
from protocol.remarks import ReportBody
from protocol.source import Source
from trainer.sandbox.tier import probe_tier


def answers_of(node: Node) -> Mapping[str, Answer]:
    """Return the handler of each command of `node.web.commands.COMMANDS` except `page`."""
    answers = NodeAnswers(node)
    return {one.name: getattr(answers, one.name) for one in COMMANDS if one.name != "page"}


class NodeAnswers:
    """The handlers: one method for each command, with the command's name."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._companies = Companies()

    async def status(self, _: Nothing) -> dict[str, Message]:
        """Return the node's status."""
        node = self._node
        return status_document(
            node.line_resources.store,
            author=node.line_resources.keys.author.public,
            net=node.config.net,
            sandbox=probe_tier().name,
            research=node.research,
            membership=node.membership,
            remote=node.remote,
            companies=self._companies,
        )

    async def stop(self, asked: Stop) -> Done:
        """Stop the node after the current run."""
        self._node.research.stop(after_promotion_trial=asked.after_promotion_trial)
        return DONE

    async def pause(self, asked: PauseFor) -> Paused:
        """Pause, and free the device."""
        research, lost = self._node.research, Lost()
        if asked.at_end:
            research.pause(for_s=asked.for_s)
        else:
            lost = await research.pause_at_once(for_s=asked.for_s)
        return pause_document(lost, research.pausing)

    async def resume(self, _: Nothing) -> Done:
        """End a pause."""
        self._node.research.resume()
        return DONE

    async def subject(self, _: Nothing) -> dict[str, Message]:
        """Return the task and hardware class in progress, and the names of the editable files."""
        key = self._node.research.line_key
        editable: list[Message] = list(self._node.session.task.editable)
        return {"task": key.task, "class": key.hardware_class, "editable": editable}

    async def submit(self, asked: Submit) -> Handed:
        """Queue a user's source as an experiment. Raises UsageError if it cannot be tried."""
        source = Source.of(asked.files)
        task = self._node.session.task
        check_submission(source, task.manifest, task.source)
        self._node.research.submit(source, title=asked.title, why=asked.why)
        return {"mark": fingerprint(source).hex()}

    async def is_decided(self, asked: OfDigest) -> dict[str, Message]:
        """Return whether the experiment on a source is decided, and the current activity."""
        research = self._node.research
        is_done, activity = research.attempt_of(asked.id) is not None, research.activity
        return {"decided": is_done, "stage": activity.stage, "title": activity.title}

    async def propose(self, asked: Propose) -> dict[str, Any]:
        """Return one proposal without running it, or with `dry` its prompt."""
        node = self._node
        first = next(iter(node.proposers.slow), None)
        slow = first.proposer if first else None
        context = node.ideas.context(text=first.arm.text if first else "")
        if asked.dry:
            who = slow.name if slow else ", ".join(node.config.agent)
            return dict(await prompt_document(node.home, context, who, slow))
        return dict(await advice(context, node.proposers.fast, slow))

    async def program(self, _: Nothing) -> ProgramDocument:
        """Return the current and earlier instructions for proposers."""
        return program_document(self._node.line_resources.store, self._node.ideas.program)

    async def note(self, asked: Say) -> Said:
        """Store a note that the owner wrote. Raises UsageError."""
        line_resources, line = self._node.line_resources, self._node.research.line_key
        about: bytes | None = None
        if asked.experiment is not None:
            entry, _ = experiment_found(line_resources.store, asked.experiment)
            line, about = entry.line, entry.id
        kept = keep_note(
            line_resources.store,
            line,
            asked.text,
            now_ms=clock_ms(),
            about=about,
            leave=asked.leave,
        )
        line_resources.keep_journal()
        return {"ts": kept.ts_ms}

    async def approve(self, asked: OfProposal) -> Decided:
        """Let a proposal run. Raises UsageError."""
        return self._decided(approve(self._store, asked.id, now_ms=clock_ms()))

    async def reject(self, asked: RejectProposal) -> Decided:
        """Drop a proposal, with a note for its proposer. Raises UsageError."""
        return self._decided(reject(self._store, asked.id, asked.note, now_ms=clock_ms()))

    async def edit(self, asked: EditedProposal) -> Decided:
        """Run the owner's source instead of a proposal's. Raises UsageError."""
        blobs = self._node.line_resources.line_writer.blobs
        edited = edit(self._store, blobs, asked.id, asked.files, now_ms=clock_ms())
        return self._decided(edited)

    def _decided(self, job: ProposalJob) -> Decided:
        self._node.research.look()
        return {"state": job.step.state}

    async def tag(self, asked: TagExperiment) -> Tagged:
        """Add and remove tags of an experiment. Raises UsageError."""
        store = self._node.line_resources.store
        entry, _ = experiment_found(store, asked.id)
        return {"tags": [*store.tags.change(entry.id, add=asked.add, remove=asked.remove)]}

    @property
    def _store(self) -> Store:
        return self._node.line_resources.store

    async def register(self, asked: NewHypothesis) -> Registered:
        """Announce a hypothesis. Raises UsageError."""
        line_writer = self._node.line_resources.line_writer
        return {"id": register(line_writer, asked.title, asked.why, now_ms=clock_ms()).id.hex()}

    async def complete(self, asked: ClosedHypothesis) -> Completed:
        """Close a hypothesis. Raises UsageError."""
        line_resources, wanted = self._node.line_resources, asked.result
        result = None if wanted is None else line_resources.store.records.find(wanted).id
        return {"state": complete(line_resources.line_writer, asked.id, result=result).state}

    async def verify(self, asked: Verify) -> Queued:
        """Queue a re-run of a claim. Raises UsageError."""
        question = RerunRequest(
            claim=asked.claim,
            pairs=asked.pairs,
            alpha=asked.alpha,
            is_quick=asked.quick,
            is_published=asked.publish,
        )
        return {"job": self._node.take(question)}

    async def carry(self, asked: Carry) -> list[int]:
        """Queue transfers to this task; return the jobs."""
        return list(
            self._node.carry(TransferRequest(what=asked.what, to=asked.to, rung=asked.rung))
        )

    async def publish_report(self, asked: SignReport) -> dict[str, Message]:
        """Sign a report."""
        line_resources, membership = self._node.line_resources, self._node.membership
        signed = sign_report(
            line_resources.store,
            line_resources.line_writer.blobs,
            line_resources.line_writer.record_writer.identity,
            read_draft(asked.body),
            asked.text,
            now_ms=clock_ms(),
        )
        network = membership.network.name if membership else None
        return {"id": signed.record.id, "new": signed.is_new, "network": network}

    async def peers(self, _: Nothing) -> dict[str, Message]:
        """Return the connected peers."""
        node = self._node
        people = people_of(node.home, node.config.friends)
        trust = trust_in(people, author_rates(node.line_resources.line_writer, people.trusted))
        return peers_document(node.line_resources.store, node.membership, trust)

    async def fetch_task(self, asked: OfDigest) -> int:
        """Request a task's files from peers; return the number of missing files."""
        records = self._node.line_resources.store.records
        manifest = records.manifest(asked.id)
        if manifest is None:
            raise UsageError(
                "no peer announced this task here", "`arnode network peers` shows who is connected"
            )
        missing = len(lacking(Blobs(self._node.home.blobs), manifest))
        record = records.task_record(asked.id)
        if missing and record is not None and self._node.membership is not None:
            self._node.membership.peering.fetcher.want(record)
        return missing

    async def fetch_report(self, asked: OfDigest) -> bool:
        """Request a report's text from peers; return True if it is already stored."""
        body = self._node.line_resources.store.records.get(asked.id).body
        if not isinstance(body, ReportBody):
            raise UsageError("this record is not a report", "`arnode report --peers` lists reports")
        if self._node.membership is None:
            raise ArnodeError(
                "this node is on no network, so it has no peers to ask",
                "`arnode home logs` has the reason; `arnode stop`, then "
                "`arnode start --network NAME --yes` joins one",
            )
        if Blobs(self._node.home.blobs).has(body.text):
            return True
        self._node.membership.peering.fetcher.want(asked.id)
        return False
