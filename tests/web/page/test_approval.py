"""Proposals that wait for the owner, on the page: look, approve, reject with a note, edit."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node.home.clock import clock_ms
from node.home.home import Home
from node.line.idea import Idea
from node.line.line_writer import LineWriter
from node.line.proposals import approve, edit, find_proposal, note_rule, open_proposal, reject
from node.store.blobs import Blobs
from node.store.named_tasks import remember_session
from node.store.store import Store
from node.web.commands import Answer, EditedProposal, RejectProposal
from tests.node.examples import BASELINE, LINE
from tests.node.line_writers import line_writer_of, proposal_of, with_baseline
from tests.web.page.full_store import HOSTILE
from tests.web.page.served import ServedHome
from tests.web.page.test_parts import broken_rules
from tests.web.page.visitor import Visitor


class DecidingHome(ServedHome):
    """A home whose node stores decisions, as a running one does."""

    def _answers(self) -> Mapping[str, Answer]:
        async def let(asked: Any) -> Any:
            with Store.open(self.home) as store:
                return {"state": approve(store, asked.id, now_ms=clock_ms()).step.state}

        async def drop(asked: RejectProposal) -> Any:
            with Store.open(self.home) as store:
                job = reject(store, asked.id, asked.note, now_ms=clock_ms())
                return {"state": job.step.state}

        async def change(asked: EditedProposal) -> Any:
            blobs = Blobs(self.home.blobs)
            with Store.open(self.home) as store:
                job = edit(store, blobs, asked.id, asked.files, now_ms=clock_ms())
                return {"state": job.step.state}

        return {**super()._answers(), "approve": let, "reject": drop, "edit": change}


def propose(home: Home, *rates: str, rule: str = "wait") -> list[int]:
    """Let proposals with hostile words wait."""
    with Store.open(home) as store:
        is_new = store.jobs.line(LINE) is None
        line_writer = (with_baseline if is_new else line_writer_of)(home, store)
        remember_session(store, LINE)
        note_rule(store, LINE, rule)
        return [open_proposal(line_writer, _hostile(line_writer, rate)).id for rate in rates]


def _hostile(line_writer: LineWriter, rate: str) -> Idea:
    idea = Idea.of(line_writer, proposal_of(BASELINE, rate, title=f"{rate} {HOSTILE[0]}"))
    why = f"Because.\n{HOSTILE[1]}"
    return replace(idea, why=why, model=HOSTILE[2][:80], usd_nano=12_345_678)


@pytest.fixture
def deciding(tmp_path: Path) -> Iterator[DecidingHome]:
    home = Home(tmp_path / "home")
    propose(home)
    with DecidingHome(home) as served:
        yield served


@pytest.fixture
def owner(chromium: Any, deciding: DecidingHome) -> Iterator[Visitor]:
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    with Visitor(context, deciding.link()) as visitor:
        yield visitor
    context.close()


def state_of(home: Home, number: int) -> tuple[str, str]:
    with Store.open_read_only(home) as store:
        step = find_proposal(store, number).step
        return step.state, step.note


def test_what_waits_is_announced_counted_and_approved_in_place(
    owner: Visitor, deciding: DecidingHome
) -> None:
    owner.go("overview")
    owner.page.get_by_text("Nothing waits.").wait_for()
    (number,) = propose(deciding.home, "0.5")
    owner.page.get_by_role("link", name="0.5").wait_for()
    owner.page.wait_for_function("() => document.title.startsWith('(1) ')")
    owner.page.wait_for_function(
        "() => document.getElementById('announcement').textContent.startsWith('waits for your')"
    )
    owner.page.get_by_role("button", name="Approve 0.5").press("Enter")
    owner.page.wait_for_selector(".badge >> text=approved")
    owner.page.wait_for_function("() => !document.title.startsWith('(')")
    assert state_of(deciding.home, number) == ("approved", "")
    assert not owner.is_hurt
    assert owner.faults == []


def test_one_is_looked_at_and_rejected_with_a_note(owner: Visitor, deciding: DecidingHome) -> None:
    (number,) = propose(deciding.home, "0.5")
    owner.go(f"proposals/{number}")
    assert "+LEARNING_RATE = 0.5" in owner.text(".diff")
    assert "0.0123 USD" in owner.text(".facts")
    owner.page.get_by_label("A note, if you reject it").fill("Leave the rate alone.")
    owner.page.get_by_role("button", name="Reject").press("Enter")
    owner.page.wait_for_selector("text=rejected by you")
    assert "Leave the rate alone." in owner.text(".facts")
    assert state_of(deciding.home, number) == ("rejected", "Leave the rate alone.")
    assert owner.page.get_by_role("button", name="Reject").count() == 0
    assert owner.faults == []


def test_the_owners_source_runs_instead(owner: Visitor, deciding: DecidingHome) -> None:
    (number,) = propose(deciding.home, "0.5")
    owner.go(f"proposals/{number}")
    owner.page.get_by_text("Edit it before it runs").press("Enter")
    editor = owner.page.get_by_label("train.py")
    assert editor.input_value() == "LEARNING_RATE = 0.5\n"
    run = owner.page.get_by_role("button", name="Run my version")
    editor.fill("def\n")
    run.click()
    owner.page.wait_for_selector("text=not Python")
    assert editor.input_value() == "def\n"  # nothing that was written is lost
    editor.fill("LEARNING_RATE = 0.7\n")
    run.click()
    owner.page.wait_for_selector(".badge >> text=edited by you")
    assert "+LEARNING_RATE = 0.7" in owner.text(".diff")
    assert state_of(deciding.home, number)[0] == "edited"
    assert owner.faults[1:] == []  # the browser notes the refusal


def test_who_only_reads_decides_nothing(chromium: Any, deciding: DecidingHome) -> None:
    (number,) = propose(deciding.home, "0.5")
    context = chromium.new_context()
    with Visitor(context, deciding.link(steers=False)) as reader:
        for view, shown in (
            ("overview", "text=0.5"),
            (f"proposals/{number}", "text=waits for you"),
        ):
            reader.go(view)
            reader.page.wait_for_selector(shown)
            assert reader.page.get_by_role("button", name="Approve").count() == 0
        assert "arnode approve decides" in reader.page.locator("#part").inner_text()
    context.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1024, "light"), (1440, "dark")])
def test_it_fits_its_window_and_breaks_no_rule_of_accessibility(
    owner: Visitor, deciding: DecidingHome, width: int, scheme: str
) -> None:
    first, _ = propose(deciding.home, "0.5", "0.6", rule="30m:skip")
    for view in ("overview", f"proposals/{first}"):
        owner.go(view)
        owner.page.wait_for_selector("text=if you do not answer")
        for folded in owner.page.locator("#part details").all():
            folded.evaluate("one => { one.open = true; }")
        owner.look(width, scheme)
        assert owner.overflow_px <= 0
        assert broken_rules(owner) == []
    assert not owner.is_hurt
    assert owner.faults == []


def test_without_approval_nothing_is_shown(owner: Visitor, deciding: DecidingHome) -> None:
    propose(deciding.home, rule="off")
    owner.go("experiments")
    owner.go("overview")
    assert owner.page.get_by_text("Waiting for your decision").count() == 0
