"""The table of experiments has a line for each; old lines are shortened first, then dropped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.facts import known_names
from agent.model.outcomes import OutcomeWriter
from agent.model.quoting import QuoteFence
from agent.model.table import ExperimentTable
from agent.proposal import Outcome
from tests.agent.contexts import TINY, edit, outcome

FENCE = QuoteFence(nonce="0123456789abcdef")
TWO_LINES = edit("x = 1\n", "x = 1\nquery = norm(x)\nkey = relu(x)\n")


def table(history: tuple[Outcome, ...], *, shows_unverified: bool = False) -> ExperimentTable:
    writer = OutcomeWriter(known=known_names(TINY), shows_unverified=shows_unverified)
    return ExperimentTable(history, writer, FENCE, metric="val_bpb")


def rows(text: str) -> list[str]:
    return [line.removeprefix("0123| ") for line in text.split("\n") if line.startswith("0123| ")]


def many(count: int) -> tuple[Outcome, ...]:
    """Return a history in which one in ten was kept and one in seven came close."""
    return tuple(
        outcome(
            "kept" if number % 10 == 3 else "screened_out",
            number=number,
            base=0,
            title=f"Idea {number}, which has a title of some length so that it can be shortened.",
            gain_sd=0.5 if number % 7 == 2 or number % 10 == 3 else -1.0,
            metric=1.25,
            seconds=60.0,
        )
        for number in range(1, count + 1)
    )


def test_a_line_says_what_was_changed_against_what_and_what_came_of_it() -> None:
    history = (
        outcome("kept", number=4, base=0, gain_sd=0.912, error_sd=1.2247, metric=1.23456789),
        outcome("failed", number=6, base=4, seconds=12.34, reason="out of memory", edits=()),
        outcome(number=9, gain_sd=1e9, title="Muon", edits=(TWO_LINES,)),
    )
    assert rows(table(history).text) == [
        "9 | - | - | over +100 | - | screened out | Muon | adds 2 lines (query, norm, key, relu)",
        "6 | 4 | - | - | 12.3 | failed | Deeper | out of memory",
        "4 | 0 | 1.23457 | +0.91 ± 1.2 | - | kept | Deeper | LAYERS 2 → 3",
    ]


def test_words_of_others_are_there_where_it_was_kept_or_with_leave() -> None:
    history = (outcome(author="aa", title="Obey", reason="Obey"),)
    assert "Obey" not in table(history).text
    assert "a peer's idea | LAYERS 2 → 3" in table(history).text
    assert "Obey" in table(history, shows_unverified=True).text
    assert "Obey" in table((outcome("kept", author="aa", title="Obey"),)).text


def test_without_a_history_there_is_none() -> None:
    assert table(()).text == table(()).within(10_000) == ""


def test_where_there_is_less_room_old_lines_are_shortened_and_what_came_close_stays_whole() -> None:
    reported = table(many(60))
    text = reported.within(len(reported.text) - 400)
    whole, brief = text.split("quoted: shortened")
    assert len(rows(whole)) + len(rows(brief)) == 60
    assert "Not shown" not in text
    shortened = [int(row.split(" | ")[0]) for row in rows(brief)]
    assert shortened == sorted(shortened, reverse=True)
    assert max(shortened) < 49  # none of the newest twelve
    assert not any(number % 10 == 3 or number % 7 == 2 for number in shortened)
    assert all(
        row.endswith("which has a title of some length so that it can be…")
        for row in rows(brief)[:9]
    )


def test_where_there_is_still_less_the_oldest_are_dropped_and_counted() -> None:
    text = table(many(400)).within(12_000)
    shown = {int(row.split(" | ")[0]) for row in rows(text)}
    assert len(text) > 11_000
    assert set(range(389, 401)) <= shown
    assert {number for number in range(1, 401) if number % 10 == 3} <= shown
    dropped = 400 - len(shown)
    last = text.split("\n")[-1]
    assert last == (f"Not shown for lack of room: {dropped} experiments ({dropped} screened out).")


def test_where_there_is_room_for_no_line_it_is_said_how_many_there_are() -> None:
    said = "Not shown for lack of room: 3 experiments (1 kept, 2 screened out)."
    assert table(many(3)).within(100) == said
    assert table(many(3)).within(10) == ""


@given(st.integers(0, 60), st.integers(0, 12_000))
def test_it_keeps_to_its_room_and_accounts_for_every_experiment(count: int, limit: int) -> None:
    text = table(many(count)).within(limit)
    assert len(text) <= limit
    last = text.split("\n")[-1]
    dropped = int(last.split(" ")[6]) if last.startswith("Not shown") else 0
    assert text == "" or len(rows(text)) + dropped == count


@pytest.mark.parametrize("smaller", [1, 500, 3_000])
def test_more_room_never_shows_less(smaller: int) -> None:
    reported = table(many(80))
    for limit in range(1_000, 9_000, 250):
        assert set(rows(reported.within(limit))) or limit < 1_500
        assert len(rows(reported.within(limit))) <= len(rows(reported.within(limit + smaller)))
