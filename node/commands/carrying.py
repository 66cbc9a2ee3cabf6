"""`try --from`: try the patches of one rung on another rung."""

from typing import TYPE_CHECKING, Final

import click

from node.commands.basics import hex_or_none
from node.store.records import ID_PREFIX
from node.terminal.terminal import print_json
from node.terminal.vocabulary import word
from protocol.codecs import plain
from protocol.units import from_nano

if TYPE_CHECKING:
    from node.on_demand.transferring import TransferReport

BELOW: Final = "below"


def try_from(place: str, *, to: str | None, as_json: bool) -> None:
    """Try patches of another rung, and print the decisions.

    Each patch is applied to the task's working line. The sizes in the task's `[constants]` stay.
    The patch is screened, rechecked and kept by the task's usual rule. All kept patches then go
    through one promotion trial. `place` is the rung's task, `below`, or the id of a patch or claim.
    """
    from node.on_demand.transferring import decision_words, transfer_patches

    is_id = ID_PREFIX.fullmatch(place) is not None
    what, rung = (place, None) if is_id else ("head", None if place == BELOW else place)
    found = transfer_patches(what, to=to, rung=rung)
    if as_json:
        print_json(_document(found))
        return
    for one in found.changes:
        there = from_nano(one.find.gain_nano)
        gain_there = "" if there is None else f"  ({there:+.4f} on the other rung)"
        click.echo(f"{decision_words(one):<24} {plain(one.find.title)}{gain_there}")
    kept = sum(one.step.decision == "kept" for one in found.changes)
    click.echo(f"{kept} of {len(found.changes)} kept on {plain(found.manifest.name)}")
    if found.trial is not None:
        gain = from_nano(found.trial.gain_nano)
        measured = "" if gain is None else f": {gain:+.4f} in new pairs"
        click.echo(
            f"promotion trial of the kept patches: {word(found.trial.decision)}{measured}"
            f" (sum of their single gains: {found.gain_alone:+.4f}, from few runs each)"
        )


def _document(found: "TransferReport") -> dict[str, object]:
    trial = found.trial
    return {
        "task": {"id": found.manifest.id.hex(), "name": found.manifest.name},
        "changes": [
            {
                "title": one.find.title,
                "found_on": {
                    "task": one.find.found_on.task.hex(),
                    "class": one.find.found_on.hardware_class,
                    "patch": hex_or_none(one.find.found_on.patch),
                },
                "gain_there": from_nano(one.find.gain_nano),
                "decision": one.step.decision,
                "gain": one.gain,
                "record": hex_or_none(one.step.result),
            }
            for one in found.changes
        ],
        "gain_alone": found.gain_alone,
        "trial": trial
        and {
            "record": trial.id.hex(),
            "decision": trial.decision,
            "gain": from_nano(trial.gain_nano),
        },
    }
