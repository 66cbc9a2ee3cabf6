"""Each part of the page, in both widths, light and dark, for eyes and for readers of screens."""

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.node.examples import HARDWARE_CLASS
from tests.web.page.full_store import Full
from tests.web.page.visitor import Visitor

LOOKS = ((1440, "light"), (390, "dark"), (1440, "dark"), (390, "light"))
PARTS: dict[str, Callable[[Full], str]] = {
    "overview": lambda _: "overview",
    "report": lambda _: "report?since=1000d",
    "experiments": lambda _: "experiments",
    "experiment": lambda full: f"experiments/{full.confirmed}",
    "hostile experiment": lambda full: f"experiments/{full.hostile}",
    "compare": lambda full: f"compare/{full.kept},{full.hostile}",
    "boards": lambda _: "boards",
    "board": lambda full: f"boards/{full.task}/{HARDWARE_CLASS}?network=main",
    "claim": lambda full: f"records/{full.claim}",
    "importance": lambda _: "insights/importance",
    "transfer": lambda _: "insights/transfer",
    "lineage": lambda _: "insights/lineage",
    "lessons": lambda _: "insights/lessons",
    "reports": lambda _: "insights/reports",
    "network": lambda _: "network",
    "workers": lambda _: "workers",
    "settings": lambda _: "settings",
}


def _looks() -> list[object]:
    """Each part in each look; `make test` looks at every other part, in one, `make soak` at all."""
    return [
        pytest.param(
            part, width, scheme, marks=[pytest.mark.soak] * (number % (2 * len(LOOKS)) != 2 * look)
        )
        for number, part in enumerate(PARTS)
        for look, (width, scheme) in enumerate(LOOKS)
    ]


@pytest.mark.parametrize(("part", "width", "scheme"), _looks())
def test_a_part_fits_its_window_and_breaks_no_rule_of_accessibility(
    tab: Visitor, full: Full, part: str, width: int, scheme: str
) -> None:
    tab.go(PARTS[part](full))
    tab.look(width, scheme)
    assert tab.overflow_px <= 0
    assert tab.page.locator("h1").count() == 1
    assert broken_rules(tab) == []
    assert tab.page.locator(".fault").all_inner_texts() == []
    assert not tab.is_hurt
    assert tab.faults == []


def broken_rules(visitor: Visitor) -> list[str]:
    """Return what axe-core has to say."""
    found = Axe().run(visitor.page, options={"resultTypes": ["violations"]}).response
    return [
        f"{rule['id']}: {node['html'][:160]} {node['failureSummary'][:300]}"
        for rule in found["violations"]
        for node in rule["nodes"][:3]
    ]
