"""Splits a card's load into ours and that of others, learns its usual state, and reports on runs.

Pure functions and state, without I/O. The usual state is measured while we do not use the card. A
run is contended if, on average over the run, other programs exceed their usual use of the card:

- by more than `NOTICEABLE` of its time, if the driver reports use by process;
- by more than `HELD_BYTES` of its memory, for processes whose time the driver does not report
  (slices, WSL2, other containers). A desktop's windows stay below this limit, games and miners do
  not. If the driver does report time, memory alone does not count, since it does not slow a run.

A run is throttled if heat, a power brake or other hardware slowed the card down in
`THROTTLED_SHARE` of the samples. The software power cap does not count, since every busy card runs
at it.
"""

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final, Literal, TypeAlias, TypeVar

from protocol.runs import CONTENDED, THROTTLED
from trainer.cards.nvml import Reading

T = TypeVar("T")
N = TypeVar("N", int, float)

NOTICEABLE: Final = 0.05
HELD_BYTES: Final = 1 << 30
USUAL_AT_MOST: Final = 0.2  # use by others above this never counts as usual
THROTTLED_SHARE: Final = 0.05
THROTTLED_LOOKS: Final = 3  # fewer may be clock changes, which also show as hardware slowdown
SLOWER: Final = 0.8  # of the first clock; counts as slowed if the driver reports no slowdowns
FIRST_LOOKS: Final = 10  # samples at the start of a run that give its first clock
BUSY: Final = 0.5
GROUP: Final = 5  # samples that are judged together as usual or not
_KEPT_GROUPS: Final = 12

