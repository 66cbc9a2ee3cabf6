"""The overview: the result first, a staircase to explore, and a home where nothing happened yet."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.home.home import Home
from node.store.store import Store
from tests.web.page.full_store import HOSTILE
from tests.web.page.served import ServedHome, at_work
from tests.web.page.test_parts import broken_rules
from tests.web.page.test_reading import pretend_status
from tests.web.page.visitor import Visitor

WIDTHS = (390, 1024, 1440)
SCHEMES = ("light", "dark")
DUE_MS = 4_102_444_800_000  # in the year 2100
EMPTY_CARDS = """() => [...document.querySelectorAll('.card')]
  .filter((card) => card.checkVisibility())
  .filter((card) => [...card.children].slice(1).every((part) => part.innerText.trim() === ''))
  .map((card) => card.outerHTML)"""


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedHome]:
    home = Home(tmp_path_factory.mktemp("empty") / "home")
    home.prepare()
    with Store.open(home):
        pass
    with ServedHome(home) as served:
        served.now = {"now": None}
        yield served


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_overview_breaks_no_rule_of_accessibility(
    tab: Visitor, width: int, scheme: str
) -> None:
    tab.go("network")
    tab.go("overview")
    tab.look(width, scheme)
    assert tab.overflow_px <= 0
    assert broken_rules(tab) == []
    assert tab.page.evaluate(EMPTY_CARDS) == []
    assert tab.faults == []


def test_an_empty_home_says_what_fills_it_and_shows_nothing_else(
    chromium: Any, empty: ServedHome
) -> None:
    context = chromium.new_context()
    with Visitor(context, empty.link()) as visitor:
        visitor.page.evaluate("document.documentElement.dataset.kind = 'store'")  # no node runs
        visitor.go("network")
        visitor.go("overview")
        for width in WIDTHS:
            for scheme in SCHEMES:
                visitor.look(width, scheme)
                assert visitor.overflow_px <= 0
                assert broken_rules(visitor) == []
        assert visitor.page.locator(".empty").count() == 1
        assert "arnode start" in visitor.text(".empty code")
        assert visitor.page.locator(".fault, .card:visible, .badge").count() == 0
        visitor.page.get_by_role("button", name="Copy arnode start").click()
        visitor.page.wait_for_selector(".command >> text=/Copied|Selected/")
        assert visitor.faults == []
    context.close()


def test_the_result_comes_first_with_gains_in_sd(visitor: Visitor) -> None:
    pretend_status(visitor, line={"noise_sd": 0.0104})
    visitor.go("network")
    visitor.go("overview")
    cards = visitor.page.locator(".result")
    baseline, working, head = cards.all_inner_texts()
    assert baseline.split("\n")[0] == "Baseline"
    assert "1 sd = 0.010 bpb" in baseline
    assert working.split("\n")[0] == "Working line"
    assert "1 patch on top of the head" in working
    assert head.split("\n")[0] == "Verified head"
    assert "1.460" in head
    assert "+0.040 (+3.8 sd)" in head
    assert "promoted" in head
    top = cards.first.bounding_box()["y"]
    assert all(
        top < visitor.page.locator(place).first.bounding_box()["y"]
        for place in (".staircase", ".at-work", ".machine")
    )


def test_it_says_when_the_next_promotion_trial_is_due(visitor: Visitor, served: ServedHome) -> None:
    visitor.page.locator(".trial", has_text="Promotion trial in progress").wait_for()
    assert "Promotion trial in progress" in visitor.text(".trial")
    before = served.now
    waiting: Any = {"now": {**at_work("WARMUP → 3"), "evidence": None}}
    served.now = waiting
    try:
        for working, words in (
            ({"trial_after": 7, "trial_by_ms": DUE_MS}, "due after 7 more kept patches, or at"),
            ({"trial_after": 0, "trial_by_ms": DUE_MS}, "is due now"),
            ({"trial_after": 7, "trial_by_ms": 1}, "is due now"),
            ({"keeps": 0, "trial_after": None, "trial_by_ms": None}, "No promotion trial is due"),
        ):
            known = {"keeps": 1, "branch": None, "metric": None, "tree": "0" * 64}
            pretend_status(visitor, line={"working": {**known, **working}})
            visitor.go("network")
            visitor.go("overview")
            visitor.page.locator(
                ".trial", has_text=words
            ).wait_for()  # status and `now` arrive apart
            assert words in visitor.text(".trial")
            visitor.no_longer_pretend()
    finally:
        served.now = before


def test_without_a_running_node_no_trial_seems_about_to_start(
    visitor: Visitor, served: ServedHome
) -> None:
    before = served.now
    served.now = {"now": None}
    try:
        working = {"keeps": 6, "branch": None, "metric": None, "tree": "0" * 64}
        due = {"trial_after": 2, "trial_by_ms": DUE_MS}
        pretend_status(visitor, line={"working": {**working, **due}})
        visitor.go("network")
        visitor.go("overview")
        visitor.page.locator(".trial", has_text="No node is running").wait_for()
        assert "starts after 2 more kept patches, once a node runs" in visitor.text(".trial")
        assert "due" not in visitor.text(".trial")
    finally:
        served.now = before


def test_the_best_values_are_listed_to_copy(visitor: Visitor) -> None:
    visitor.page.locator(".best-values summary").click()
    shown = visitor.page.locator(".best-values tbody tr").first.inner_text().split()
    assert shown[:2] == ["LEARNING_RATE", "0.1"]
    copy = visitor.page.locator(".best-values button").first
    assert copy.inner_text().startswith("Copy the values of the")
    copy.click()
    visitor.page.wait_for_selector(".best-values >> text=/Copied|does not allow/")


def test_on_a_phone_the_head_of_the_page_has_two_rows(visitor: Visitor) -> None:
    visitor.look(390, "light")
    assert visitor.page.locator(".top").bounding_box()["height"] < 90
    visitor.go("settings")
    link = visitor.page.get_by_role("link", name="Settings").bounding_box()
    assert 0 <= link["x"] <= 390 - link["width"]
    visitor.look(1440, "light")


def test_a_mark_shows_its_gain_and_its_diff(visitor: Visitor) -> None:
    page = visitor.page
    slider = page.get_by_role("slider")
    page.wait_for_selector(".staircase .uplot canvas")
    slider.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".tip .diff .added")
    shown = visitor.text(".tip")
    assert "LEARNING_RATE → 0.2" in shown
    assert "gain +0.0200 (+20.0 sd)" in shown
    assert "+LEARNING_RATE = 0.2" in shown


def test_hostile_words_in_the_box_of_a_mark_are_words(visitor: Visitor) -> None:
    page = visitor.page
    page.wait_for_selector(".staircase .uplot canvas")
    page.get_by_role("slider").focus()
    page.keyboard.press("End")
    for _ in range(400):
        page.keyboard.press("ArrowLeft")
        if HOSTILE[0][:20] in visitor.text(".tip"):
            break
    assert HOSTILE[0][:20] in visitor.text(".tip")
    assert page.locator(".tip img, .tip script").count() == 0
    assert not visitor.is_hurt


def test_a_drag_zooms_and_a_double_click_shows_all(visitor: Visitor) -> None:
    page = visitor.page
    page.wait_for_selector(".staircase .uplot canvas")
    reset = page.get_by_role("button", name="Show all")
    box = page.locator(".staircase .u-over").bounding_box()

    def drag() -> None:
        page.mouse.move(box["x"] + 300, box["y"] + 60)
        page.mouse.down()
        page.mouse.move(box["x"] + 600, box["y"] + 90, steps=4)
        page.mouse.up()
        reset.wait_for()

    drag()
    page.mouse.dblclick(box["x"] + 400, box["y"] + 100)
    reset.wait_for(state="hidden")
    drag()
    reset.click()
    reset.wait_for(state="hidden")
    page.wait_for_timeout(400)
    assert visitor.text("h1") == "Overview"


def test_a_pause_is_shown_on_every_tab(visitor: Visitor) -> None:
    shown = visitor.page.evaluate(
        """async () => {
          const { Standing } = await import('./standing.js');
          const standing = new Standing();
          standing.putNow({ paused: true, until: null, text: 'first run', title: 'DEPTH' });
          standing.putConnection(true);
          const place = document.getElementById('standing');
          return [place.textContent, place.className, document.getElementById('doing').textContent];
        }"""
    )
    assert shown == ["paused", "paused", ""]


SCALE = """async ([metric, working, isWhole]) => {
  const { outsideWords, scaleOf } = await import('./charts/scale.js');
  const all = (value) => metric.map(() => value);
  const points = { id: all(''), metric, working, head: all(2), decision: all('discarded') };
  const unit = { direction: 'min', unit: 'bpb' };
  const progress = { metric: unit, head_words: 'verified head', points };
  const scale = scaleOf(progress, isWhole);
  const { range, mayZoom } = scale;
  return { range, mayZoom, words: outsideWords(progress, scale) };
}"""


def test_the_plot_opens_on_the_recent_progress_and_counts_what_is_outside(visitor: Visitor) -> None:
    working = [2, 2, 1.5, 1.5, 1.02, 1.02, 1.01, 1.01, 1.0, 1.0]
    metric = [2, 2.1, 1.5, 9, 1.02, 1.022, 1.01, 0.9, 1.0, 1.02]
    opened = visitor.page.evaluate(SCALE, [metric, working, False])
    low, high = opened["range"]
    assert 0.99 < low < 1.0
    assert 1.01 < high < 1.05
    assert opened["mayZoom"]
    assert opened["words"] == (
        "Outside the plot: 4 scores and the verified head (2 bpb) above (▲); 1 score below (▼). "
    )
    whole = visitor.page.evaluate(SCALE, [metric, working, True])
    assert whole["range"][0] < 0.9
    assert whole["range"][1] > 9
    assert whole["words"] == ""


def test_a_plot_without_a_large_first_gain_opens_on_the_whole_line(visitor: Visitor) -> None:
    working = [2, 1.9, 1.8, 1.7, 1.6, 1.5, 1.4, 1.3]
    opened = visitor.page.evaluate(SCALE, [working, working, False])
    assert opened["range"][0] < 1.3
    assert opened["range"][1] > 2
    assert not opened["mayZoom"]


def test_the_plot_zooms_out_to_all_scores_and_in_again(visitor: Visitor) -> None:
    page = visitor.page
    page.wait_for_selector(".staircase .uplot canvas")
    out = page.get_by_role("button", name="Zoom out to all scores")
    assert "Outside the plot" in visitor.text(".outside")
    out.click()
    assert "Outside the plot" not in visitor.text(".outside")
    page.get_by_role("button", name="Zoom in on the recent progress").click()
    out.wait_for()


def test_figures_that_are_no_longer_updated_say_so(chromium: Any, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    with Store.open(home):
        pass
    context = chromium.new_context()
    with ServedHome(home) as served:
        page = context.new_page()
        page.goto(served.link())
        page.wait_for_selector("#standing.live >> text=running")
        page.wait_for_selector("#doing >> text=LEARNING_RATE")
        page.wait_for_selector(".what >> text=LEARNING_RATE")
    page.wait_for_selector("#standing.lost")
    page.wait_for_selector(".chip.lost >> text=disconnected, last update")
    context.close()


def test_an_address_of_no_part_is_not_found(visitor: Visitor) -> None:
    visitor.go("insights/importance")
    visitor.go("leaderboards")
    assert visitor.text("#title") == "Not found"
    assert "this page does not exist" in visitor.text("#part")
