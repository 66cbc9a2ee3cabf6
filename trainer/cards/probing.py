"""Which of this machine's devices a task's runs are measured on."""

from collections.abc import Sequence

from protocol.errors import ConfigurationError
from protocol.manifest import TaskManifest
from trainer.host.device import Device, processor


def probe_devices(manifest: TaskManifest, gpus: Sequence[str] = ()) -> tuple[Device, ...]:
    """Return the devices that a task's runs are measured on here, all of one class.

    Tokens are counted on the processor, seconds on cards where there are some: those that `gpus`
    names by number, UUID or class, else all of the first one's class. Raises ConfigurationError if
    there are no such cards, or of several classes.
    """
    if manifest.budget.unit == "tokens":
        return (processor(),)
    from trainer.cards.cards import probe_cards

    found = probe_cards()
    devices = [card.device for card in found.cards]
    if not gpus:
        return tuple(one for one in devices if one.slug == devices[0].slug) or (processor(),)
    chosen: dict[str | None, Device] = {}
    for wanted in gpus:
        named = [d for n, d in enumerate(devices) if wanted in (str(n), d.cuda, d.slug)]
        if not named:
            known = ", ".join(f"{number} is {one.slug}" for number, one in enumerate(devices))
            raise ConfigurationError(
                f"there is no NVIDIA card {wanted!r} here",
                known or found.fault or "`arnode doctor` shows what is found",
            )
        chosen |= {one.cuda: one for one in named}
    classes = sorted({one.slug for one in chosen.values()})
    if len(classes) > 1:
        raise ConfigurationError(
            f"cards of several classes: {', '.join(classes)}",
            "start a node for each class, each with an ARNODE_HOME of its own",
        )
    return tuple(chosen.values())
