"""Budgets and bans: by a clock that is passed in, and bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.home.addresses import PeerId
from node.network.peer_budgets import (
    Allowance,
    Banned,
    Buckets,
    BudgetVerdict,
    CostKind,
    PeerLimits,
)

PEER = PeerId("a")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def limits(clock: Clock, *, per_s: float = 1, burst: float = 3, peers: int = 10) -> PeerLimits:
    every = {kind: Allowance(per_s=per_s, burst=burst) for kind in CostKind}
    return PeerLimits(clock, every, peers=peers)


def test_a_burst_is_allowed_then_refused_then_dropped(clock: Clock) -> None:
    budget = limits(clock)
    verdicts = [budget.spend(PEER, CostKind.RECORDS) for _ in range(7)]
    allowed, refused, drop = BudgetVerdict.ALLOWED, BudgetVerdict.REFUSED, BudgetVerdict.DROP
    assert verdicts == [allowed] * 3 + [refused] * 2 + [drop] * 2


def test_a_budget_fills_with_time_up_to_its_burst(clock: Clock) -> None:
    budget = limits(clock)
    assert budget.spend(PEER, CostKind.BYTES, 3) is BudgetVerdict.ALLOWED
    clock.now = 1
    assert budget.spend(PEER, CostKind.BYTES, 1) is BudgetVerdict.ALLOWED
    assert budget.spend(PEER, CostKind.BYTES, 1) is BudgetVerdict.REFUSED
    clock.now = 1_000_000
    assert budget.spend(PEER, CostKind.BYTES, 3) is BudgetVerdict.ALLOWED
    assert budget.spend(PEER, CostKind.BYTES, 1) is BudgetVerdict.REFUSED


def test_peers_and_kinds_do_not_share(clock: Clock) -> None:
    budget = limits(clock)
    for kind in CostKind:
        for name in "ab":
            assert budget.spend(PeerId(name), kind, 3) is BudgetVerdict.ALLOWED


def test_one_who_was_dropped_is_let_in_again_after_twice_its_burst(clock: Clock) -> None:
    budget = limits(clock)
    assert budget.spend(PEER, CostKind.FAULTS, 1_000_000) is BudgetVerdict.DROP
    clock.now = 4
    assert budget.spend(PEER, CostKind.FAULTS, 1) is BudgetVerdict.ALLOWED


def test_a_clock_that_goes_back_gives_nothing(clock: Clock) -> None:
    budget = limits(clock)
    clock.now = 10
    assert budget.spend(PEER, CostKind.STREAMS, 3) is BudgetVerdict.ALLOWED
    clock.now = 5
    assert budget.spend(PEER, CostKind.STREAMS, 1) is BudgetVerdict.REFUSED


def test_the_longest_unseen_peer_is_forgotten_first(clock: Clock) -> None:
    budget = limits(clock, peers=2)
    for name in ("a", "b", "a", "c"):
        budget.spend(PeerId(name), CostKind.RECORDS, 2)
    assert budget.spend(PeerId("a"), CostKind.RECORDS, 0) is BudgetVerdict.REFUSED
    assert budget.spend(PeerId("b"), CostKind.RECORDS, 3) is BudgetVerdict.ALLOWED


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), max_size=50))
def test_never_more_is_allowed_than_burst_and_flow(steps: list[tuple[float, float]]) -> None:
    clock = Clock()
    budget = limits(clock, per_s=2, burst=5)
    allowed = 0.0
    for pause_s, amount in steps:
        clock.now += pause_s
        if budget.spend(PEER, CostKind.BYTES, amount) is BudgetVerdict.ALLOWED:
            allowed += amount
        assert allowed <= 5 + 2 * clock.now + 1e-6


def test_a_ban_ends_with_its_time(clock: Clock) -> None:
    banned = Banned(clock, for_s=10)
    banned.add(PEER)
    assert PEER in banned
    assert PeerId("b") not in banned
    clock.now = 10
    assert PEER not in banned
    assert list(banned) == []


def test_only_so_many_bans_are_remembered(clock: Clock) -> None:
    banned = Banned(clock, peers=2)
    for name in ("a", "b", "a", "c"):
        banned.add(PeerId(name))
    assert [PeerId(name) in banned for name in "abc"] == [True, False, True]


def test_who_keeps_the_pace_is_never_refused(clock: Clock) -> None:
    budget = limits(clock, per_s=2, burst=5)
    pacers = Buckets(clock, Allowance(per_s=2, burst=5))
    for _ in range(50):
        clock.now += pacers[PEER].wait_s()
        assert budget.spend(PEER, CostKind.STREAMS) is BudgetVerdict.ALLOWED
    assert clock.now == pytest.approx((50 - 5) / 2)


def test_each_peer_has_a_pace_of_its_own_and_the_longest_unasked_is_forgotten(
    clock: Clock,
) -> None:
    pacers = Buckets(clock, Allowance(per_s=1, burst=1), most=2)
    assert [pacers[PEER].wait_s(), pacers[PEER].wait_s()] == [0, 1]
    assert [pacers[PeerId(name)].wait_s() for name in ("b", "c")] == [0, 0]
    assert pacers[PEER].wait_s() == 0


def test_bans_that_last_can_be_reported(clock: Clock) -> None:
    banned = Banned(clock, for_s=10)
    banned.add(PEER)
    clock.now = 5
    banned.add(PeerId("b"))
    clock.now = 12
    assert list(banned) == ["b"]
