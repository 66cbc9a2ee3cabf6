"""The insights: importance, kinds of change, scatter and parallel coordinates, and empty views."""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from node.home.home import Home
from node.store.store import Store
from tests.web.page.full_store import HOSTILE
from tests.web.page.insights import FAR_WORSE, NUMBERS, importance, pretend_insights
from tests.web.page.served import ServedHome
from tests.web.page.test_experiments import saved
from tests.web.page.test_parts import LOOKS, broken_rules
from tests.web.page.visitor import Visitor

_PNG = b"\x89PNG\r\n\x1a\n"
VIEWS = ("importance", "kinds", "scatter", "parallel")
OTHERS = ("transfer", "lineage", "lessons", "reports")


@pytest.fixture
def varied(visitor: Visitor) -> Visitor:
    """A visitor of a node that varied many hyperparameters."""
    pretend_insights(visitor.page)
    return visitor


def go_to_axes(visitor: Visitor, path: str) -> None:
    """Go to parallel coordinates, and wait until they are drawn."""
    visitor.go(path)
    visitor.page.wait_for_selector(".parallel .run", state="attached")


def drag(visitor: Visitor, axis: int, start: float, end: float) -> None:
    """Drag along an axis of the parallel coordinates, between fractions of its height."""
    box = visitor.page.locator(".dimension").nth(axis).locator(".stem").first.bounding_box()
    x = box["x"] + box["width"] / 2
    visitor.page.mouse.move(x, box["y"] + start * box["height"])
    visitor.page.mouse.down()
    visitor.page.mouse.move(x, box["y"] + end * box["height"], steps=5)
    visitor.page.mouse.up()
    visitor.settle()


def brushes(visitor: Visitor) -> Any:
    """Return the brushes in the address."""
    query = parse_qs(urlsplit(visitor.page.url).fragment.partition("?")[2])
    return json.loads(query["brushes"][0]) if "brushes" in query else {}


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        pytest.param(width, scheme, marks=[pytest.mark.soak] * ((width, scheme) not in LOOKS[:2]))
        for width in (390, 1024, 1440)
        for scheme in ("light", "dark")
    ],
)
def test_each_view_fits_and_breaks_no_rule_of_accessibility(
    varied: Visitor, width: int, scheme: str
) -> None:
    for view in VIEWS:
        varied.go(f"insights/{view}")
        varied.look(width, scheme)
        assert varied.overflow_px <= 0, view
        assert broken_rules(varied) == [], view
        assert varied.page.locator(".fault").count() == 0
        assert varied.page.locator("nav.views a[aria-current]").is_visible()
    assert not varied.is_hurt
    assert varied.faults == []


def test_importance_links_to_the_scatter_of_each_hyperparameter(varied: Visitor) -> None:
    varied.go("insights")
    first = varied.page.locator(".hyperparameters li").first
    assert "52 %" in first.inner_text()
    assert "90 % interval 36 % to 73 %" in first.inner_text()
    name = "Save the plot as a picture: Predicted gain by LEARNING_RATE"
    assert saved(varied, name).startswith(_PNG)
    first.get_by_role("link", name="LEARNING_RATE").click()
    varied.settle()
    assert varied.text("h1") == "Insights: scatter"
    assert varied.page.url.endswith("#/insights/scatter?name=LEARNING_RATE")


def test_hyperparameters_without_an_effect_are_one_line(varied: Visitor) -> None:
    varied.go("insights")
    assert varied.page.locator(".hyperparameters li").count() == 5
    assert varied.text(".no-effect") == f"No effect seen: {NUMBERS[-1]}."
    varied.page.locator(".no-effect a").click()
    varied.settle()
    assert varied.page.url.endswith(f"#/insights/scatter?name={NUMBERS[-1]}")


def test_the_plot_of_a_model_says_predicted(varied: Visitor) -> None:
    varied.go("insights")
    card = varied.page.locator(".hyperparameters li").first
    assert "predicted best value: 0.4" in card.inner_text()
    assert card.locator("svg text", has_text="predicted gain, sd").count() == 1
    assert card.locator("figcaption").inner_text().startswith("predicted gains between")


