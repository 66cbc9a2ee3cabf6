"""Twenty simulated authors of claims about planted patches, some of them liars.

All authors work on the best known tree. Honest authors publish the true gain of a good patch there,
or a null patch that looked good in one lucky run. Liars publish invented figures, copies of others'
trees, and exaggerated gains. They also sign re-runs that confirm each other's claims.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from random import Random

from node.running.node import Node
from protocol.source import Source
from protocol.units import NANO
from tools.soak.grounds import Found, Ground
from tools.soak.history import Slot
from tools.soak.stage import Claimant, Said

AUTHORS = 20
_HONEST_GOOD = 0.4  # share of real gains among honest claims; the rest are luck
_LUCKY_SD = (0.8, 1.6)
_MADE_UP_SD = (3.0, 6.0)  # as in the simulation of the same crowd
_INFLATED = 3.0  # factor on the true gain
_WITNESSES = 3  # liars that confirm another liar's claim
_PATIENCE = 20  # slots after which an author replaces an untried claim


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A claim with the truth about it. `way` is honest, made_up, copied or inflated."""

    said: Said
    source: Source
    found: Found
    way: str
    at_slot: int

    @property
    def is_lie(self) -> bool:
        """True if a liar published it."""
        return self.way != "honest"

    @property
    def is_fabricated(self) -> bool:
        """True if a liar claims a gain and there is none."""
        return self.is_lie and not self.found.is_gain


@dataclass(slots=True)
class Author:
    """An author with a key, and its current claim if it has one."""

    claimant: Claimant
    is_liar: bool
    open: Published | None = None


@dataclass(slots=True)
class Crowd:
    """All authors. `published` has all their claims by the id of the patch record."""

    ground: Ground
    chance: Random
    authors: list[Author] = field(default_factory=list)
    published: dict[bytes, Published] = field(default_factory=dict)

    @classmethod
    def of(cls, ground: Ground, *, liars: int, order: str) -> "Crowd":
        """Return a crowd with `liars` liars. `order` is the random seed."""
        crowd = cls(ground=ground, chance=Random(order))
        for number in range(AUTHORS):
            claimant = Claimant(f"{order} {number}")
            crowd.authors.append(Author(claimant=claimant, is_liar=number < liars))
        crowd.chance.shuffle(crowd.authors)
        return crowd

    def go_on(self, node: Node, slots: Sequence[Slot]) -> None:
        """Let each author publish a new claim if its last was tried or waits for 20 slots."""
        tried = {self.published[slot.patch].said.tree for slot in slots}
        for author in self.authors:
            claim = author.open
            if claim is None or claim.said.tree in tried or len(slots) - claim.at_slot >= _PATIENCE:
                self._publish(node, author, tried, len(slots))

    def move_to(self, ground: Ground) -> None:
        """Let all authors work on another tree from now on and drop their current claims."""
        self.ground = ground
        for author in self.authors:
            author.open = None

    def _publish(self, node: Node, author: Author, tried: Collection[bytes], slots: int) -> None:
        way = self.chance.choice(("made_up", "copied", "inflated")) if author.is_liar else "honest"
        copied = self._to_copy(tried) if way == "copied" else None
        if copied is not None:
            found, source = copied.found, copied.source
            gain_sd = copied.said.gain_nano / NANO / self.ground.noise_sd * 1.1  # to rank above it
        else:
            if way == "copied" or (way == "inflated" and not self.ground.gains):
                way = "made_up"
            found, gain_sd = self._invented(way) if author.is_liar else self._found()
            source = variant(found.source, len(self.published))
        said = author.claimant.claim(
            node,
            source,
            round(gain_sd * self.ground.noise_sd * NANO),
            base=self.ground.head,
            base_nano=round(self.ground.gain_sd * self.ground.noise_sd * NANO),
        )
        author.open = Published(said=said, source=source, found=found, way=way, at_slot=slots)
        self.published[said.patch] = author.open
        if author.is_liar:
            others = [one for one in self.authors if one.is_liar and one is not author]
            for witness in self.chance.sample(others, _WITNESSES):
                witness.claimant.vouch(node, said)

    def _found(self) -> tuple[Found, float]:
        """Return an honest author's finding and the gain it claims: true, or unnoticed luck."""
        if self.ground.gains and self.chance.random() < _HONEST_GOOD:
            found = self.chance.choice(self.ground.gains)
            return found, found.gain_sd
        return self.ground.null, self.chance.uniform(*_LUCKY_SD)

    def _invented(self, way: str) -> tuple[Found, float]:
        """Return a liar's patch and the gain it claims: exaggerated, or invented."""
        if way == "inflated":
            found = self.chance.choice(self.ground.gains)
            return found, _INFLATED * found.gain_sd
        nothing = [self.ground.null, self.chance.choice(self.ground.bad or [self.ground.null])]
        return self.chance.choice(nothing), self.chance.uniform(*_MADE_UP_SD)

    def _to_copy(self, tried: Collection[bytes]) -> Published | None:
        """Return a random untried claim of an honest author, or None."""
        open_claims = [
            author.open
            for author in self.authors
            if author.open and not author.is_liar and author.open.said.tree not in tried
        ]
        return self.chance.choice(open_claims) if open_claims else None


def variant(source: Source, number: int) -> Source:
    """Return the source with an unread constant, so that it differs but runs the same.

    `without_idle` removes it again. The constant's place depends on `number`, so that several
    variants can be merged.
    """
    path, data = source.files[0]
    lines = data.decode().split("\n")
    # Possible places: before top-level statements that start a paragraph or define a constant.
    places = [
        at
        for at, line in enumerate(lines)
        if at
        and re.match(r"[A-Z_a-z]+ = |class |def |for |val_bpb", line)
        and not lines[at - 1].startswith("@")
    ]
    lines.insert(places[number * 7 % len(places)], f"IDLE_{number} = {number}")
    return source.replacing(path, "\n".join(lines).encode())
