"""The facts that leaderboards read of records round-trip through the store."""

import json
from dataclasses import replace

import pytest

from node.store.facts import from_text, to_text
from protocol.board_facts import Vote
from protocol.evidence import Evidence
from protocol.styles import RUNS, Style

VOTE = Vote(
    id=b"i" * 32,
    author=b"a" * 32,
    seq=3,
    base=b"b" * 32,
    tree=b"t" * 32,
    target=None,
    verdict="confirmed",
    gain=None,
    anchor_gain=None,
    evidence=Evidence.of([(100, 90)], 1),
)


@pytest.mark.parametrize("style", [RUNS, Style.drawing(2), Style(name="exact")])
def test_how_pairs_are_read_is_kept_with_them(style: Style) -> None:
    vote = replace(VOTE, evidence=Evidence.of([(100, 90)] * 10, 1, style))
    assert from_text(vote.id, vote.author, to_text(vote)) == vote


def test_evidence_that_was_kept_without_its_style_is_of_runs() -> None:
    kind, *fields, evidence, again = json.loads(to_text(VOTE))
    kept = json.dumps([kind, *fields, evidence[:3], again])
    assert from_text(VOTE.id, VOTE.author, kept) == VOTE