def test_the_last_estimate_stays_until_the_next_is_ready(varied: Visitor) -> None:
    old, new = importance(), importance()
    new["estimate"]["hyperparameters"] = new["estimate"]["hyperparameters"][:2]
    answers = [
        {**old, "estimate": None, "progress": 0.1},
        {**old, "newer": 10, "progress": 0.35},
        {**new, "newer": 3},
    ]
    cards = varied.page.locator(".hyperparameters li")
    asked: list[str] = []

    def answer(route: Any) -> None:
        asked.append(route.request.url)
        route.fulfill(json=answers[len(asked) - 1])

    varied.page.route("**/api/v1/importance?*", answer)
    varied.go("insights")
    varied.page.get_by_text("The importance is being estimated: 10 %").wait_for()
    assert cards.count() == 0
    varied.page.get_by_text("Being estimated again with 10 more experiments: 35 %.").wait_for()
    assert cards.count() == 5
    varied.page.get_by_text("3 experiments ended since this estimate.").wait_for()
    assert cards.count() == 2
    assert len(asked) == 3


def test_a_failed_estimate_can_be_asked_for_again(varied: Visitor) -> None:
    answers = [
        (200, {**importance(), "newer": 10, "progress": 0.5}),
        (500, {"detail": "no numbers"}),
    ]

    def answer(route: Any) -> None:
        status, document = answers.pop(0) if answers else (200, importance())
        route.fulfill(status=status, json=document)

    varied.page.route("**/api/v1/importance?*", answer)
    varied.go("insights")
    varied.page.get_by_text("no numbers").wait_for()
    assert varied.page.locator(".hyperparameters li").count() == 5
    varied.page.get_by_role("button", name="Try again").click()
    varied.page.get_by_text("no numbers").wait_for(state="detached")


def test_kinds_of_change_are_bars_and_a_table(varied: Visitor) -> None:
    varied.go("insights/kinds")
    row = varied.page.get_by_role("row", name="architecture")
    assert row.locator("td").all_inner_texts() == ["architecture", "58", "3", "5 %", "17"]
    assert varied.page.locator(".kinds").count() == 2
    assert saved(varied, "Save the plot as a picture: Kinds of change: tiny").startswith(_PNG)


def test_the_scatter_shows_and_opens_an_experiment(varied: Visitor) -> None:
    varied.go("insights/scatter")
    varied.page.wait_for_selector(".scatter canvas")
    varied.page.locator("select[name=hyperparameter]").select_option("DEPTH")
    varied.settle()
    assert varied.page.url.endswith("#/insights/scatter?name=DEPTH")
    varied.page.wait_for_selector(".scatter canvas")
    assert varied.page.get_by_role("img", name="bits per byte by DEPTH").count() == 1
    assert saved(varied, "Save the plot as a picture: bits per byte by DEPTH").startswith(_PNG)
    over = varied.page.locator(".scatter .u-over")
    box = over.bounding_box()
    for number in range(40):
        varied.page.mouse.move(box["x"] + 60 + number * 25, box["y"] + box["height"] * 0.7)
        if varied.page.locator(".scatter .tip").is_visible():
            break
    assert varied.page.locator(".scatter .tip strong").inner_text()
    varied.page.mouse.down()
    varied.page.mouse.up()
    varied.settle()
    assert "#/experiments/" in varied.page.url


def test_scores_outside_the_scatter_are_counted(varied: Visitor) -> None:
    varied.go("insights/scatter?name=DEPTH")
    outside = varied.page.locator(".scatter .soft", has_text="Outside the plot")
    outside.wait_for()
    words = rf"Outside the plot: {FAR_WORSE} scores above \(▲\), up to 6\.\d+\."
    assert re.fullmatch(words, outside.inner_text().strip())


def test_a_scatter_of_all_scores_says_nothing_is_outside(visitor: Visitor) -> None:
    visitor.go("insights/scatter?name=MODE")
    visitor.page.wait_for_selector(".scatter canvas")
    assert visitor.page.get_by_text("Outside the plot").count() == 0


