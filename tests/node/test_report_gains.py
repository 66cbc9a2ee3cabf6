"""Origins of verified gains: measured where a stack has one, divided where it has several."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.line.catch_up import CatchUpStep
from node.line.head_recheck import HeadRecheckStep
from node.line.promotion_trial import PromotionTrial
from node.line.trial import Measured
from node.reporting.concluded import UNKNOWN, ConcludedIdea, ConcludedTrial, Spend, StackedPatch
from node.reporting.origin_gains import OriginGains, gains_by_origin, verified_nano
from node.store.experiments import ABLATION
from protocol.record_kinds import Origin
from tests.node.examples import ENTRY

SEARCH = Origin(proposer="search")
SMALL, LARGE = (Origin(proposer="llm", model=name, program=bytes(32)) for name in ("s", "l"))
HOUR_MS = 3_600_000


def stack(
    *origins: Origin, gain_nano: int = 6_000_000, device_ms: int = 0, passed: bool = True
) -> ConcludedTrial:
    """A judged stack with parts of these origins."""
    return ConcludedTrial(
        entry=replace(ENTRY, stage="confirm"),
        kind=PromotionTrial,
        verdict="confirmed" if passed else "unconfirmed",
        stands=passed,
        measured=Measured(
            record=bytes(32), pairs=4, gain_nano=gain_nano, lower_nano=0, upper_nano=2 * gain_nano
        ),
        parts=tuple(StackedPatch(title="", origin=origin, authors=()) for origin in origins),
        author=None,
        note="",
        device_ms=device_ms,
    )


def idea(
    origin: Origin, *, kept: bool = False, device_ms: int = 0, usd_nano: int = 0
) -> ConcludedIdea:
    return ConcludedIdea(
        entry=replace(ENTRY, stage="screen", decision="kept" if kept else "discarded"),
        decision="",
        gain_sd=None,
        reason="",
        origin=origin,
        authors=(),
        claims=(),
        claimed_sd=None,
        device_ms=device_ms,
        spend=Spend(tokens=10, usd_nano=usd_nano),
        fate=None,
    )


def rows(
    *confirmations: ConcludedTrial, ideas: tuple[ConcludedIdea, ...] = ()
) -> dict[Origin, OriginGains]:
    return {row.origin: row for row in gains_by_origin(ideas, confirmations)}


def test_a_stack_of_one_origin_is_measured_for_that_origin() -> None:
    (row,) = rows(stack(SMALL, SMALL)).values()
    assert (row.origin, row.alone_nano, row.shared_nano) == (SMALL, 6_000_000, 0)


def test_a_mixed_stack_is_shared_out_in_equal_parts_and_stands_apart() -> None:
    found = rows(stack(SEARCH, SMALL, SEARCH))
    assert (found[SEARCH].alone_nano, found[SEARCH].shared_nano) == (0, 4_000_000)
    assert (found[SMALL].alone_nano, found[SMALL].shared_nano) == (0, 2_000_000)


def test_another_model_or_program_is_another_origin() -> None:
    assert set(rows(stack(SMALL), stack(LARGE), stack(replace(SMALL, program=None)))) == {
        SMALL,
        LARGE,
        replace(SMALL, program=None),
    }


def test_a_part_that_only_simplifies_has_no_share() -> None:
    (row,) = rows(stack(SEARCH, Origin(proposer=ABLATION))).values()
    assert (row.origin, row.alone_nano) == (SEARCH, 6_000_000)


def test_what_missed_or_was_taken_back_gains_nothing_and_still_costs() -> None:
    for one in (
        stack(SEARCH, passed=False, device_ms=100),
        replace(stack(SEARCH, device_ms=100), stands=False),
    ):
        assert verified_nano([one]) == 0
        (row,) = rows(one).values()
        assert (row.alone_nano, row.device_ms) == (0, 100)


def test_a_head_that_is_measured_again_gains_nothing_new() -> None:
    again = replace(stack(device_ms=100), kind=HeadRecheckStep)
    assert verified_nano([stack(SEARCH), again]) == 6_000_000
    assert set(rows(again)) == set()


def test_a_peers_tree_is_an_origin_of_its_own() -> None:
    (row,) = rows(replace(stack(device_ms=100), kind=CatchUpStep)).values()
    assert (row.origin.proposer, row.alone_nano, row.device_ms) == ("catch-up", 6_000_000, 100)
    assert (row.tried, row.kept) == (1, 1)


def test_a_stack_whose_parts_nobody_knows_is_nobodys() -> None:
    assert set(rows(stack())) == {UNKNOWN}


def test_ideas_are_counted_with_what_they_took() -> None:
    ideas = (
        idea(SMALL, kept=True, device_ms=HOUR_MS, usd_nano=3 * 10**9),
        idea(SMALL, device_ms=HOUR_MS, usd_nano=10**9),
        idea(SEARCH, device_ms=HOUR_MS),
    )
    found = rows(stack(SMALL, gain_nano=8_000_000, device_ms=2 * HOUR_MS), ideas=ideas)
    row = found[SMALL]
    assert (row.tried, row.kept, row.device_ms) == (2, 1, 4 * HOUR_MS)
    assert row.spend == Spend(tokens=20, usd_nano=4 * 10**9)
    assert row.per_device_hour == pytest.approx(0.002)
    assert row.per_usd == pytest.approx(0.002)
    assert (found[SEARCH].per_device_hour, found[SEARCH].per_usd) == (0.0, None)


ORIGINS = st.sampled_from([SEARCH, SMALL, LARGE])
STACKS = st.builds(
    lambda origins, gain_nano, device_ms, passed: stack(
        *origins, gain_nano=gain_nano, device_ms=device_ms, passed=passed
    ),
    st.lists(ORIGINS, max_size=9),
    st.integers(-(10**9), 10**9),
    st.integers(0, 10**9),
    st.booleans(),
)


@given(st.lists(STACKS, max_size=6))
def test_nothing_is_lost_or_made_up_by_sharing_out(stacks: list[ConcludedTrial]) -> None:
    found = gains_by_origin((), stacks)
    assert sum(row.alone_nano + row.shared_nano for row in found) == verified_nano(stacks)
    assert sum(row.device_ms for row in found) == sum(one.device_ms for one in stacks)
    gains = [row.alone_nano + row.shared_nano for row in found]
    assert gains == sorted(gains, reverse=True)
