"""Adoption by hand, its evidence, and the target of `revert`."""

import pytest

from node.line.head_by_hand import drop_kept, move_head, previous_head, the_line, tree_of
from node.line.line_writer import LineWriter
from node.line.promotion_trial import open_promotion_trial
from node.store.store import Store
from protocol.errors import ArnodeError, UsageError
from tests.node.examples import BASELINE, KEY, LINE
from tests.node.line_writers import GAIN_NANO, end_promotion_trial, keep, promotion_trial


def test_there_is_no_line_before_anything_was_measured(store: Store) -> None:
    with pytest.raises(UsageError) as caught:
        the_line(store)
    assert "arnode start" in caught.value.hint


def test_the_only_line_needs_no_name(line_writer: LineWriter) -> None:
    assert (
        the_line(line_writer.store) == the_line(line_writer.store, "tiny") == line_writer.known_line
    )


def test_an_unknown_task_is_answered_with_those_that_are_there(line_writer: LineWriter) -> None:
    with pytest.raises(UsageError) as caught:
        the_line(line_writer.store, "huge")
    assert "tiny" in caught.value.hint


def test_a_tree_is_named_by_itself_its_result_its_patch_or_its_adoption(
    line_writer: LineWriter,
) -> None:
    kept = keep(line_writer, "0.2")
    line = line_writer.known_line
    adoption = move_head(line_writer, line.working, evidence=None)
    for name in (line.working, kept.result, kept.patch, adoption.id):
        assert tree_of(line_writer.store, line, name.hex()[:10]) == line.working


def test_a_record_without_a_source_names_no_tree(line_writer: LineWriter) -> None:
    profile = line_writer.store.records.listed("profile")[0]
    with pytest.raises(UsageError) as caught:
        tree_of(line_writer.store, line_writer.known_line, profile.id.hex())
    assert "arnode log" in caught.value.hint


def test_only_the_baseline_and_passed_confirmations_are_evidence(line_writer: LineWriter) -> None:
    keep(line_writer, "0.2")
    tree = line_writer.known_line.working
    assert line_writer.store.experiments.evidence_for(LINE, tree) is None
    confirmation = promotion_trial(line_writer, gain_nano=GAIN_NANO)
    assert line_writer.store.experiments.evidence_for(LINE, tree) == confirmation.id
    baseline = line_writer.store.experiments.evidence_for(LINE, BASELINE.tree)
    assert baseline == line_writer.store.experiments.listed(LINE)[0].id


def test_a_missed_confirmation_is_no_evidence(line_writer: LineWriter) -> None:
    keep(line_writer, "0.2")
    tree = line_writer.known_line.working
    promotion_trial(line_writer, gain_nano=-GAIN_NANO)
    assert line_writer.store.experiments.evidence_for(LINE, tree) is None


def test_the_previous_head_is_where_the_last_adoption_came_from(line_writer: LineWriter) -> None:
    line = line_writer.known_line
    with pytest.raises(UsageError):
        previous_head(line_writer.store, line, KEY.public)
    keep(line_writer, "0.2")
    tree = line_writer.known_line.working
    move_head(line_writer, tree, evidence=None)
    assert previous_head(line_writer.store, line, KEY.public) == BASELINE.tree
    move_head(line_writer, BASELINE.tree, evidence=None)
    assert previous_head(line_writer.store, line, KEY.public) == tree


def test_a_kept_patch_leaves_the_working_line_with_those_kept_on_it(
    line_writer: LineWriter,
) -> None:
    first = keep(line_writer, "0.2")
    after_first = line_writer.known_line.working
    second, third = keep(line_writer, "0.3"), keep(line_writer, "0.4")
    assert drop_kept(line_writer, second.result.hex()) == (second.patch, third.patch)
    line = line_writer.known_line
    assert (line.working, line.stack, line.reference_nano) == (after_first, (first.patch,), ())
    assert drop_kept(line_writer, first.patch.hex()[:12]) == (first.patch,)
    assert (line_writer.known_line.working, line_writer.known_line.stack) == (BASELINE.tree, ())


def test_only_a_patch_of_the_working_line_can_be_dropped(line_writer: LineWriter) -> None:
    kept = keep(line_writer, "0.2")
    job = open_promotion_trial(line_writer)
    with pytest.raises(ArnodeError, match="a promotion trial against the current head"):
        drop_kept(line_writer, kept.patch.hex())
    end_promotion_trial(line_writer, job, gain_nano=GAIN_NANO)
    with pytest.raises(UsageError, match="is no kept patch of the working line") as caught:
        drop_kept(line_writer, kept.patch.hex())
    assert "arnode head --undo" in caught.value.hint
