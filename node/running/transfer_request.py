"""A request to transfer a patch or a head from one rung to another."""

from dataclasses import dataclass
from typing import Final

from node.home.control_socket import Message
from node.ladder.transfer_candidates import check_rungs, step_of_record, steps_of_head
from node.line.head_by_hand import manifest_of, the_line
from node.line.rung_transfer import TransferCandidate
from node.store.blobs import Blobs
from node.store.named_tasks import labels
from node.store.store import Store
from protocol.errors import UsageError
from protocol.manifest import TaskManifest
from protocol.record_kinds import PatchBody, ResultBody

HEAD: Final = "head"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferRequest:
    """A head, a patch or a claim, as the user names it, and the task to transfer it to.

    `to` is the id of that task. For a head, `rung` names the task of the head. If `rung` is None,
    it is the rung below `to`.
    """

    what: str
    to: bytes
    rung: str | None = None

    def candidates(
        self, store: Store, blobs: Blobs, above: TaskManifest
    ) -> tuple[TransferCandidate, ...]:
        """Return the requested transfers, found in a home; `above` is the task to transfer to.

        Raises UsageError, SafetyError.
        """
        if self.what != HEAD:
            record = store.records.find(self.what)
            body = record.body
            task = body.task if isinstance(body, PatchBody | ResultBody) else b""
            below = store.records.manifest(task)
            if below is None:
                raise UsageError(
                    f"record {record.id.hex()[:12]} is a {record.kind} of a task unknown here",
                    "give the id of a patch or of an experiment: see `arnode log`",
                )
            check_rungs(below, above)
            return (step_of_record(store, blobs, record, below),)
        line = the_line(store, self.rung or _below(store, above))
        below = manifest_of(store, line)
        check_rungs(below, above)
        return steps_of_head(store, line, below)

    def to_message(self) -> dict[str, Message]:
        """Return the request as a message to the running node."""
        return {"what": self.what, "to": self.to, "rung": self.rung}


def _below(store: Store, above: TaskManifest) -> str:
    """Return the name or folder of the rung below. Raises UsageError if this home never ran it."""
    worked_on = {line.task for line in store.jobs.lines()}
    if above.below in worked_on:
        return labels(store, worked_on)[above.below]
    shown = ", ".join(sorted(labels(store, worked_on - {above.id}).values()))
    raise UsageError(
        f"this home has not worked on the rung below {above.name}",
        f"name the task with --from: {shown}" if shown else "start the node on that rung first",
    )
