"""What may be adopted by hand, on which evidence, and what `revert` goes back to."""

import pytest

from node.line.head_by_hand import move_head, previous_head, the_line, tree_of
from node.line.ledger import Ledger
from node.store.store import Store
from protocol.errors import UsageError
from tests.node.books import GAIN_NANO, checkpoint, keep
from tests.node.examples import BASELINE, KEY, LINE


def test_there_is_no_line_before_anything_was_measured(store: Store) -> None:
    with pytest.raises(UsageError) as caught:
        the_line(store)
    assert "arnode start" in caught.value.hint


def test_the_only_line_needs_no_name(ledger: Ledger) -> None:
    assert the_line(ledger.store) == the_line(ledger.store, "tiny") == ledger.known_line


def test_an_unknown_task_is_answered_with_those_that_are_there(ledger: Ledger) -> None:
    with pytest.raises(UsageError) as caught:
        the_line(ledger.store, "huge")
    assert "tiny" in caught.value.hint


def test_a_tree_is_named_by_itself_its_result_its_patch_or_its_adoption(ledger: Ledger) -> None:
    kept = keep(ledger, "0.2")
    line = ledger.known_line
    adoption = move_head(ledger, line.working, evidence=None)
    for name in (line.working, kept.result, kept.patch, adoption.id):
        assert tree_of(ledger.store, line, name.hex()[:10]) == line.working


def test_a_record_without_a_source_names_no_tree(ledger: Ledger) -> None:
    profile = ledger.store.records.listed("profile")[0]
    with pytest.raises(UsageError) as caught:
        tree_of(ledger.store, ledger.known_line, profile.id.hex())
    assert "arnode log" in caught.value.hint


def test_only_the_baseline_and_passed_confirmations_are_evidence(ledger: Ledger) -> None:
    keep(ledger, "0.2")
    tree = ledger.known_line.working
    assert ledger.store.experiments.evidence_for(LINE, tree) is None
    confirmation = checkpoint(ledger, gain_nano=GAIN_NANO)
    assert ledger.store.experiments.evidence_for(LINE, tree) == confirmation.id
    baseline = ledger.store.experiments.evidence_for(LINE, BASELINE.tree)
    assert baseline == ledger.store.experiments.listed(LINE)[0].id


def test_a_missed_confirmation_is_no_evidence(ledger: Ledger) -> None:
    keep(ledger, "0.2")
    tree = ledger.known_line.working
    checkpoint(ledger, gain_nano=-GAIN_NANO)
    assert ledger.store.experiments.evidence_for(LINE, tree) is None


def test_the_previous_head_is_where_the_last_adoption_came_from(ledger: Ledger) -> None:
    line = ledger.known_line
    with pytest.raises(UsageError):
        previous_head(ledger.store, line, KEY.public)
    keep(ledger, "0.2")
    tree = ledger.known_line.working
    move_head(ledger, tree, evidence=None)
    assert previous_head(ledger.store, line, KEY.public) == BASELINE.tree
    move_head(ledger, BASELINE.tree, evidence=None)
    assert previous_head(ledger.store, line, KEY.public) == tree
