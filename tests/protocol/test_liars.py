"""A set of records in which three of ten authors lie, and each column of its leaderboard.

Honest authors measure small true gains, re-run each other's claims and publish their results. Liars
invent large gains with steady runs, and confirm each other with any number of keys.
docs/leaderboards.md describes to a newcomer what this test shows.
"""

import hashlib
import random
from dataclasses import dataclass
from functools import cache

from protocol.board import Board, Row, board_of
from protocol.evidence import Evidence
from protocol.keys import SigningKey
from protocol.records import Record
from protocol.rerun import RerunVerdict
from protocol.rule import Policy, judge
from protocol.statistics import NoiseEstimate, PairedEvidence
from protocol.units import NANO
from tests.protocol.examples import MANIFEST
from tests.protocol.worlds import CLASS, World, confirm, rerun, retract

HONEST, LIARS, SYBILS = 14, 6, 20
SD = MANIFEST.noise_floor_nano
PAIRS = 6
CLAIMED = NANO // 6  # a gain that the task calls plausible
RE_RUNS = 4  # honest re-runs of each claim that honest nodes checked


def keys(name: str, count: int) -> list[SigningKey]:
    return [
        SigningKey.from_seed(hashlib.sha256(f"{name} {number}".encode()).digest())
        for number in range(count)
    ]


@dataclass(frozen=True)
class Set:
    """Records, and the trees with lies."""

    world: World
    lies: frozenset[bytes]
    worths: dict[bytes, int]


def measured(chance: random.Random, gain: int) -> list[int]:
    """Return pairs' measured gains if the true gain is this."""
    return [round(gain + chance.gauss(0, SD) - chance.gauss(0, SD)) for _ in range(PAIRS)]


@cache
def record_set() -> Set:
    chance, world = random.Random(7), World()
    honest, liars, sybils = keys("honest", HONEST), keys("liar", LIARS), keys("sybil", SYBILS)
    worths: dict[bytes, int] = {}
    for number, key in enumerate(honest):
        tree = hashlib.sha256(b"honest %d" % number).digest()
        worths[tree] = (2 + number % 4) * SD
        gains = measured(chance, worths[tree])
        claim = world.say(key, confirm(tree, gains)).id
        for other in chance.sample([one for one in honest if one is not key], RE_RUNS):
            found = measured(chance, worths[tree])
            world.say(other, rerun(other, tree, found, verdict(found), target=claim))
    lies = [hashlib.sha256(b"lie %d" % number).digest() for number in range(LIARS)]
    for key, tree in zip(liars, lies, strict=True):
        gains = [CLAIMED + step for step in range(PAIRS)]  # invented, and steadier than any machine
        claim = world.say(key, confirm(tree, gains)).id
        for friend in [*liars, *sybils]:
            world.say(friend, rerun(friend, tree, gains, "confirmed", target=claim))
        for other in chance.sample(honest, RE_RUNS):
            found = measured(chance, 0)
            world.say(other, rerun(other, tree, found, "refuted", target=claim))
    return Set(world, frozenset(lies), worths)


def verdict(found: list[int]) -> RerunVerdict:
    """Return an honest node's verdict on an honest claim after such pairs."""
    shown = Evidence.of([(gain, 0) for gain in found], SD)
    return "confirmed" if shown.is_above(0) else "unconfirmed"


def board() -> Board:
    return board_of(record_set().world.records, MANIFEST, CLASS)


def parted() -> tuple[list[Row], list[Row]]:
    """Return the rows that are lies, and the others."""
    rows, lies = board().rows, record_set().lies
    return [row for row in rows if row.tree in lies], [row for row in rows if row.tree not in lies]


def test_claimed_lies_stand_first() -> None:
    """A claim only proves a signature: the six lies are the first six rows."""
    lies, honest = parted()
    assert [row.tree in record_set().lies for row in board().rows[:LIARS]] == [True] * LIARS
    assert {row.rank for row in lies} == {1}
    assert all(row.rank is not None and row.rank > LIARS for row in honest)
    assert all(row.flags == () for row in lies), "nothing about them is implausible by itself"


