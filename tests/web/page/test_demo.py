"""`arnode view --demo` in a browser: it says on every tab that it is a recording."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.web.page.demo import demo_link
from tests.web.page.test_parts import broken_rules
from tests.web.page.visitor import Visitor

NOTICE = "A recorded night, not yours"
TABS = ("overview", "experiments", "boards", "network", "report", "insights", "settings")
FIRST_LINE = "() => document.querySelector('.field select option').value"
NOT_NOW = "409"  # what a running node answers; the page says that none runs


@pytest.fixture(scope="module", name="link")
def _link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with demo_link(tmp_path_factory.mktemp("demo") / "home") as link:
        yield link


def test_a_recorded_night_is_read_on_every_tab(chromium: Any, link: str) -> None:
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    with Visitor(context, link) as visitor:
        for tab, (width, scheme) in zip(
            TABS,
            ((390, "dark"), (1440, "light"), (1024, "dark"), (390, "light"), (1024, "light")) * 2,
            strict=False,
        ):
            visitor.go(tab)
            visitor.look(width, scheme)
            assert NOTICE in visitor.text(".notice")
            assert visitor.page.locator(".fault").all_inner_texts() == []
            assert visitor.overflow_px <= 0
            assert broken_rules(visitor) == []
        for tab in ("overview", "experiments", "insights", "insights/transfer"):
            visitor.go(tab)
            chosen = visitor.page.get_by_label("Task and hardware").input_value()
            assert chosen == visitor.page.evaluate(FIRST_LINE), tab
        visitor.go("boards")
        visitor.page.locator("#part table a", has_text="tiny-short").click()
        visitor.page.wait_for_selector(".body .gain-bar.others")
        assert visitor.page.locator(".body .gain-bar.here").count() > 0
        assert visitor.page.get_by_role("button", name="Verify").count() == 0
        assert [fault for fault in visitor.faults if NOT_NOW not in fault] == []
    context.close()
