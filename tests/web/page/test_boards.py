"""Leaderboards: groups of equals, three kinds of evidence, and *Verify here*."""

from typing import Any

import pytest

from tests.node.examples import HARDWARE_CLASS
from tests.web.page.boards import board_row
from tests.web.page.full_store import HOSTILE, Full
from tests.web.page.served import ServedHome
from tests.web.page.test_parts import broken_rules
from tests.web.page.visitor import Visitor

COST = {"pairs": 7.5, "most_pairs": 20, "time": "about 8 min, at most 22 min"}
QUICK = {"pairs": 4, "most_pairs": 4, "time": "at most 4 min"}
HERE = {"verdict": "smaller", "gain": 0.03, "lower": 0.01, "upper": 0.05, "pairs": 8}
LOOKS = [
    pytest.param(width, scheme, marks=[pytest.mark.soak] * (scheme == "dark" and width != 390))
    for width in (390, 1024, 1440)
    for scheme in ("light", "dark")
]


def rows() -> list[dict[str, Any]]:
    """Three equals, one of them re-run by others, and one row beyond the scale."""
    made = [board_row(number) for number in range(4)]
    for number, row in enumerate(made):
        row |= {"gain_anchor": 0.06 - number / 100, "gain_anchor_lower": 0.02 - number / 200}
        row |= {"rank": 1, "rank_last": 3, "tie": True} if number < 3 else {"gain_anchor": 9.0}
    made[0]["others"] |= {"confirmed": 1, "gain_anchor": 0.04, "gain_anchor_lower": 0.015}
    made[0]["here"] = {
        **HERE,
        "gain_anchor": 0.03,
        "gain_anchor_lower": 0.01,
        "recheck_pending": False,
    }
    return made


@pytest.fixture(name="board")
def _board(visitor: Visitor, full: Full) -> str:
    """Answer for a small leaderboard; return its route."""
    task = {"id": full.task, "name": HOSTILE[1]}
    answer = {"v": 1, "network": "main", "task": task, "class": HARDWARE_CLASS}
    answer |= {"network_version": 2, "set_digest": "0" * 64, "board_digest": "0" * 64}
    answer |= {"rows": rows(), "imported": [], "total": 4, "offset": 0, "open_reruns": {}}
    answer |= {
        "why_unranked": None,
        "noise": 0.01,
        "scale": [0.0, 0.08],
        "verify": COST,
        "verify_quick": QUICK,
    }
    empty = {**answer, "rows": [], "total": 0}

    def reply(route: Any) -> None:
        is_empty = "level=others" in route.request.url
        route.fulfill(json=empty if is_empty else answer)

    visitor.page.route("**/api/v1/boards/**", reply)
    return f"boards/{full.task}/{HARDWARE_CLASS}"


def test_equals_share_a_range_of_ranks(visitor: Visitor, board: str) -> None:
    visitor.go(board)
    visitor.page.wait_for_selector(".body .rank")
    shown = visitor.page.locator(".body .rank").all_inner_texts()
    assert shown == ["1–3", "1–3", "1–3", "4"]


def test_bars_of_all_kinds_have_one_scale_and_say_their_figures(
    visitor: Visitor, board: str
) -> None:
    visitor.go(board)
    bars = visitor.page.locator(".body .gain-bar")
    assert bars.evaluate_all("all => all.map((one) => one.getAttribute('aria-label'))")[:3] == [
        "claimed: gain +0.060 (+6.0 sd), at least +0.020",
        "others: gain +0.040 (+4.0 sd), at least +0.015",
        "here: gain +0.030 (+3.0 sd), at least +0.010",
    ]
    widths = bars.locator("rect.interval").evaluate_all(
        "all => all.map((one) => +one.getAttribute('width'))"
    )
    assert widths[0] / widths[1] == pytest.approx(0.04 / 0.025)
    beyond = visitor.page.locator(".body .row").nth(3).locator(".claimed")
    assert beyond.locator("path.interval").count() == 1
    assert beyond.locator("rect.gain").count() == 0


