"""The list of experiments: columns, filters, selection, tags, comparison and saved files."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from node.store.store import Store
from node.store.tags import STAR
from tests.web.page.full_store import HOSTILE, Full
from tests.web.page.served import ServedHome, at_address
from tests.web.page.test_parts import LOOKS, broken_rules
from tests.web.page.visitor import Visitor

_PNG = b"\x89PNG\r\n\x1a\n"
_WIDTHS = (390, 1024, 1440)


def headings(visitor: Visitor) -> list[str]:
    """Return the names of the columns."""
    found = visitor.page.locator(".experiments [role=columnheader]").all_inner_texts()
    return [one.strip(" ▲▼\n") for one in found]


def saved(visitor: Visitor, button: str) -> bytes:
    """Return the file that a button saves."""
    with visitor.page.expect_download() as waiting:
        visitor.page.get_by_role("button", name=button).first.click()
    return Path(waiting.value.path()).read_bytes()


def rewritten(visitor: Visitor, pattern: str, change: Any) -> None:
    """Change the documents that the API answers with."""

    def answer(route: Any) -> None:
        document = route.fetch(url=at_address(route.request.url)).json()
        change(document)
        route.fulfill(json=document)

    visitor.page.route(pattern, answer)


def test_changed_hyperparameters_are_columns_that_can_be_sorted(visitor: Visitor) -> None:
    visitor.go("experiments")
    assert "LEARNING_RATE" in headings(visitor)
    visitor.page.get_by_role("button", name="LEARNING_RATE", exact=True).click()
    visitor.settle()
    assert "sort=LEARNING_RATE" in visitor.page.url
    first = visitor.page.locator(".body .row .change").first
    assert first.inner_text() == "0.1 → 69.5"
    assert first.get_attribute("title") == "0.1 → 69.5"


def test_rows_have_a_number_a_duration_and_a_readable_title(visitor: Visitor) -> None:
    values = {"LEARNING_RATE": ["0.1", "0.2"], "DEPTH": ["8", "9"]}
    titles = ["LEARNING_RATE 0.1 → 0.2, DEPTH 8 → 9", "wider, DEPTH 8 → 9", "`mode` again"]

    def change(document: Any) -> None:
        for row, title in zip(document.get("experiments", ()), titles, strict=False):
            row |= {"title": title, "changes": values, "ms": 65_000}

    rewritten(visitor, "**/api/v1/experiments?*", change)
    visitor.go("experiments")
    rows = visitor.page.locator(".body .row")
    total = int(visitor.text(".count").split()[0].replace(",", ""))
    shown = rows.locator(".number").all_inner_texts()[:2]
    assert shown == [f"{total:,}", f"{total - 1:,}"]
    assert rows.nth(0).locator(".took").inner_text() == "1 min 05 s"
    assert rows.nth(0).locator(".title .change").all_inner_texts() == ["0.1 → 0.2", "8 → 9"]
    assert rows.nth(1).locator(".title .change").count() == 0
    assert rows.nth(2).locator(".title code").inner_text() == "mode"


def test_the_count_says_what_is_counted(visitor: Visitor) -> None:
    visitor.go("experiments")
    total = int(visitor.text(".count").split()[0].replace(",", ""))
    kinds = visitor.text(".kinds")
    counts = [int(one.split()[0].replace(",", "")) for one in kinds.split(", ")]
    assert sum(counts) == total
    assert "1 promotion trial, 1 baseline" in kinds


def test_a_hyperparameter_that_few_changed_is_no_default_column(visitor: Visitor) -> None:
    def change(document: Any) -> None:
        document["total"] = 100
        pairs = [("LEARNING_RATE", 40), ("DEPTH", 10)]
        document["hyperparameters"] = [{"value": name, "count": count} for name, count in pairs]

    rewritten(visitor, "**/api/v1/experiments/filters*", change)
    visitor.go("experiments")
    assert "LEARNING_RATE" in headings(visitor)
    assert "DEPTH" not in headings(visitor)


def test_the_chosen_columns_are_in_the_address_and_remembered(
    visitor: Visitor, served: ServedHome
) -> None:
    visitor.go("experiments")
    visitor.page.locator(".chooser summary").click()
    visitor.page.get_by_role("checkbox", name="memory").check()
    visitor.page.get_by_role("checkbox", name="gain").uncheck()
    assert "memory" in headings(visitor)
    assert "gain" not in headings(visitor)
    shared = visitor.page.url.split("#/")[1]
    assert "columns=decision%2Cmetric%2C" in shared
    visitor.go("overview")
    visitor.go("experiments")
    assert "memory" in headings(visitor)
    visitor.page.locator(".chooser summary").click()
    visitor.page.get_by_role("button", name="Default columns").click()
    assert "memory" not in headings(visitor)
    visitor.go("overview")
    visitor.go(shared)
    assert "memory" in headings(visitor)


def test_filters_are_counted_and_in_the_address(visitor: Visitor) -> None:
    visitor.go("experiments")
    total = visitor.text(".count").split()[0]
    visitor.page.locator("select[name=decision]").select_option("kept")
    visitor.settle()
    assert visitor.text(".count") == f"3 of {total} experiments"
    assert visitor.page.url.endswith("#/experiments?decision=kept")
    visitor.page.locator("input[name=q]").fill("no such title")
    visitor.page.get_by_text("No experiment matches these filters").wait_for()
    visitor.page.get_by_role("button", name="Clear the filters").click()
    visitor.settle()
    assert visitor.text(".count") == f"{total} experiments"
    assert visitor.page.locator("input[name=q]").input_value() == ""
    visitor.go("experiments?since=1h&decision=kept")
    assert visitor.page.locator("select[name=since]").input_value() == "1h"
    assert visitor.text(".count").startswith("0 of ")


def test_an_experiment_is_starred_and_tagged(visitor: Visitor, served: ServedHome) -> None:
    visitor.go("experiments")
    row = visitor.page.locator(".body .row").nth(2)
    row.locator("input[type=checkbox]").check()
    wanted = bytes.fromhex(row.locator("input[type=checkbox]").input_value())
    row.locator("button.star").click()
    visitor.page.wait_for_selector(".body button.star[aria-pressed=true]")
    visitor.page.locator("input[name=new-tag]").fill("look-again")
    visitor.page.get_by_role("button", name="Add tag").click()
    visitor.page.wait_for_selector(".body .tags .chip >> text=look-again")
    with Store.open_read_only(served.home) as store:
        assert store.tags.of([wanted]) == {wanted: ("look-again", STAR)}
    visitor.page.get_by_role("button", name="★ starred").click()
    visitor.settle()
    assert visitor.page.locator(".body .row").count() == 1
    visitor.page.locator("select[name=tag]").select_option("look-again")
    visitor.settle()
    assert "tag=star%2Clook-again" in visitor.page.url
    visitor.page.locator("input[name=new-tag]").fill("Not A Tag")
    visitor.page.get_by_role("button", name="Add tag").click()
    visitor.page.locator("input[name=new-tag]").fill("look-again")
    visitor.page.get_by_role("button", name="Remove").click()
    visitor.page.get_by_text("No experiment matches these filters").wait_for()
    with Store.open_read_only(served.home) as store:
        assert store.tags.of([wanted]) == {wanted: (STAR,)}


def test_who_only_reads_can_tag_nothing(chromium: Any, served: ServedHome) -> None:
    context = chromium.new_context()
    with Visitor(context, served.link(steers=False)) as reader:
        reader.go("experiments")
        reader.page.locator(".body input[type=checkbox]").first.check()
        assert reader.page.locator("button.star, .tag-form").count() == 0
        assert reader.page.get_by_role("button", name="Clear").is_visible()
    context.close()


def test_keys_select_and_compare(visitor: Visitor) -> None:
    visitor.go("experiments")
    for key in ("j", "x", "j", "j", "x", "k"):
        visitor.page.keyboard.press(key)
    index = visitor.page.evaluate("() => document.activeElement.closest('.row').ariaRowIndex")
    assert index == "3"
    assert visitor.text(".selection").startswith("2 experiments selected")
    visitor.page.keyboard.press("c")
    visitor.settle()
    assert visitor.text("h1") == "2 experiments side by side"


def test_up_to_six_are_compared_and_what_differs_is_marked(visitor: Visitor, full: Full) -> None:
    visitor.go("experiments?sort=LEARNING_RATE")
    boxes = visitor.page.locator(".body input[type=checkbox]")
    for number in range(7):
        boxes.nth(number * 2).check()
    assert visitor.page.get_by_role("button", name="Compare up to 6").is_disabled()
    boxes.nth(0).uncheck()

    def curve(document: Any) -> None:
        for run in document.get("runs", ()):
            run["curve"] = [[step, 5 - step / 100] for step in range(1, 200)]

    rewritten(visitor, "**/api/v1/experiments/*", curve)
    visitor.page.get_by_role("button", name="Compare").click()
    visitor.settle()
    assert visitor.text("h1") == "6 experiments side by side"
    changed = visitor.page.get_by_role("table", name="Changed hyperparameters")
    row = changed.locator("tbody tr", has_text="LEARNING_RATE")
    values = row.locator("td").all_inner_texts()
    assert len(values) == 6
    assert [("differs" in one) for one in values] == [
        one.split(" (")[0] != values[0] for one in values
    ]
    assert visitor.page.locator(".side-by-side section").count() == 6
    visitor.page.wait_for_selector(".curves canvas")
    assert visitor.page.locator(".curves .legend li").count() == 6
    picture = saved(visitor, "Save the plot as a picture: Loss of the experiments")
    assert picture.startswith(_PNG)
    assert len(picture) > 5_000
    assert visitor.overflow_px <= 0


def test_one_or_seven_cannot_be_compared(visitor: Visitor, full: Full) -> None:
    visitor.go(f"compare/{full.kept}")
    assert "Two to 6 experiments" in visitor.text(".empty")


def test_what_is_shown_is_saved_as_csv_and_json(visitor: Visitor) -> None:
    def change(document: Any) -> None:
        for row in document.get("experiments", ()):
            row["title"] = '=HYPERLINK("http://x"),"a"'
            row["changes"] = {"RATE": ["-1", "@SUM(1)"], "__proto__": ["1", "2"]}

    rewritten(visitor, "**/api/v1/experiments?*", change)
    visitor.go("experiments?decision=kept&columns=gain,RATE,tags")
    text = saved(visitor, "Save CSV").decode()
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["id", "title", "gain", "RATE before", "RATE", "tags"]
    assert len(rows) == 4
    assert rows[1][1] == '\'=HYPERLINK("http://x"),"a"'
    assert rows[1][3:5] == ["-1", "'@SUM(1)"]
    assert {row[2][0] for row in rows[1:]} <= {*"-0123456789"}  # gains are numbers
    document = json.loads(saved(visitor, "Save JSON"))
    assert document["filter"]["decision"] == "kept"
    assert len(document["experiments"]) == 3
    assert document["experiments"][0]["changes"] == {"RATE": ["-1", "@SUM(1)"]}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_plot_can_be_saved_as_a_picture(visitor: Visitor, full: Full, scheme: str) -> None:
    visitor.look(1440, scheme)
    visitor.page.wait_for_selector(".staircase canvas")
    assert saved(visitor, "Save the plot as a picture: Progress").startswith(_PNG)
    visitor.go(f"experiments/{full.confirmed}")
    assert saved(visitor, "Save the plot as a picture: Gains of pairs").startswith(_PNG)


def test_hostile_names_values_and_tags_are_words(visitor: Visitor) -> None:
    def change(document: Any) -> None:
        for row in document.get("experiments", ()):
            row["tags"] = [HOSTILE[0], HOSTILE[1]]
            row["changes"] |= {"MODE": [HOSTILE[0], HOSTILE[1]]}
        for kind in ("tags", "origins"):
            document.get(kind, []).append({"value": HOSTILE[0], "count": 2})

    rewritten(visitor, "**/api/v1/experiments*", change)
    rewritten(visitor, "**/api/v1/experiments/filters*", change)
    visitor.go("experiments?columns=MODE,tags")
    assert "<script>" in visitor.text(".body .row .change")
    assert "<img" in visitor.text(".body .row .tags .chip")
    assert visitor.page.locator(".body .row img, .body .row script").count() == 0
    visitor.page.locator(".chooser summary").click()
    assert not visitor.is_hurt
    assert visitor.faults == []


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        pytest.param(width, scheme, marks=[pytest.mark.soak] * ((width, scheme) not in LOOKS[:2]))
        for width in _WIDTHS
        for scheme in ("light", "dark")
    ],
)
def test_the_open_list_fits_and_breaks_no_rule_of_accessibility(
    visitor: Visitor, full: Full, width: int, scheme: str
) -> None:
    visitor.go("experiments?sort=MODE&columns=decision,metric,MODE,tags")
    visitor.look(width, scheme)
    boxes = visitor.page.locator(".body input[type=checkbox]")
    for number in range(3):
        boxes.nth(number).check()
    assert broken_rules(visitor) == []
    visitor.page.locator(".chooser summary").click()
    assert broken_rules(visitor) == []
    assert visitor.overflow_px <= 0
    visitor.go(f"compare/{full.kept},{full.hostile},{full.confirmed},{full.built_on}")
    assert broken_rules(visitor) == []
    assert visitor.overflow_px <= 0
    assert not visitor.is_hurt
    assert visitor.faults == []
