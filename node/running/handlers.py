"""What commands may ask of a running node over its socket, by name."""

import asyncio
from collections.abc import Mapping
from typing import cast

from node.claims.authors import author_rates
from node.home.clock import clock_ms
from node.home.control import Handler, Message
from node.line.handed_in import check_submission
from node.line.hypotheses import complete, register
from node.line.strangers_task import lacking
from node.loop.in_flight import Lost
from node.networks.fleet import people_of
from node.proposing.advice import advice, prompt_document
from node.reporting.knowledge import importance_document
from node.reporting.peers import peers_document, trust_in
from node.reporting.publishing import read_draft, sign_report
from node.reporting.status import status_document
from node.running.loads import Load
from node.running.node import Node
from node.running.proving import pause_document, seconds_in
from node.running.questions import Question
from node.store.blobs import Blobs
from node.store.notes import keep_note
from protocol.errors import ArnodeError, UsageError
from protocol.remarks import ReportBody
from protocol.source import Source
from trainer.sandbox.tier import probe_tier


def handlers(node: Node) -> Mapping[str, Handler]:
    """Return what answers each command."""

    async def status(_: Mapping[str, Message]) -> Message:
        author = node.books.keys.author.public
        return status_document(
            node.books.store,
            author=author,
            net=node.config.net,
            sandbox=probe_tier().name,
            research=node.research,
            membership=node.membership,
            remote=node.remote,
        )

    async def peers(_: Mapping[str, Message]) -> Message:
        ledger, people = node.books.ledger, people_of(node.home, node.config.friends)
        trust = trust_in(people, author_rates(ledger, people.heard_first))
        return peers_document(node.books.store, node.membership, trust)

    async def stop(arguments: Mapping[str, Message]) -> Message:
        node.research.stop(at_checkpoint=bool(arguments.get("at_checkpoint")))
        return None

    async def pause(arguments: Mapping[str, Message]) -> Message:
        research, lost, for_s = node.research, Lost(), seconds_in(arguments)
        if arguments.get("at_end"):
            research.pause(for_s=for_s)
        else:
            lost = await research.pause_at_once(for_s=for_s)
        return pause_document(lost, research.pausing)

    async def resume(_: Mapping[str, Message]) -> Message:
        node.research.resume()
        return None

    async def subject(_: Mapping[str, Message]) -> Message:
        key = node.research.line_key
        editable: list[Message] = list(node.session.task.editable)
        return {"task": key.task, "class": key.hardware_class, "editable": editable}

    async def submit(arguments: Mapping[str, Message]) -> Message:
        match arguments:
            case {"files": dict() as files, "title": str() as title, "why": str() as why}:
                source = Source.of({n: d for n, d in files.items() if isinstance(d, bytes)})
                check_submission(source, node.session.task)
                node.research.submit(source, title=title, why=why)
                return None
        raise UsageError("that is no source to try", "use `arnode try`")

    async def is_decided(arguments: Mapping[str, Message]) -> Message:
        mark, activity = arguments.get("mark"), node.research.activity
        is_done = isinstance(mark, bytes) and node.research.attempt_of(mark) is not None
        return {"decided": is_done, "stage": activity.stage, "title": activity.title}

    async def verify(arguments: Mapping[str, Message]) -> Message:
        return node.take(Question.from_message(dict(arguments)))

    async def carry(arguments: Mapping[str, Message]) -> Message:
        return list(node.carry(Load.from_message(arguments)))

    async def fetch_task(arguments: Mapping[str, Message]) -> Message:
        """Have a task's files fetched; say how many are missing still."""
        store, task = node.books.store, arguments.get("task")
        manifest = store.records.manifest(task) if isinstance(task, bytes) else None
        if not isinstance(task, bytes) or manifest is None:
            raise UsageError("no such task was announced here", "`arnode network` shows who is met")
        missing = len(lacking(Blobs(node.home.blobs), manifest))
        record = store.records.task_record(task)
        if missing and record is not None and node.membership is not None:
            node.membership.peering.fetcher.want(record)
        return missing

    async def publish_report(arguments: Mapping[str, Message]) -> Message:
        body, text = read_draft(arguments)
        signed = sign_report(
            node.books.store,
            node.books.ledger.blobs,
            node.books.ledger.publication.identity,
            body,
            text,
            now_ms=clock_ms(),
        )
        network = node.membership.network.name if node.membership else None
        return {"id": signed.record.id, "new": signed.is_new, "network": network}

    async def fetch_report(arguments: Mapping[str, Message]) -> Message:
        """Have a report's text fetched; say whether it is here by now."""
        store, wanted = node.books.store, arguments.get("report")
        body = store.records.get(wanted).body if isinstance(wanted, bytes) else None
        if not isinstance(wanted, bytes) or not isinstance(body, ReportBody):
            raise UsageError("that is no report", "`arnode report --peers` lists them")
        if node.membership is None:
            raise ArnodeError(
                "this node speaks to no network, so nobody can be asked",
                "`arnode start` says why, and how to join one",
            )
        if Blobs(node.home.blobs).has(body.text):
            return True
        node.membership.peering.fetcher.want(wanted)
        return False

    async def propose(arguments: Mapping[str, Message]) -> Message:
        first = next(iter(node.proposers.slow), None)
        slow = first.proposer if first else None
        context = node.ideas.context(text=first.arm.text if first else "")
        if arguments.get("dry"):
            who = slow.name if slow else ", ".join(node.config.agent)
            return dict(await prompt_document(node.home, context, who, slow))
        return dict(await advice(context, node.proposers.fast, slow))

    async def note(arguments: Mapping[str, Message]) -> Message:
        said = arguments.get("text")
        if not isinstance(said, str):
            raise UsageError("that is no note", "say it in words")
        store, line = node.books.store, node.research.line_key
        kept = keep_note(store, line, said, now_ms=clock_ms())
        node.books.keep_journal()
        return kept.ts_ms

    async def register_hypothesis(arguments: Mapping[str, Message]) -> Message:
        match arguments:
            case {"title": str() as title, "why": str() as why}:
                return register(node.books.ledger, title, why, now_ms=clock_ms()).id
        raise UsageError("that is no hypothesis", "it has a title, and says why")

    async def complete_hypothesis(arguments: Mapping[str, Message]) -> Message:
        match arguments:
            case {"id": str() as number, "result": bytes() | None as result}:
                return complete(node.books.ledger, number, result=result).state
        raise UsageError("that closes no hypothesis", "name it by its id")

    async def importance(_: Mapping[str, Message]) -> Message:
        from agent.knobs.importance import importance_of  # and numpy with it

        found = await asyncio.to_thread(importance_of, node.ideas.context())
        return cast("Message", importance_document(found))

    async def program(_: Mapping[str, Message]) -> Message:
        return node.ideas.program

    return {
        "importance": importance,
        "program": program,
        "note": note,
        "register": register_hypothesis,
        "complete": complete_hypothesis,
        "fetch_task": fetch_task,
        "publish_report": publish_report,
        "fetch_report": fetch_report,
        "propose": propose,
        "verify": verify,
        "carry": carry,
        "status": status,
        "peers": peers,
        "stop": stop,
        "pause": pause,
        "resume": resume,
        "subject": subject,
        "submit": submit,
        "is_decided": is_decided,
    }