def test_others_count_keys_and_liars_have_as_many_as_they_like() -> None:
    """Each lie has 25 keys for it; no honest gain has more than four."""
    lies, honest = parted()
    assert {row.confirmed for row in lies} == {LIARS - 1 + SYBILS}
    assert max(row.confirmed for row in honest) <= RE_RUNS
    # Honest nodes that re-ran the lies publish their results, which expose them to any reader.
    assert {row.refuted for row in lies} == {RE_RUNS}
    assert {row.refuted for row in honest} == {0}
    assert sum(row.confirmed for row in honest) >= len(honest)


def test_their_own_words_for_themselves_do_not_count() -> None:
    lies, _ = parted()
    alone = board_of([record_set().world.records[0], *by(keys("liar", 1)[0])], MANIFEST, CLASS)
    (own,) = (row for row in alone.rows if row.tree in record_set().lies)
    assert own.confirmed == 0
    assert all(row.author != key.public for row in lies for key in keys("sybil", SYBILS))


def by(key: SigningKey) -> list[Record]:
    return [one for one in record_set().world.records if one.author == key.public]


RERUN_AUTHORS, LOOSE = (
    300,
    Policy(alpha=0.5, max_pairs=16, futility_probability=0.1, futility_sd=0.5),
)


def test_who_confirms_at_one_half_is_not_counted_but_shown() -> None:
    """A verdict at an alpha of 0.5 confirms every sixth null; its own runs do not support it."""
    chance, world = random.Random(11), World()
    claimant, *rerun_authors = keys("loose", RERUN_AUTHORS + 1)
    tree = hashlib.sha256(b"null").digest()
    claim = world.say(claimant, confirm(tree, [2 * SD] * PAIRS)).id
    for key in rerun_authors:
        found, said = verdict_at_one_half(chance)
        world.say(key, rerun(key, tree, found, said, target=claim))
    (row,) = board_of(world.records, MANIFEST, CLASS).rows
    assert row.unsupported + row.confirmed >= 0.1 * RERUN_AUTHORS, "so many signed it"
    assert row.confirmed <= 0.02 * RERUN_AUTHORS


def verdict_at_one_half(chance: random.Random) -> tuple[list[int], RerunVerdict]:
    """Return the pairs and the verdict of a re-run of a null with a weak criterion."""
    noise = NoiseEstimate(sum(chance.gauss(0, SD) ** 2 for _ in range(20)), 20.0)
    found: list[int] = []
    while True:
        found.append(round(chance.gauss(0, SD) - chance.gauss(0, SD)))
        # The base is the same in all pairs, as `rerun` writes them, so all of the spread is here.
        evidence = PairedEvidence(noise, (0.0,) * len(found), tuple(-float(gain) for gain in found))
        if (said := judge(evidence, LOOSE).verdict) is not None:
            return found, said


def test_honest_bounds_hold_what_they_say() -> None:
    """No honest row claims, as its bound, more than the true gain."""
    _, honest = parted()
    for row in honest:
        assert row.gain_anchor_lower_nano is not None
        assert row.gain_anchor_lower_nano <= record_set().worths[row.tree]


def test_a_liar_that_equivocates_or_revokes_is_gone_with_its_words() -> None:
    world = World(list(record_set().world.records))
    liar = keys("liar", 1)[0]
    world.say(liar, retract(None))
    rows = board_of(world.records, MANIFEST, CLASS).rows
    lies = [row for row in rows if row.tree in record_set().lies]
    assert len(lies) == LIARS - 1
    assert {row.confirmed for row in lies} == {LIARS - 2 + SYBILS}


def test_all_see_the_same_lies() -> None:
    records = list(record_set().world.records)
    random.Random(1).shuffle(records)
    assert board_of(records, MANIFEST, CLASS) == board()