def test_a_logarithmic_axis_says_so(varied: Visitor) -> None:
    go_to_axes(varied, "insights/parallel?axes=LEARNING_RATE,DEPTH")
    notes = [
        one.locator("text.tick").last.text_content()
        for one in varied.page.locator(".dimension").all()
    ]
    assert notes[0] == "logarithmic"
    assert notes[1] != "logarithmic"
    assert notes[2] == "lower is better"


def test_on_a_phone_two_axes_and_the_score_fit(varied: Visitor) -> None:
    varied.look(390, "light")
    go_to_axes(varied, "insights/parallel")
    varied.page.wait_for_selector(".dimension")
    assert varied.page.locator(".dimension").count() == 3
    scroller = varied.page.locator(".chart .wide")
    assert scroller.evaluate("place => place.scrollWidth <= place.clientWidth")
    summary = varied.page.locator(".chooser summary")
    assert summary.inner_text().startswith("2 of 7 changed hyperparameters")
    summary.click()
    varied.page.get_by_role("checkbox", name="DEPTH").check()
    assert varied.page.locator(".dimension").count() == 4
    assert summary.inner_text().startswith("3 of 7")
    touch = "place => getComputedStyle(place).touchAction"
    assert varied.page.locator("svg.parallel").evaluate(touch) == "auto"  # the page scrolls
    assert varied.page.locator(".grip").first.evaluate(touch) == "none"


def test_an_interval_without_width_is_exact(varied: Visitor) -> None:
    words = varied.page.evaluate(
        """async () => {
          const { interval } = await import("./figures.js");
          return [interval(0.2, 0.2, 0), interval(0.1, 0.2), interval(null, 0.2)];
        }"""
    )
    assert words[0] == "exact"
    assert words[1].startswith("95 % interval")
    assert words[2] == "too few pairs for an interval"


def test_a_brush_filters_and_is_in_the_address(varied: Visitor) -> None:
    go_to_axes(varied, "insights/parallel")
    axes = varied.page.locator(".dimension").count()
    assert axes == 7  # six hyperparameters and the score
    assert varied.page.locator(".parallel .run").count() == 1_000
    drag(varied, 0, 0.2, 0.5)
    ((name, (low, high)),) = brushes(varied).items()
    assert name == NUMBERS[0]
    assert 1e-4 < low < high < 1
    faint = varied.page.locator(".parallel .run.faint").count()
    assert 500 < faint < 900
    count = varied.page.locator(".toolbar p[role=status]").inner_text()
    assert count == f"{1_000 - faint} of the latest 1,000 of 1,234 experiments"
    shared = varied.page.url.split("#/")[1]
    varied.go("network")
    go_to_axes(varied, shared)
    assert varied.page.locator(".parallel .run.faint").count() == faint
    assert brushes(varied) == {name: [low, high]}
    varied.page.locator("button.chip").click()
    assert varied.page.locator(".parallel .run.faint").count() == 0
    assert brushes(varied) == {}


def test_a_brush_on_words_keeps_their_values(varied: Visitor) -> None:
    go_to_axes(varied, "insights/parallel?axes=LEARNING_RATE,WINDOW_PATTERN")
    assert varied.page.locator(".dimension").count() == 3
    drag(varied, 1, 0.0, 1.0)
    (values,) = brushes(varied).values()
    assert {"SL", "SSSL", "L"} < set(values)
    faint = varied.page.locator(".parallel .run.faint").count()
    assert 0 < faint < 300  # those without a known value
    shared = unquote(varied.page.url.split("#/")[1])
    assert "<img" in shared
    varied.page.reload()
    varied.page.wait_for_selector(".parallel .run.faint")
    assert varied.page.locator(".parallel .run.faint").count() == faint
    assert not varied.is_hurt


def test_axes_are_chosen_and_odd_addresses_do_no_harm(varied: Visitor) -> None:
    go_to_axes(varied, "insights/parallel")
    varied.page.locator(".chooser summary").click()
    varied.page.get_by_role("checkbox", name="MODE").check()
    varied.page.get_by_role("checkbox", name="DEPTH").uncheck()
    names = varied.page.locator(".dimension .axis-name title").all_text_contents()
    assert "MODE" in names
    assert "DEPTH" not in names
    assert "axes=LEARNING_RATE" in varied.page.url
    for odd in ("{", "[1]", "null", '{"score":"x","NO":[1,2],"DEPTH":[null,{}]}', '{"DEPTH":[]}'):
        varied.go("network")
        go_to_axes(varied, f"insights/parallel?axes=NO,__proto__,DEPTH&brushes={odd}")
        assert varied.page.locator(".dimension").count() == 2
        assert varied.page.locator(".run.faint").count() == 0
    assert varied.faults == []


