"""The steps of a visit and the owner's note on an experiment's page."""

from dataclasses import replace
from typing import Any

import pytest

from agent.visit.trace import EditedFile, TraceStep, numbered
from node.store.database import Database
from node.store.notes import keep_note
from node.store.store import Store
from node.store.traces import keep_trace, link_trace
from tests.node.examples import LINE
from tests.node.visits import DIFF, STEPS, body, visit
from tests.web.page.full_store import HOSTILE, Full
from tests.web.page.served import ServedHome
from tests.web.page.test_parts import broken_rules
from tests.web.page.visitor import Visitor

LOOKS = ((1440, "light"), (390, "dark"), (1024, "dark"), (390, "light"))
PARTS = ("experiment", "hostile experiment", "visit", "visits", "settings")
HURTFUL = tuple(
    TraceStep(kind=kind, who=HOSTILE[1], text=f"{HOSTILE[0]}\n{HOSTILE[2]}\n" * 20)
    for kind in ("prompt", "answer", "tool", "output", "thought")
)
EDIT = TraceStep(
    kind="edit",
    text=DIFF + "".join(f"+{one}\n" for one in HOSTILE),
    files=(EditedFile(path=HOSTILE[0], added=4, removed=1),),
)
REVIEWED = (
    *numbered(STEPS, 1),
    *numbered(STEPS[2:], 2),
    TraceStep(kind="choice", who="some/judge", text="CHOICE: 1"),
    TraceStep(kind="refusal", text="Proposal 2 was not chosen.", refusal="reviewer"),
)


@pytest.fixture(scope="module", autouse=True)
def numbers(served: ServedHome, full: Full) -> dict[str, int]:
    """Store visits: one of the hostile experiment, one of the kept one, and two without any."""
    with Store.open(served.home) as store:
        database: Database = store.database
        hostile = visit(title=HOSTILE[0][:100], proposer=HOSTILE[1])
        found = {
            "hostile": keep_trace(database, hostile, body(*HURTFUL, EDIT)),
            "reviewed": keep_trace(database, visit(), body(*REVIEWED)),
            "refused": keep_trace(database, visit(refusal="tried", reason=HOSTILE[0]), body()),
        }
        link_trace(database, found["hostile"], bytes.fromhex(full.hostile))
        link_trace(database, found["reviewed"], bytes.fromhex(full.kept))
        note = f"{HOSTILE[0]}\n{HOSTILE[1]}"
        keep_note(store, LINE, note, now_ms=1, about=bytes.fromhex(full.hostile), leave=True)
        for number in range(60):
            again = replace(visit(refusal="limit"), ts_ms=number, is_answered=True)
            keep_trace(database, again, body(STEPS[0]))
    return found


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
@pytest.mark.parametrize(
    "part", ["experiment", "hostile experiment", "visit", "visits", "settings"]
)
def test_visits_fit_their_window_and_hurt_nobody(
    tab: Visitor, full: Full, numbers: dict[str, int], part: str, width: int, scheme: str
) -> None:
    paths = {
        "experiment": f"experiments/{full.kept}",
        "hostile experiment": f"experiments/{full.hostile}",
        "visit": f"visits/{numbers['hostile']}",
        "visits": "visits",
        "settings": "settings",
    }
    tab.go(paths[part])
    tab.look(width, scheme)
    if part not in {"visits", "settings"}:
        tab.page.get_by_role("button", name="Open all").click()
        assert tab.page.locator(".trace details:not([open])").count() == 0
    assert tab.overflow_px <= 0
    assert broken_rules(tab) == []
    assert tab.page.locator(".fault").all_inner_texts() == []
    assert tab.page.locator("#part img, #part script").count() == 0
    assert not tab.is_hurt
    assert tab.faults == []


def test_steps_open_with_the_keyboard_and_say_who_and_what(visitor: Visitor, full: Full) -> None:
    visitor.go(f"experiments/{full.kept}")
    tree = visitor.page.locator("section", has_text="How it was proposed").locator(".trace").first
    tree.wait_for()
    drafts = tree.locator("> li > details > summary")
    assert drafts.first.inner_text().split("\n")[0].startswith("Proposal 1")
    answer = tree.locator("summary", has_text="Answer").first
    assert "some/model" in answer.inner_text()
    assert "6,210 + 412 tokens" in answer.inner_text()
    assert "8.1 s" in answer.inner_text()
    details = answer.locator("xpath=..")
    assert details.get_attribute("open") is None
    answer.focus()
    visitor.page.keyboard.press("Enter")
    assert details.get_attribute("open") is not None
    assert "I would try a larger step." in details.inner_text()
    assert "train.py +1 −1" in tree.locator("summary", has_text="Edit").first.inner_text()
    assert tree.locator(".diff .added").first.inner_text() == "+LEARNING_RATE = 0.3"
    refused = tree.locator(".refused summary").all_inner_texts()
    assert any("not readable" in one for one in refused)
    assert any("not chosen by the reviewer" in one for one in refused)


def test_visits_without_an_experiment_are_found(visitor: Visitor, numbers: dict[str, int]) -> None:
    visitor.go("settings")
    visitor.page.get_by_role("link", name="What was asked").click()
    visitor.page.wait_for_selector("text=The latest 300 are kept")
    rows = visitor.page.locator("tbody tr")
    rows.first.wait_for()
    assert rows.count() == 50
    visitor.page.get_by_role("button", name="Show more").click()
    visitor.page.wait_for_function("() => document.querySelectorAll('tbody tr').length === 63")
    visitor.page.get_by_label("Only those without").check()
    visitor.page.wait_for_function("() => location.hash.includes('without')")
    visitor.go(f"visits/{numbers['refused']}")
    assert "tried before" in visitor.page.locator("#part").inner_text()


def test_a_note_is_sent_with_its_flag(visitor: Visitor, served: ServedHome, full: Full) -> None:
    visitor.go(f"experiments/{full.kept}")
    visitor.page.get_by_label("Write a note").fill("It only helps at this width.")
    visitor.page.get_by_label("Leave this change alone").check()
    visitor.page.get_by_role("button", name="Save").click()
    visitor.page.get_by_label("Change your note").wait_for()
    command, arguments = served.requests[-1]
    assert command == "note"
    assert arguments == {
        "text": "It only helps at this width.",
        "experiment": full.kept,
        "leave": True,
    }
    assert "leave alone" in visitor.page.locator("section", has_text="Your note").inner_text()


def test_who_only_reads_sees_a_note_and_cannot_write_one(
    chromium: Any, served: ServedHome, full: Full
) -> None:
    context = chromium.new_context()
    with Visitor(context, served.link(steers=False)) as reader:
        reader.go(f"experiments/{full.hostile}")
        note = reader.page.locator("section", has_text="Your note")
        assert HOSTILE[1] in note.inner_text()
        assert note.locator("textarea").count() == 0
        reader.go(f"experiments/{full.confirmed}")
        assert reader.page.get_by_role("heading", name="Your note").count() == 0
    context.close()