@pytest.mark.parametrize(
    ("verdicts", "here", "words"),
    [
        ({"refuted": 2}, None, "refuted by 2 keys"),
        ({"refuted": 1, "confirmed": 1}, None, None),
        ({}, "refuted", "refuted here"),
        ({"refuted": 1}, "confirmed", None),
    ],
)
def test_a_refuted_claim_is_marked_though_it_ranks_first(
    visitor: Visitor, board: str, verdicts: dict[str, int], here: str | None, words: str | None
) -> None:
    def answer(route: Any) -> None:
        row = board_row(0)
        row["others"] |= verdicts
        more = {"gain_anchor": None, "gain_anchor_lower": None, "recheck_pending": False}
        row["here"] = {**HERE, **more, "verdict": here} if here else None
        task = {"id": "0" * 64, "name": "tiny"}
        reported = {"network": "main", "task": task, "class": HARDWARE_CLASS, "rows": [row]}
        reported |= {"network_version": None, "imported": [], "total": 1, "open_reruns": {}}
        reported |= {"noise": 0.01, "scale": [0, 1], "verify": COST, "verify_quick": QUICK}
        reason = "self-scored: the candidate reports its own number, so it is not ranked"
        route.fulfill(json={**reported, "why_unranked": reason})

    visitor.page.route("**/api/v1/boards/**", answer)
    visitor.go(board)
    marks = visitor.page.locator(".body .title .badge").all_inner_texts()
    assert marks == ([] if words is None else [words])
    assert visitor.page.locator(".body .rank s").count() == len(marks)
    assert "This task is self-scored" in visitor.text(".unranked")
    list_height = visitor.page.locator(".scroller").bounding_box()["height"]
    row_height = visitor.page.locator(".body .row").bounding_box()["height"]
    assert list_height < 2 * row_height


def test_a_leaderboard_that_cannot_be_read_is_tried_again(visitor: Visitor, board: str) -> None:
    visitor.page.route("**/api/v1/boards/**", lambda route: route.abort())
    visitor.page.evaluate("path => { location.hash = `#/${path}`; }", board)
    again = visitor.page.get_by_role("button", name="Try again")
    again.wait_for()
    visitor.no_longer_pretend()
    again.click()
    visitor.page.wait_for_selector(".scroller:visible, .empty:visible")


def test_a_level_without_rows_says_how_to_fill_it(visitor: Visitor, board: str) -> None:
    visitor.go(f"{board}?level=others")
    assert "No other key found a gain yet" in visitor.text(".empty")
    assert visitor.text(".empty code") == "arnode verify ID"


def test_a_row_is_verified_after_its_cost_was_confirmed(
    visitor: Visitor, served: ServedHome, board: str
) -> None:
    job: dict[str, Any] = dict.fromkeys(("gain", "lower", "upper", "reason", "rerun", "verdict"))
    job |= {"job": 1, "state": "open", "target": board_row(1)["result"], "author": "0" * 64}
    job |= {"pairs": [{"seed": 1, "base": 1.0, "candidate": 0.9}], "share": 0.25}
    visitor.page.route("**/api/v1/jobs/1", lambda route: route.fulfill(json={"v": 1, **job}))
    visitor.go(board)
    before = len(served.requests)
    row = visitor.page.locator(".body .row").nth(1)
    assert "about 8 min" in row.locator(".verify").inner_text()
    row.get_by_role("button", name="Verify").click()
    dialog = visitor.page.get_by_role("dialog")
    assert "about 7.5 pairs, at most 20; about 8 min, at most 22 min" in dialog.inner_text()
    dialog.get_by_role("checkbox").check()
    assert "at most 4 pairs; at most 4 min" in dialog.inner_text()
    assert broken_rules(visitor) == []
    dialog.get_by_role("button", name="Cancel").click()
    assert len(served.requests) == before
    row.get_by_role("button", name="Verify").click()
    dialog.get_by_role("button", name="Verify here").click()
    visitor.page.wait_for_selector(".verify >> text=re-running")
    assert "1 pair, 25 %" in row.locator(".verify").inner_text()
    command, arguments = served.requests[-1]
    assert (command, arguments["claim"]) == ("verify", board_row(1)["result"])


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_it_fits_its_window_and_breaks_no_rule_of_accessibility(
    visitor: Visitor, board: str, width: int, scheme: str
) -> None:
    visitor.go(board)
    visitor.look(width, scheme)
    assert visitor.overflow_px <= 0
    cut = "all => all.filter((one) => one.scrollHeight > one.clientHeight + 1).length"
    assert visitor.page.locator(".body .cell").evaluate_all(cut) == 0
    assert broken_rules(visitor) == []
    assert visitor.text("#title").startswith(HOSTILE[1][:10])
    assert not visitor.is_hurt
    assert visitor.faults == []
