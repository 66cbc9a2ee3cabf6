"""How much one run of a line scatters on this machine, from runs that nobody selected."""

from node.store.jobs import LineKey
from node.store.store import Store
from protocol.statistics import NoiseEstimate
from protocol.units import NANO


def known_noise(store: Store, line: LineKey, floor_nano: int) -> NoiseEstimate:
    """Return the estimate from baselines and confirmations; `floor_nano` is what it starts from.

    Runs are compared with others of their tree, job and secret split only.
    """
    groups: dict[tuple[int, str], list[float]] = {}
    for kind in ("baseline", "checkpoint", "attestation", "catchup"):
        for job in store.closed_jobs(line, kind):
            for planned in store.runs_of(job.id):
                run = planned.outcome and planned.outcome.run
                if run and run.secret_nano is not None and run.role != "anchor":
                    groups.setdefault((job.id, run.role), []).append(run.secret_nano / NANO)
    return NoiseEstimate.from_class(floor_nano / NANO).with_groups(list(groups.values()))
