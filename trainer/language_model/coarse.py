"""How coarse figures leave the stages in which a candidate's process has seen secret text.

Such a process can shade what it answers, so that digits nobody needs would carry what it read: to
whoever proposes next, and to everybody once they are signed. From here on there is only the coarse
figure. What each may still carry is in docs/threat-model.md, in bits a run.
"""

import math
from typing import Final

from protocol.runs import Audit
from protocol.units import NANO
from trainer.language_model.lm_bpb_1 import AuditStatistics, Tolerance

METRIC_PARTS: Final = 8  # of the noise floor: an error that adds 0.1 % to the variance of a run


def grain_nano(noise_floor_nano: int) -> int:
    """Return what metrics are multiples of, in 1e-9 units: an eighth of the task's noise floor."""
    return max(1, noise_floor_nano // METRIC_PARTS)


def coarse_metric(nano: int, *, noise_floor_nano: int, worst_nano: int) -> int:
    """Return the nearest multiple of the grain; whatever is worse than `worst_nano` is that."""
    grain = grain_nano(noise_floor_nano)
    return (2 * min(nano, worst_nano) + grain) // (2 * grain) * grain


def coarse_audit(statistics: AuditStatistics, tolerance: Tolerance) -> Audit:
    """Return an audit's figures in whole taus, the largest difference and the error rounded up.

    What passes lies within a tau everywhere: so they say that it passed, and hardly more.
    """
    tau_nano = max(1, round(tolerance.tau * NANO))
    return Audit(
        k=statistics.k,
        mean_nano=round(statistics.mean * NANO / tau_nano) * tau_nano,
        se_nano=math.ceil(statistics.standard_error * NANO / tau_nano) * tau_nano,
        max_nano=math.ceil(statistics.largest * NANO / tau_nano) * tau_nano,
    )
