"""Twenty authors of claims about planted patches, some of whom make them up; each has its way.

All of them work on the best tree there is. Honest ones publish what a good patch gains there, or a
null that one lucky run made look like something. Liars publish figures without runs, others' trees
as their own, and several times what is there; they sign that each other's claims held.
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
_HONEST_GOOD = 0.4  # of an honest author's claims; the rest were lucky
_LUCKY_SD = (0.8, 1.6)
_MADE_UP_SD = (3.0, 6.0)  # as in the simulation of the same crowd
_INFLATED = 3.0  # times what is there
_WITNESSES = 3  # liars that vouch for another's claim
_PATIENCE = 20  # slots after which somebody who was not heard publishes something else


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A claim and the truth about it: `way` is honest, made_up, copied or inflated."""

    said: Said
    source: Source
    found: Found
    way: str
    at_slot: int

    @property
    def is_lie(self) -> bool:
        """Whether a liar published it."""
        return self.way != "honest"

    @property
    def is_fabricated(self) -> bool:
        """Whether there is no gain at all where a liar claims one."""
        return self.is_lie and not self.found.is_gain


@dataclass(slots=True)
class Author:
    """Somebody with a key, and the claim that the node has not tried yet."""

    claimant: Claimant
    is_liar: bool
    open: Published | None = None


@dataclass(slots=True)
class Crowd:
    """All authors; `published` is everything they ever said, by the patch's record."""

    ground: Ground
    chance: Random
    authors: list[Author] = field(default_factory=list)
    published: dict[bytes, Published] = field(default_factory=dict)

    @classmethod
    def of(cls, ground: Ground, *, liars: int, order: str) -> "Crowd":
        """A crowd with so many liars; `order` decides what is drawn."""
        crowd = cls(ground=ground, chance=Random(order))
        for number in range(AUTHORS):
            claimant = Claimant(f"{order} {number}")
            crowd.authors.append(Author(claimant=claimant, is_liar=number < liars))
        crowd.chance.shuffle(crowd.authors)
        return crowd

    def go_on(self, node: Node, slots: Sequence[Slot]) -> None:
        """Let everybody whose claim was tried, or whom nobody hears, publish something new."""
        tried = {self.published[slot.patch].said.tree for slot in slots}
        for author in self.authors:
            claim = author.open
            if claim is None or claim.said.tree in tried or len(slots) - claim.at_slot >= _PATIENCE:
                self._publish(node, author, tried, len(slots))

    def move_to(self, ground: Ground) -> None:
        """Let everybody work on another tree from now on, and publish something for it."""
        self.ground = ground
        for author in self.authors:
            author.open = None

    def _publish(self, node: Node, author: Author, tried: Collection[bytes], slots: int) -> None:
        way = self.chance.choice(("made_up", "copied", "inflated")) if author.is_liar else "honest"
        copied = self._to_copy(tried) if way == "copied" else None
        if copied is not None:
            found, source = copied.found, copied.source
            gain_sd = copied.said.gain_nano / NANO / self.ground.noise_sd * 1.1  # to be above it
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
        """What an honest author has to show: the truth, or luck that it does not know of."""
        if self.ground.gains and self.chance.random() < _HONEST_GOOD:
            found = self.chance.choice(self.ground.gains)
            return found, found.gain_sd
        return self.ground.null, self.chance.uniform(*_LUCKY_SD)

    def _invented(self, way: str) -> tuple[Found, float]:
        """What a liar says: several times what there is, or a figure for nothing."""
        if way == "inflated":
            found = self.chance.choice(self.ground.gains)
            return found, _INFLATED * found.gain_sd
        nothing = [self.ground.null, self.chance.choice(self.ground.bad or [self.ground.null])]
        return self.chance.choice(nothing), self.chance.uniform(*_MADE_UP_SD)

    def _to_copy(self, tried: Collection[bytes]) -> Published | None:
        """An honest author's claim that nobody tried yet."""
        standing = [
            author.open
            for author in self.authors
            if author.open and not author.is_liar and author.open.said.tree not in tried
        ]
        return self.chance.choice(standing) if standing else None


def variant(source: Source, number: int) -> Source:
    """Return the source with a constant that nobody reads: new to look at, the same to run.

    `without_idle` takes it out again. Its place depends on the number, so that several can be
    merged.
    """
    path, data = source.files[0]
    lines = data.decode().split("\n")
    # Before statements at the top level that begin a paragraph or a constant.
    places = [
        at
        for at, line in enumerate(lines)
        if at
        and re.match(r"[A-Z_a-z]+ = |class |def |for |val_bpb", line)
        and not lines[at - 1].startswith("@")
    ]
    lines.insert(places[number * 7 % len(places)], f"IDLE_{number} = {number}")
    return source.replacing(path, "\n".join(lines).encode())
