"""Commands to a node from the page, and their authorisation."""

from typing import Any

from tests.web.page.full_store import Full
from tests.web.page.served import ServedHome
from tests.web.page.visitor import Visitor


def test_a_pause_of_an_hour_is_sent_to_the_node(visitor: Visitor, served: ServedHome) -> None:
    visitor.go("settings")
    visitor.page.get_by_label("How long").select_option("3600")
    visitor.page.get_by_role("button", name="Pause").click()
    visitor.page.wait_for_selector("text=Paused.")
    command, arguments = served.requests[-1]
    assert command == "pause"
    assert arguments["for_s"] == 3600


def test_a_stop_is_asked_about_once_more(visitor: Visitor, served: ServedHome) -> None:
    visitor.go("settings")
    before = len(served.requests)
    visitor.page.get_by_role("button", name="Stop …").click()
    assert len(served.requests) == before
    visitor.page.get_by_role("button", name="Leave it running").click()
    visitor.page.get_by_role("button", name="Stop …").click()
    visitor.page.get_by_role("button", name="Stop the node").click()
    visitor.page.wait_for_selector("text=The node stops after the current run.")
    assert served.requests[-1][0] == "stop"


def test_a_claim_is_verified_from_its_page(
    visitor: Visitor, served: ServedHome, full: Full
) -> None:
    visitor.go(f"records/{full.claim}")
    visitor.page.get_by_role("button", name="Verify here …").click()
    visitor.page.get_by_role("dialog").get_by_role("button", name="Verify here").click()
    visitor.page.wait_for_selector("text=Queued as job 1")
    command, arguments = served.requests[-1]
    assert (command, arguments["claim"]) == ("verify", full.claim)


def test_who_only_reads_has_nothing_to_press(chromium: Any, served: ServedHome, full: Full) -> None:
    context = chromium.new_context()
    with Visitor(context, served.link(steers=False)) as reader:
        reader.go("settings")
        assert reader.page.locator("#part button").count() == 0
        reader.go(f"records/{full.claim}")
        assert reader.page.get_by_role("button", name="Verify here").count() == 0
    context.close()
