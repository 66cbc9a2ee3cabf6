"""Two patches together: from different stacks, on the working line, never what was tried."""

import random
from dataclasses import replace

import pytest

from agent.source.canonical import fingerprint
from node.home.home import Home
from node.line.experiment import close_experiment, open_experiment
from node.line.head_by_hand import move_head
from node.line.idea import Idea
from node.line.line_writer import LineWriter
from node.loop.authors import author_rates, failed_alone
from node.loop.combining import combination
from node.loop.peer_claims import Peers
from node.source_review.provenance import provenance
from node.store.blobs import Blobs
from node.store.experiments import ABLATION
from node.store.store import Store
from protocol.record_kinds import Origin
from protocol.runs import Env
from protocol.source import Source
from tests.node.examples import BASELINE, HARDWARE_CLASS, LINE, MANIFEST, TASK, run
from tests.node.line_writers import (
    BASE_NANO,
    finished,
    promotion_trial,
    proposal_of,
    with_baseline,
)
from tests.node.peer_authors import SD_NANO, PeerAuthor
from tests.protocol.worlds import rerun

NOISE_SD = SD_NANO / 1e9
ROWS = ["LEARNING_RATE = 0.1\n", *(f"C{number} = 1\n" for number in range(20))]
BASE = Source.of({"train.py": "".join(ROWS).encode()})


def with_row(row: str, at: int, base: Source = BASE) -> Source:
    rows = base["train.py"].decode().splitlines(keepends=True)
    rows.insert(at, row)
    return Source.of({"train.py": "".join(rows).encode()})


@pytest.fixture
def line_writer(home: Home, store: Store) -> LineWriter:
    line_writer = with_baseline(home, store)
    line_writer.blobs.put_source(BASE)
    move_head(line_writer, BASE.tree, evidence=None)
    return line_writer


def keep(line_writer: LineWriter, source: Source, title: str, *, gain_sd: float = 2.0) -> bytes:
    """Keep a source on the working line."""
    base = line_writer.source(line_writer.known_line.working)
    proposal = replace(
        proposal_of(BASELINE, "0.2", title=title),
        parent=base.tree,
        source=source,
        edits=(),
        fingerprint=fingerprint(source),
    )
    nano = BASE_NANO - round(gain_sd * SD_NANO)
    job = open_experiment(line_writer, Idea.of(line_writer, proposal))
    runs = finished(line_writer.store, job, nano)
    step = replace(job.step, decision="kept", gain_milli=round(1000 * gain_sd))
    return close_experiment(line_writer, job, step, runs, note="kept").patch


def missed(line_writer: LineWriter, *sources: tuple[str, int], gain_sd: float = 2.0) -> list[bytes]:
    """Keep rows one after the other in a stack that fails its promotion trial."""
    made: list[bytes] = []
    for row, at in sources:
        source = with_row(row, at, line_writer.source(line_writer.known_line.working))
        made.append(keep(line_writer, source, row.strip(), gain_sd=gain_sd))
    promotion_trial(line_writer, gain_nano=-SD_NANO)
    return made


def combined(line_writer: LineWriter, peers: Peers | None = None) -> Idea | None:
    return combination(line_writer, peers, noise_sd=NOISE_SD)


def text_of(line_writer: LineWriter, idea: Idea | None) -> str:
    assert idea is not None
    return line_writer.source(idea.tree)["train.py"].decode()


def test_what_was_kept_in_two_stacks_is_tried_together(line_writer: LineWriter) -> None:
    (first,) = missed(line_writer, ("FIRST = 1\n", 3))
    (second,) = missed(line_writer, ("SECOND = 1\n", 15))
    idea = combined(line_writer)
    text = text_of(line_writer, idea)
    assert "FIRST = 1\n" in text
    assert "SECOND = 1\n" in text
    assert idea is not None
    assert set(idea.parents) == {first, second}
    assert idea.base == BASE.tree
    assert (idea.author, idea.claim_milli, idea.co_authors) == (None, None, None)


def test_what_was_together_already_is_not_tried_together_again(line_writer: LineWriter) -> None:
    missed(line_writer, ("FIRST = 1\n", 3), ("SECOND = 1\n", 15))
    assert combined(line_writer) is None


def test_what_was_tried_is_not_tried_again(line_writer: LineWriter) -> None:
    missed(line_writer, ("FIRST = 1\n", 3))
    missed(line_writer, ("SECOND = 1\n", 15))
    idea = combined(line_writer)
    assert idea is not None
    line_writer.store.jobs.mark_tried(LINE.task, idea.fingerprint)
    assert combined(line_writer) is None


def test_patches_of_the_same_lines_are_not_forced_together(line_writer: LineWriter) -> None:
    missed(line_writer, ("FIRST = 1\n", 3))
    missed(line_writer, ("SECOND = 1\n", 3))
    assert combined(line_writer) is None


