"""Each part of the page, in both widths, light and dark, for eyes and for readers of screens."""

from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.node.examples import HARDWARE_CLASS
from tests.web.page.full_store import Full
from tests.web.page.visitor import Visitor

LOOKS = [(width, scheme) for width in (1440, 390) for scheme in ("light", "dark")]
PARTS: dict[str, Callable[[Full], str]] = {
    "now": lambda _: "now",
    "night": lambda _: "night?since=1000d",
    "experiments": lambda _: "experiments",
    "experiment": lambda full: f"experiments/{full.confirmed}",
    "hostile experiment": lambda full: f"experiments/{full.hostile}",
    "beside": lambda full: f"beside/{full.kept}/{full.hostile}",
    "boards": lambda _: "boards",
    "board": lambda full: f"boards/{full.task}/{HARDWARE_CLASS}?network=main",
    "claim": lambda full: f"records/{full.claim}",
    "importance": lambda _: "knowledge/importance",
    "transfer": lambda _: "knowledge/transfer",
    "lineage": lambda _: "knowledge/lineage",
    "insights": lambda _: "knowledge/insights",
    "reports": lambda _: "knowledge/reports",
    "network": lambda _: "network",
    "fleet": lambda _: "fleet",
    "steering": lambda _: "steering",
}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_fits_its_window_and_breaks_no_rule_of_accessibility(
    visitor: Visitor, full: Full, screens: Path, part: str
) -> None:
    visitor.go(PARTS[part](full))
    for width, scheme in LOOKS:
        visitor.look(width, scheme)
        visitor.page.screenshot(path=screens / f"{part}-{width}-{scheme}.png")
        assert visitor.overflow_px <= 0, f"{width} px, {scheme}"
        assert visitor.page.locator("h1").count() == 1
        assert broken_rules(visitor) == [], f"{width} px, {scheme}"
    assert visitor.page.locator(".fault").all_inner_texts() == []
    assert not visitor.is_hurt
    assert visitor.faults == []


def broken_rules(visitor: Visitor) -> list[str]:
    """Return what axe-core has to say."""
    found = Axe().run(visitor.page, options={"resultTypes": ["violations"]}).response
    return [
        f"{rule['id']}: {node['html'][:160]} {node['failureSummary'][:300]}"
        for rule in found["violations"]
        for node in rule["nodes"][:3]
    ]
