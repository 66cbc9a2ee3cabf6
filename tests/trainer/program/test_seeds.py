"""Seeds: those that anyone can compute, those that need a key, and those that reveal nothing."""

import hashlib
from itertools import product

import pytest

from protocol.runs import MAX_SEED
from trainer.program.seeds import PUBLIC, SECRET, WARM_UP, InstanceName, drawn, fixed

TASK = hashlib.sha256(b"a task").digest()
OTHER_TASK = hashlib.sha256(b"another task").digest()
KEY, OTHER_KEY = bytes(range(32)), bytes(32)


def name(
    task: bytes = TASK, seed: int = 5, split: str = PUBLIC, index: int = 0, key: bytes = KEY
) -> InstanceName:
    return drawn(task, seed, split=split, index=index, key=key)


def test_public_instances_follow_from_task_seed_and_number_alone() -> None:
    assert name() == name(key=OTHER_KEY)
    others = {name(OTHER_TASK).seed, name(seed=6).seed, name(index=1).seed}
    others |= {name(split=WARM_UP).seed, name(split=SECRET).seed}
    assert len(others | {name().seed}) == 6


def test_secret_instances_hang_on_the_key() -> None:
    assert name(split=SECRET) == name(split=SECRET)
    keys = {name(split=SECRET, key=key).seed for key in (KEY, OTHER_KEY, KEY[::-1], TASK)}
    others = {name(OTHER_TASK, split=SECRET).seed, name(seed=6, split=SECRET).seed}
    others.add(name(split=SECRET, index=1).seed)
    assert len(keys | others) == 7


def test_a_fixed_instance_never_changes_and_is_no_drawn_one() -> None:
    assert fixed(TASK, "n=26", 0) == fixed(TASK, "n=26", 0)
    assert fixed(TASK, "n=26", 0).split == "n=26"
    seeds = {fixed(TASK, "n=26", 0).seed, fixed(TASK, "n=32", 1).seed}
    seeds |= {fixed(OTHER_TASK, "n=26", 0).seed, fixed(TASK, PUBLIC, 0).seed, name().seed}
    assert len(seeds) == 5


@pytest.mark.parametrize("seed", [0, 1, MAX_SEED])
def test_every_seed_of_a_run_has_instances(seed: int) -> None:
    for split in (PUBLIC, SECRET):
        assert len(name(seed=seed, split=split).seed) == 32
        assert 0 <= name(seed=seed, split=split).candidate_seed <= MAX_SEED


def test_a_candidates_seed_leads_to_no_instance() -> None:
    """It has 31 bits of a digest, while an instance follows from 256."""
    met = name(split=SECRET)
    reported = met.candidate_seed
    width = 32
    guesses = {reported.to_bytes(width, "big"), reported.to_bytes(width, "little")}
    guesses |= {hashlib.sha256(reported.to_bytes(size, "big")).digest() for size in (4, 8, width)}
    guesses |= {hashlib.sha256(str(reported).encode()).digest()}
    guesses |= {
        name(seed=seed, split=split, key=key).seed
        for seed, split, key in product((reported, 5), (PUBLIC, SECRET, WARM_UP), (b"", bytes(32)))
    }
    assert met.seed not in guesses


def test_who_tries_all_seeds_of_runs_finds_public_instances_alone() -> None:
    """All values of 31 bits can be tried, so everything that follows from them counts as known."""

    def matches(expected: int, split: str, key: bytes) -> list[int]:
        return [
            seed
            for seed in range(3000)
            if name(seed=seed, split=split, key=key).candidate_seed == expected
        ]

    assert matches(name(seed=2024).candidate_seed, PUBLIC, b"") == [2024]
    assert matches(name(seed=2024, split=SECRET).candidate_seed, SECRET, KEY) == [2024]
    secret = name(seed=2024, split=SECRET).candidate_seed
    for split, key in product((PUBLIC, SECRET), (b"", bytes(32), TASK)):
        assert 2024 not in matches(secret, split, key)


def test_instances_of_a_run_have_candidate_seeds_of_their_own() -> None:
    seeds = {
        name(split=split, index=index).candidate_seed
        for split, index in product((PUBLIC, SECRET), range(32))
    }
    assert len(seeds) == 64