def test_what_the_line_has_is_no_part_of_it(line_writer: LineWriter) -> None:
    missed(line_writer, ("FIRST = 1\n", 3))
    keep(line_writer, with_row("SECOND = 1\n", 15), "SECOND")
    promotion_trial(line_writer, gain_nano=2 * SD_NANO)
    assert "SECOND = 1\n" in line_writer.explored["train.py"].decode()
    assert combined(line_writer) is None
    missed(line_writer, ("THIRD = 1\n", 9))
    text = text_of(line_writer, combined(line_writer))
    assert all(f"{name} = 1\n" in text for name in ("FIRST", "SECOND", "THIRD"))


def test_the_most_promising_two_come_first(line_writer: LineWriter) -> None:
    missed(line_writer, ("FIRST = 1\n", 3), gain_sd=1.0)
    missed(line_writer, ("SECOND = 1\n", 9), gain_sd=3.0)
    missed(line_writer, ("THIRD = 1\n", 15), gain_sd=2.0)
    text = text_of(line_writer, combined(line_writer))
    assert "FIRST" not in text


def test_what_was_found_to_be_worth_nothing_is_left_out(line_writer: LineWriter) -> None:
    (first,) = missed(line_writer, ("FIRST = 1\n", 3))
    missed(line_writer, ("SECOND = 1\n", 15))
    with line_writer.store.transaction():
        patch = line_writer.record_writer.patch(
            with_row("FIRST = 1\n", 3).tree,
            BASE.tree,
            title="without: FIRST",
            why="",
            parents=(first,),
            origin=Origin(proposer=ABLATION),
        )
        line_writer.record_writer.result(
            patch.id,
            with_row("FIRST = 1\n", 3).tree,
            BASE.tree,
            stage="keep",
            runs=[run(BASE_NANO)],
            note="",
        )
    assert combined(line_writer) is None


# With peers' claims


@pytest.fixture
def ada(store: Store, home: Home) -> PeerAuthor:
    return PeerAuthor(store, Blobs(home.blobs), number=50)


@pytest.fixture
def omar(store: Store, home: Home) -> PeerAuthor:
    return PeerAuthor(store, Blobs(home.blobs), number=51)


def peers_of(line_writer: LineWriter) -> Peers:
    return Peers(
        line_writer, net="main", share=1.0, chance=random.Random(1), noise_sd=lambda: NOISE_SD
    )


def confirmed(author: PeerAuthor, other: PeerAuthor, tree: Source) -> None:
    author.claims(tree, 2.0, base=BASE)
    said = rerun(other.key, tree.tree, [2 * SD_NANO] * 6, "confirmed", base=BASE.tree)
    other.publish(replace(said, task=TASK, hardware_class=HARDWARE_CLASS, env=Env()))


def test_an_own_patch_is_tried_with_what_a_peer_claims_and_somebody_confirmed(
    line_writer: LineWriter, ada: PeerAuthor, omar: PeerAuthor
) -> None:
    (own,) = missed(line_writer, ("OWN = 1\n", 3))
    ada.claims(with_row("CLAIMED = 1\n", 9), 2.0, base=BASE)
    assert combined(line_writer, peers_of(line_writer)) is None, "nobody confirmed it"
    confirmed(ada, omar, with_row("THEIRS = 1\n", 15))
    idea = combined(line_writer, peers_of(line_writer))
    text = text_of(line_writer, idea)
    assert "OWN = 1\n" in text
    assert "THEIRS = 1\n" in text
    assert idea is not None
    assert (idea.author, idea.co_authors, idea.parents[1]) == (ada.key.public, None, own)
    assert idea.claim_milli is not None


def test_what_does_more_than_arithmetic_is_not_combined(
    line_writer: LineWriter, ada: PeerAuthor, omar: PeerAuthor
) -> None:
    missed(line_writer, ("OWN = 1\n", 3))
    confirmed(ada, omar, with_row("import os\n", 15))
    assert combined(line_writer, peers_of(line_writer)) is None


def test_its_author_is_credited_and_not_charged_if_it_fails(
    line_writer: LineWriter, ada: PeerAuthor, omar: PeerAuthor, home: Home
) -> None:
    missed(line_writer, ("OWN = 1\n", 3))
    confirmed(ada, omar, with_row("THEIRS = 1\n", 15))
    idea = combined(line_writer, peers_of(line_writer))
    assert idea is not None
    job = open_experiment(line_writer, idea)
    runs = finished(line_writer.store, job, BASE_NANO)
    step = replace(job.step, decision="screened_out", gain_milli=-3000)
    close_experiment(line_writer, job, step, runs, note="no gain")
    assert failed_alone(line_writer) == set()
    assert ada.key.public not in author_rates(line_writer, ())
    lines = provenance(line_writer.store, Blobs(home.blobs), MANIFEST, LINE, idea.tree)
    whose = {line.text: line.writer.name for line in lines}
    assert (whose["THEIRS = 1"], whose["OWN = 1"]) == ("ada", "this node")
