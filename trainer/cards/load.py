"""Whose load a card's readings tell of, what is usual of it, and what a stretch of them comes to.

Pure. A run is contended when others do more on the card than they usually do while it rests:

- over `NOTICEABLE` more of its time, on average over the run, where the driver tells who uses it;
- over `HELD_BYTES` more of its memory, likewise, of whomever it does not tell the time of (slices,
  WSL2, other containers): a desktop's windows stay below that, games and miners do not. Memory that
  is held and not used takes nothing from a run, so elsewhere it counts as room only.

It is throttled when it was slowed down for `THROTTLED_SHARE` of its looks by heat, a power brake or
other hardware. A cap of power by software is how every busy card runs and is none.
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
USUAL_AT_MOST: Final = 0.2  # a card that others use more than that does not rest
THROTTLED_SHARE: Final = 0.05
THROTTLED_LOOKS: Final = 3  # hardware slowdown is also told of while clocks change
SLOWER: Final = 0.8  # than it began, where the driver does not tell of slowdowns
FIRST_LOOKS: Final = 10  # what a run began with
BUSY: Final = 0.5
GROUP: Final = 5  # looks that are judged together, whether they are usual
_KEPT_GROUPS: Final = 12

# Whether sandboxes of ours may be on the card: none, one that has just ended and may not be gone
# from the driver's figures, or one.
State: TypeAlias = Literal["quiet", "leaving", "ours"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A reading taken apart. None is what cannot be told.

    `others_share`: of the card's time; `others_bytes`: all that is not ours, the driver's own too;
    `hidden_bytes`: what no listed process holds; `own_bytes`: our sandboxes'.
    """

    reading: Reading
    state: State
    others_share: float | None
    others_bytes: int | None
    hidden_bytes: int | None
    own_bytes: int | None


class _Roster:
    """Tells others from us in what the driver lists by process.

    In containers it may list processes by the numbers that they have outside. Until one of ours was
    seen, as many strangers as we have sandboxes may therefore be ourselves: the largest of those
    that were not there without us.
    """

    def __init__(self) -> None:
        self._is_sighted = False
        self._residents: set[int] = set()

    def others(
        self, listed: Mapping[int, N | None], own: Sequence[Collection[int]], state: State
    ) -> dict[int, N | None] | None:
        """Return the part of a list that is not ours, None if that cannot be told."""
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
    """Takes readings apart, and learns meanwhile how this card's driver lists us."""

    def __init__(self) -> None:
        self._by_memory, self._by_time = _Roster(), _Roster()

    def sample(self, reading: Reading, own: Sequence[Collection[int]], state: State) -> Sample:
        """Take a reading apart; `own`: the processes of each sandbox that is or was just there."""
        shares = reading.shares
        others = None if shares is None else self._by_time.others(shares, own, state)
        share = None if others is None else sum(one or 0.0 for one in others.values())
        if state == "quiet" and (share, reading.busy) != (None, None):
            share = max(share or 0.0, reading.busy or 0.0)  # also of whoever is not listed
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
        """Return what others, what nobody listed and what our sandboxes hold."""
        used, held = reading.used_bytes, reading.held
        others = None if held is None else self._by_memory.others(held, own, state)
        if state == "leaving":  # what a process held is freed after its end
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
    """What others do on a card that rests; bytes are None while nothing was seen of them."""

    share: float = 0.0
    others_bytes: int | None = None
    hidden_bytes: int | None = None

    @classmethod
    def of(cls, samples: Iterable[Sample]) -> "Usual":
        """Return what some quiet samples come to: the mean time, the most memory."""
        samples = list(samples)
        shares = [min(USUAL_AT_MOST, share) for share in _told(s.others_share for s in samples)]
        return cls(
            share=fmean(shares) if shares else 0.0,
            others_bytes=max(_told(s.others_bytes for s in samples), default=None),
            hidden_bytes=max(_told(s.hidden_bytes for s in samples), default=None),
        )


class RestingCard:
    """What is usual of a card, from looks at it while nothing of ours is on it.

    The first are taken as they come; later ones if they are not contended by its measure, so that
    it follows a desktop and not a game.
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
    """What a card did during a run. Figures of ours are over the looks at which we were on it.

    `others_share` is a mean, `others_bytes` and the peaks are the most that was seen.
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
        """The flags that a run's record carries."""
        marks = ((CONTENDED, self.is_contended), (THROTTLED, self.is_throttled))
        return tuple(flag for flag, is_set in marks if is_set)


def report(samples: Sequence[Sample], usual: Usual) -> CardReport:
    """Sum up the looks at a card during one run."""
    ours = [sample for sample in samples if sample.state == "ours"]
    readings = [sample.reading for sample in ours]
    slowed = _slowed(readings)
    throttled_share = fmean(slowed) if slowed else None
    shares = _told(sample.others_share for sample in samples)
    peak = max(_told(reading.used_bytes for reading in readings), default=None)
    own = max(_told(sample.own_bytes for sample in ours), default=None)
    return CardReport(
        is_contended=is_contended(samples, usual),
        is_throttled=sum(slowed) >= max(THROTTLED_LOOKS, THROTTLED_SHARE * len(slowed)),
        others_share=fmean(shares) if shares else None,
        others_bytes=max(_told(sample.others_bytes for sample in samples), default=None),
        throttled_share=throttled_share,
        peak_own_bytes=_less(peak, usual.others_bytes) if own is None else own,
        peak_bytes=peak,
    )


def is_contended(samples: Iterable[Sample], usual: Usual) -> bool:
    """Whether others did noticeably more than is usual, over these samples."""
    samples = list(samples)
    shares = _told(sample.others_share for sample in samples)
    if shares and fmean(shares) > usual.share + NOTICEABLE:
        return True
    grown = _told(
        _less(sample.others_bytes, usual.others_bytes)
        if sample.others_share is None
        else _less(sample.hidden_bytes, usual.hidden_bytes)
        for sample in samples
    )
    return bool(grown) and fmean(grown) > HELD_BYTES


def _slowed(readings: Sequence[Reading]) -> list[bool]:
    """Return, look by look, whether the card was slowed down; empty if that is not told.

    Where the driver gives no reasons, a clock that falls while the card is busy is one.
    """
    if slowed := _told(reading.is_slowed for reading in readings):
        return slowed
    busy = [reading for reading in readings if (reading.busy or 0.0) >= BUSY]
    clocks = _told(reading.sm_mhz for reading in busy)
    if len(clocks) <= FIRST_LOOKS:
        return []
    began = fmean(clocks[:FIRST_LOOKS])
    return [clock < SLOWER * began for clock in clocks]


def _told(values: Iterable[T | None]) -> list[T]:
    return [value for value in values if value is not None]


def _less(size: int | None, other: int | None) -> int | None:
    """Return by how much `size` is the larger, None where one is not told."""
    return None if size is None or other is None else max(0, size - other)
