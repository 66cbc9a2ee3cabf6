"""The number of lanes of a task on this machine, and the device of each.

If scores do not depend on speed, each core of the processor is a lane. Otherwise each device makes
one run at a time.
"""

from dataclasses import dataclass
from typing import Final, Literal

from node.home.config import Config
from protocol.errors import ConfigurationError
from protocol.manifest import TaskManifest
from trainer.cards.cards import probe_devices
from trainer.host.capacity import available_bytes, usable_cores
from trainer.host.device import Device
from trainer.task_kinds import kind_of

# Memory of a lane beyond a run's limit: two waiting sandboxes, with torch imported.
SPARES_BYTES: Final = 512 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LanesHere:
    """The lanes of a task: `devices` has one entry for each lane.

    The processor may be the device of several lanes. `remark` is a notice for the user.
    """

    devices: tuple[Device, ...]
    remark: str = ""


def are_elsewhere(config: Config) -> bool:
    """Return True if settings name lanes on other machines.

    Raises ConfigurationError if both settings name lanes, or if the task is made of the user's own
    text.
    """
    if config.ray is None and not config.lane_hosts:
        return False
    if config.ray is not None and config.lane_hosts:
        raise ConfigurationError(
            "`ray` and `lane_hosts` are both set", "use only one of --ray and --lane"
        )
    if config.text is not None:
        raise ConfigurationError(
            "a text of your own never leaves this machine", "leave out --ray and --lane"
        )
    return True


def lanes_here(manifest: TaskManifest, config: Config, *, is_on_demand: bool) -> LanesHere:
    """Return the lanes of a task here; a session for one command gets one lane per device.

    Raises ConfigurationError for more lanes than there are cores, and what `probe_devices` raises.
    """
    devices = probe_devices(manifest, config.gpus)
    is_shared = kind_of(manifest).may_run_alongside(manifest)
    if is_on_demand or devices[0].cuda is not None or not is_shared:
        remark = ""
        if not (is_on_demand or is_shared or config.lanes in ("auto", 1)):
            remark = f"one lane, not {config.lanes}: scores of {manifest.name} depend on speed"
        return LanesHere(devices=devices, remark=remark)
    count, remark = _count(manifest, config.lanes)
    return LanesHere(devices=devices * count, remark=remark)


def _count(manifest: TaskManifest, wanted: int | Literal["auto"]) -> tuple[int, str]:
    cores = usable_cores()
    if wanted != "auto":
        if wanted > cores:
            raise ConfigurationError(
                f"`lanes` is {wanted}, but only {cores} cores can be used here",
                f'set `lanes` to "auto" or to at most {cores}',
            )
        return wanted, ""
    each = (manifest.limits.memory_mb << 20) + SPARES_BYTES
    fitting = max(1, available_bytes() // each)
    if fitting >= cores:
        return cores, ""
    return fitting, (
        f"{fitting} of {cores} lanes, since each may use {each / 2**30:.1f} GB of memory; set "
        "`lanes` to choose the number"
    )
