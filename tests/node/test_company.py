"""Counts of what a line got from others and gave to them, from their records."""

import time
from dataclasses import asdict, replace

from node.home.home import Home
from node.line.experiment import PEER
from node.line.line_writer import LineWriter
from node.reporting.company import Companies, Company, CompanyCounter, company_words
from node.reporting.concluded import TimeSpan
from protocol.record_kinds import Stage
from protocol.source import Source
from tests.node.examples import BASELINE, HARDWARE_CLASS, TASK
from tests.node.line_writers import BASE_NANO, conclude, keep, proposal_of
from tests.node.peer_authors import PeerAuthor
from tests.node.test_others_tries import HOUR_MS, peer_author, publish
from tests.protocol.worlds import confirm


def on_ours(who: PeerAuthor, ours: bytes, *, stage: Stage) -> None:
    """Record a peer's result that is built on a patch of this node."""
    tree = Source.of({"train.py": b"LEARNING_RATE = 0.7\n"})
    patch = who.patch(BASELINE, tree, title="built on it", parents=(ours,))
    said = replace(confirm(tree.tree, [0], base=BASELINE.tree), stage=stage, patch=patch)
    who.publish(replace(said, task=TASK, hardware_class=HARDWARE_CLASS))


def test_what_others_screened_out_counts_unless_somebody_kept_it_or_it_was_tried_here(
    line_writer: LineWriter, home: Home
) -> None:
    assert CompanyCounter(line_writer.store, line_writer.key).company() == Company()
    assert company_words(asdict(Company())) == []
    keep(line_writer, "LEARNING_RATE = 0.2\n")
    *_, own = line_writer.store.experiments.listed(line_writer.key)
    ada, grace = (peer_author(line_writer, home, number) for number in (1, 2))
    for title in ("RMSNorm", "GELU", own.title):
        publish(ada, title)
    publish(grace, "GELU", stage="keep")
    found = CompanyCounter(line_writer.store, line_writer.key).company()
    assert found == Company(authors=2, left_out=1, left_out_runs=2)
    words = company_words(asdict(found))
    assert words == ["2 on this line", "1 change screened out by others only (2 runs)"]


def test_a_patch_of_this_node_is_given_once_others_keep_something_on_it(
    line_writer: LineWriter, home: Home
) -> None:
    ours = keep(line_writer, "LEARNING_RATE = 0.2\n").patch
    ada = peer_author(line_writer, home, 1)
    on_ours(ada, ours, stage="screen")
    assert CompanyCounter(line_writer.store, line_writer.key).company().given == 0
    on_ours(ada, ours, stage="keep")
    found = CompanyCounter(line_writer.store, line_writer.key).company()
    assert found.given == 1
    assert company_words(asdict(found))[-1] == "1 patch of this node used by others"


def test_only_what_happened_in_the_span_counts(line_writer: LineWriter, home: Home) -> None:
    publish(peer_author(line_writer, home, 1), "RMSNorm")
    line, store = line_writer.key, line_writer.store
    now_ms = int(1000 * time.time())
    assert (
        CompanyCounter(store, line, TimeSpan(since_ms=0, until_ms=now_ms - HOUR_MS)).company()
        == Company()
    )
    assert (
        CompanyCounter(store, line, TimeSpan(since_ms=0, until_ms=now_ms + HOUR_MS))
        .company()
        .authors
        == 1
    )


def test_claims_of_others_that_were_tried_here_are_counted(line_writer: LineWriter) -> None:
    theirs = replace(proposal_of(BASELINE, "LEARNING_RATE = 0.3\n"), proposer=PEER)
    conclude(line_writer, theirs, "kept", BASE_NANO - 1, BASE_NANO - 1)
    found = CompanyCounter(line_writer.store, line_writer.key).company()
    assert (found.tried, found.taken) == (1, 1)


def test_a_counter_goes_on_where_it_stopped(line_writer: LineWriter, home: Home) -> None:
    ada = peer_author(line_writer, home, 1)
    publish(ada, "RMSNorm")
    companies, line = Companies(), line_writer.key
    first = companies.of(line_writer.store, line)
    assert companies.of(line_writer.store, line) == first
    publish(ada, "GELU")
    again = companies.of(line_writer.store, line)
    assert again.left_out == first.left_out + 1
    assert again == CompanyCounter(line_writer.store, line).company()
