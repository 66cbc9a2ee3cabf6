"""Verified gains and their cost by origin: by proposer, model and instructions.

A promotion trial measures several kept patches together. If all have one origin, the gain was
measured for that origin. Otherwise the gain is divided equally among the patches and reported
separately, because nobody measured single patches. Screening gains would be no better basis for the
division, because the patches were selected by these gains.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from node.line.catch_up import CatchUpStep
from node.line.head_recheck import HeadRecheckStep
from node.reporting.concluded import UNKNOWN, ConcludedIdea, ConcludedTrial, Spend, StackedPatch
from node.store.experiments import ABLATION, CATCHING_UP, is_branching
from protocol.record_kinds import Origin
from protocol.units import NANO

_CATCH_UP: Final = Origin(proposer=CATCHING_UP)
_HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginGains:
    """The experiments of one origin, their cost, and their verified gains in units of 1e-9.

    `alone_nano` is the gain in trials with only this origin's patches, `shared_nano` its share of
    the gain in mixed trials.
    """

    origin: Origin
    tried: int = 0
    kept: int = 0
    device_ms: int = 0
    spend: Spend = field(default_factory=Spend)
    alone_nano: int = 0
    shared_nano: int = 0

    @property
    def gain(self) -> float:
        """The sum of `alone_nano` and `shared_nano`, in the metric's unit."""
        return (self.alone_nano + self.shared_nano) / NANO

    @property
    def per_device_hour(self) -> float | None:
        """The gain per device hour; None if no device time was used."""
        return self.gain * _HOUR_MS / self.device_ms if self.device_ms else None

    @property
    def per_usd(self) -> float | None:
        """The gain per dollar for models; None if nothing was paid."""
        usd = self.spend.usd_nano / NANO
        return self.gain / usd if usd else None


def verified_nano(confirmations: Iterable[ConcludedTrial]) -> int:
    """Return the sum of the gains of trials that passed and were not retracted."""
    return sum(_gain_nano(one) for one in confirmations)


def gains_by_origin(
    ideas: Iterable[ConcludedIdea], confirmations: Iterable[ConcludedTrial]
) -> tuple[OriginGains, ...]:
    """Return a row for each origin, the largest gain first.

    A trial's device time is divided like its gain, even if the trial did not pass.
    """
    rows: dict[Origin, OriginGains] = {}

    def add(origin: Origin, **more: int) -> None:
        row = rows.get(origin) or OriginGains(origin=origin)
        rows[origin] = replace(
            row, **{name: getattr(row, name) + value for name, value in more.items()}
        )

    for idea in ideas:
        if idea.origin.proposer != ABLATION:
            add(idea.origin, tried=1, kept=idea.is_kept, device_ms=idea.device_ms)
            row = rows[idea.origin]
            rows[idea.origin] = replace(row, spend=row.spend + idea.spend)
    for one in confirmations:
        origins = _origins(one)
        is_mixed = len(set(origins)) > 1
        gains = _shares(_gain_nano(one), origins)
        for origin, gain_nano, device_ms in zip(
            origins, gains, _shares(one.device_ms, origins), strict=True
        ):
            add(origin, device_ms=device_ms)
            add(origin, **{"shared_nano" if is_mixed else "alone_nano": gain_nano})
        if one.kind is CatchUpStep:
            add(_CATCH_UP, tried=1, kept=one.stands)
    return tuple(sorted(rows.values(), key=_order))


def _origins(confirmation: ConcludedTrial) -> Sequence[Origin]:
    """Return the origins that share a trial's gain and cost, one for each patch.

    Patches that claim no gain are omitted: ablations, and a branch's return to an earlier tree.
    """
    if confirmation.kind is CatchUpStep:
        return (_CATCH_UP,)
    if confirmation.kind is HeadRecheckStep:  # it repeats a known gain
        return ()
    origins = [part.origin for part in confirmation.parts if _claims_gain(part)]
    return origins or (UNKNOWN,)


def _claims_gain(part: StackedPatch) -> bool:
    if is_branching(part.origin):
        return bool(part.authors)
    return part.origin.proposer != ABLATION


def _gain_nano(confirmation: ConcludedTrial) -> int:
    counts = confirmation.stands and confirmation.kind is not HeadRecheckStep
    return confirmation.gain_nano or 0 if counts else 0


def _shares(amount: int, among: Sequence[object]) -> list[int]:
    """Return integer shares that add up to `amount`. The first ones may be larger by 1."""
    if not among:
        return []
    whole, left = divmod(amount, len(among))
    return [whole + (number < left) for number in range(len(among))]


def _order(row: OriginGains) -> tuple[int, str, str, bytes]:
    origin = row.origin
    gain_nano = row.alone_nano + row.shared_nano
    return (-gain_nano, origin.proposer, origin.model or "", origin.program or b"")