# "quiet": none of our sandboxes is on the card. "leaving": one has just ended and may still be in
# the driver's figures. "ours": one is on the card.
State: TypeAlias = Literal["quiet", "leaving", "ours"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A reading, split into ours and others'. None means unknown.

    - `others_share`: the share of the card's time that others used.
    - `others_bytes`: all memory that is not ours, including the driver's own.
    - `hidden_bytes`: memory that no listed process holds.
    - `own_bytes`: memory that our sandboxes hold.
    """

    reading: Reading
    state: State
    others_share: float | None
    others_bytes: int | None
    hidden_bytes: int | None
    own_bytes: int | None


class _Roster:
    """Separates our processes from others in the driver's lists.

    In a container, the driver may list processes by their ids outside the container. So until a
    list contains one of our ids, processes that were not listed before our sandboxes began may be
    ours. Of these, as many as there are sandboxes count as ours: those with the largest figures.
    """

    def __init__(self) -> None:
        self._is_sighted = False
        self._residents: set[int] = set()

    def others(
        self, listed: Mapping[int, N | None], own: Sequence[Collection[int]], state: State
    ) -> dict[int, N | None] | None:
        """Return the listed processes that are not ours; None if unknown."""
        ours = listed.keys() & {pid for family in own for pid in family}
        self._is_sighted = self._is_sighted or bool(ours)
        others = {pid: listed[pid] for pid in listed if pid not in ours}
        if state == "quiet":
            self._residents |= others.keys()
        if self._is_sighted or state == "quiet":
            return others
        maybe = sorted(others.keys() - self._residents, key=lambda pid: -(others[pid] or 0))
        taken = maybe[: len(own)]
        return {pid: others[pid] for pid in others if pid not in taken} if taken else None


class Separation:
    """Splits readings into our use and others', and learns how the driver lists our processes."""

    def __init__(self) -> None:
        self._by_memory, self._by_time = _Roster(), _Roster()

    def sample(self, reading: Reading, own: Sequence[Collection[int]], state: State) -> Sample:
        """Split a reading; `own` has the processes of each sandbox that runs or has just ended."""
        shares = reading.shares
        others = None if shares is None else self._by_time.others(shares, own, state)
        share = None if others is None else sum(one or 0.0 for one in others.values())
        if state == "quiet" and (share, reading.busy) != (None, None):
            share = max(share or 0.0, reading.busy or 0.0)  # includes processes that are not listed
        others_bytes, hidden_bytes, own_bytes = self._memory(reading, own, state)
        return Sample(
            reading=reading,
            state=state,
            others_share=None if share is None else min(1.0, share),
            others_bytes=others_bytes,
            hidden_bytes=hidden_bytes,
            own_bytes=own_bytes,
        )

    def _memory(
        self, reading: Reading, own: Sequence[Collection[int]], state: State
    ) -> tuple[int | None, int | None, int | None]:
        """Return the bytes held by others, by no listed process, and by our sandboxes."""
        used, held = reading.used_bytes, reading.held
        others = None if held is None else self._by_memory.others(held, own, state)
        if state == "leaving":  # memory is freed only some time after a process ends
            return None, None, None
        listed = None if held is None else sum(size or 0 for size in held.values())
        if state == "quiet":
            return (listed if used is None else used), _less(used, listed or 0), 0
        if held is None or listed is None or others is None:
            return None, None, None
        ours = [held[pid] for pid in held if pid not in others]
        if None in ours:
            return None, None, None
        own_bytes = sum(size or 0 for size in ours)
        if used is None:
            return listed - own_bytes, None, own_bytes
        return max(0, used - own_bytes), _less(used, listed), own_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """The usual load by others while we do not use the card; bytes are None if unknown."""

    share: float = 0.0
    others_bytes: int | None = None
    hidden_bytes: int | None = None

    @classmethod
    def of(cls, samples: Iterable[Sample]) -> "Usual":
        """Return the mean share of time and the maximum memory of samples without our sandboxes."""
        samples = list(samples)
        shares = [
            min(USUAL_AT_MOST, share) for share in _known_values(s.others_share for s in samples)
        ]
        return cls(
            share=fmean(shares) if shares else 0.0,
            others_bytes=max(_known_values(s.others_bytes for s in samples), default=None),
            hidden_bytes=max(_known_values(s.hidden_bytes for s in samples), default=None),
        )


class RestingCard:
    """The usual state of a card, from samples while none of our sandboxes uses it.

    The first group of samples is always accepted. Later groups are accepted only if they are not
    contended compared with the earlier ones, so that the state follows a desktop but not a game.
    """

    def __init__(self) -> None:
        self._group: list[Sample] = []
        self._kept: deque[Sample] = deque(maxlen=_KEPT_GROUPS * GROUP)
        self.usual = Usual()

    @property
    def is_known(self) -> bool:
        return bool(self._kept)

    def take(self, sample: Sample) -> None:
        if sample.state != "quiet":
            self._group.clear()
            return
        self._group.append(sample)
        if len(self._group) < GROUP:
            return
        if not self._kept or not is_contended(self._group, self.usual):
            self._kept.extend(self._group)
            self.usual = Usual.of(self._kept)
        self._group.clear()


@dataclass(frozen=True, slots=True, kw_only=True)
class CardReport:
    """A summary of a card's samples during a run.

    `others_share` is a mean; `others_bytes` and the peaks are maxima. The peaks and the throttling
    come only from samples in which one of our sandboxes ran.
    """

    is_contended: bool
    is_throttled: bool
    others_share: float | None
    others_bytes: int | None
    throttled_share: float | None
    peak_own_bytes: int | None
    peak_bytes: int | None

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags for the run's record."""
        marks = ((CONTENDED, self.is_contended), (THROTTLED, self.is_throttled))
        return tuple(flag for flag, is_set in marks if is_set)


def report(samples: Sequence[Sample], usual: Usual) -> CardReport:
    """Summarise the samples of a card during one run."""
    ours = [sample for sample in samples if sample.state == "ours"]
    readings = [sample.reading for sample in ours]
    slowed = _slowed(readings)
    throttled_share = fmean(slowed) if slowed else None
    shares = _known_values(sample.others_share for sample in samples)
    peak = max(_known_values(reading.used_bytes for reading in readings), default=None)
    own = max(_known_values(sample.own_bytes for sample in ours), default=None)
    return CardReport(
        is_contended=is_contended(samples, usual),
        is_throttled=sum(slowed) >= max(THROTTLED_LOOKS, THROTTLED_SHARE * len(slowed)),
        others_share=fmean(shares) if shares else None,
        others_bytes=max(_known_values(sample.others_bytes for sample in samples), default=None),
        throttled_share=throttled_share,
        peak_own_bytes=_less(peak, usual.others_bytes) if own is None else own,
        peak_bytes=peak,
    )


def is_contended(samples: Iterable[Sample], usual: Usual) -> bool:
    """Return True if others used noticeably more than usual in these samples."""
    samples = list(samples)
    shares = _known_values(sample.others_share for sample in samples)
    if shares and fmean(shares) > usual.share + NOTICEABLE:
        return True
    grown = _known_values(
        _less(sample.others_bytes, usual.others_bytes)
        if sample.others_share is None
        else _less(sample.hidden_bytes, usual.hidden_bytes)
        for sample in samples
    )
    return bool(grown) and fmean(grown) > HELD_BYTES


def _slowed(readings: Sequence[Reading]) -> list[bool]:
    """Return one boolean per sample, True if the card was slowed down; empty if unknown.

    If the driver reports no slowdowns, a clock that drops while the card is busy counts as one.
    """
    if slowed := _known_values(reading.is_slowed for reading in readings):
        return slowed
    busy = [reading for reading in readings if (reading.busy or 0.0) >= BUSY]
    clocks = _known_values(reading.sm_mhz for reading in busy)
    if len(clocks) <= FIRST_LOOKS:
        return []
    began = fmean(clocks[:FIRST_LOOKS])
    return [clock < SLOWER * began for clock in clocks]


def _known_values(values: Iterable[T | None]) -> list[T]:
    return [value for value in values if value is not None]


def _less(size: int | None, other: int | None) -> int | None:
    """Return by how much `size` exceeds `other`, at least 0; None if one is unknown."""
    return None if size is None or other is None else max(0, size - other)