def test_a_line_shows_its_title_and_opens_its_experiment(varied: Visitor) -> None:
    go_to_axes(varied, "insights/parallel")
    box = varied.page.locator("svg.parallel").bounding_box()
    for number in range(30):
        varied.page.mouse.move(box["x"] + box["width"] * 0.43, box["y"] + 70 + number * 8)
        if varied.page.locator(".tip").is_visible():
            break
    assert varied.page.locator(".tip strong").inner_text()
    assert varied.page.locator(".run.pointed").count() == 1
    varied.page.mouse.down()
    varied.page.mouse.up()
    varied.settle()
    assert "#/experiments/" in varied.page.url
    assert not varied.is_hurt


def test_the_plots_of_a_real_home_show_its_experiments(visitor: Visitor) -> None:
    go_to_axes(visitor, "insights/parallel")
    assert visitor.page.locator(".parallel .run").count() > 500
    name = visitor.page.locator(".dimension .axis-name title").first.text_content()
    assert name == "LEARNING_RATE"
    assert saved(visitor, "Save the plot as a picture: Hyperparameters").startswith(_PNG)
    visitor.go("insights/scatter?name=MODE")
    visitor.page.wait_for_selector(".scatter canvas")
    assert visitor.page.locator(".value-table .body .row").count() > 5
    assert visitor.page.locator(".value-table .body .row").first.locator("bdi").count() == 2
    assert not visitor.is_hurt
    assert visitor.faults == []


def test_as_many_experiments_as_the_server_sends_are_drawn(visitor: Visitor) -> None:
    pretend_insights(visitor.page, count=5_000)  # the server's limit for one hyperparameter
    visitor.go("insights/scatter?name=LEARNING_RATE")
    visitor.page.wait_for_selector(".scatter canvas")
    over = visitor.page.locator(".scatter .u-over").bounding_box()
    for number in range(20):
        visitor.page.mouse.move(over["x"] + 40 * number, over["y"] + 9 * number)
    visitor.no_longer_pretend()
    pretend_insights(visitor.page)  # the limit for all of them
    go_to_axes(visitor, "insights/parallel")
    drag(visitor, 0, 0.2, 0.6)
    assert visitor.page.locator(".dimension").count() > 0
    assert not visitor.is_hurt


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedHome]:
    home = Home(tmp_path_factory.mktemp("empty") / "home")
    home.prepare()
    with Store.open(home):
        pass
    with ServedHome(home) as served:
        yield served


def test_empty_views_say_what_will_be_there(chromium: Any, empty: ServedHome) -> None:
    context = chromium.new_context()
    with Visitor(context, empty.link()) as visitor:
        visitor.page.evaluate("document.documentElement.dataset.kind = 'store'")  # no node runs
        for view in (*VIEWS, *OTHERS):
            visitor.go(f"insights/{view}")
            assert visitor.page.locator(".empty").count() == 1, view
            assert visitor.text(".empty code").startswith("arnode "), view
            assert visitor.page.locator(".fault").count() == 0, view
            assert broken_rules(visitor) == [], view
        assert visitor.faults == []
    context.close()


def test_hostile_names_and_values_are_words(varied: Visitor) -> None:
    varied.go("insights/importance")
    assert HOSTILE[2] in varied.text(".hyperparameters li:last-child h2")
    go_to_axes(varied, "insights/parallel?axes=WINDOW_PATTERN,MODE")
    varied.page.mouse.move(10, 10)
    assert varied.page.locator("#part img, #part script").count() == 0
    varied.go("insights/kinds")
    assert HOSTILE[1][:30] in varied.text(".kinds ~ div tbody tr:last-child")
    assert not varied.is_hurt
    assert varied.faults == []
