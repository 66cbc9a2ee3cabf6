"""Failed tries of peers come last; each node starts with its own part of the untried."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import pytest

from node.home.home import Home
from node.line.experiment import ExperimentStep
from node.line.idea import Idea
from node.line.line_writer import LineWriter
from node.loop.others_tries import OthersTries
from node.store.blobs import Blobs
from protocol.manifest import TaskManifest
from protocol.program import Instances
from protocol.record_kinds import Origin, Stage
from protocol.runs import CONTENDED
from protocol.source import Source
from tests.node.examples import BASELINE, HARDWARE_CLASS, MANIFEST, TASK
from tests.node.line_writers import BASE_NANO
from tests.node.peer_authors import PeerAuthor
from tests.node.scripted import ExampleTask
from tests.protocol.examples import PROGRAM_MANIFEST, RICH_PROGRAM
from tests.protocol.worlds import confirm, run
from trainer.task_folder.task import Task

HOUR_MS = 3_600_000
RUN_SD = 0.01
IDEA = Idea(
    base=BASELINE.tree,
    tree=bytes(32),
    fingerprint=bytes(32),
    key="move:gelu",
    title="GELU",
    why="",
    proposer="search",
)
IDEAS = [f"idea-{number}" for number in range(200)]


def tries_of(
    line_writer: LineWriter, accepts: Callable[[bytes], bool] = lambda _: True
) -> OthersTries:
    return tries_by(line_writer, line_writer.record_writer.author, accepts)


def tries_by(
    line_writer: LineWriter, author: bytes, accepts: Callable[[bytes], bool] = lambda _: True
) -> OthersTries:
    return OthersTries(
        line_writer.store,
        line_writer.key,
        author,
        cast("Task", ExampleTask()),
        run_sd=lambda: RUN_SD,
        author_filter=lambda: accepts,
    )


def publish(
    who: PeerAuthor, title: str, *, stage: Stage = "screen", gain_nano: int = 0, **other: object
) -> None:
    """Record the result of a peer's idea."""
    tree = Source.of({"train.py": f"LEARNING_RATE = 0.1  # {title}\n".encode()})
    patch = who.patch(BASELINE, tree, title=title)
    said = confirm(tree.tree, [gain_nano], base=BASELINE.tree)
    said = replace(said, stage=stage, patch=patch)
    given = {"task": TASK, "hardware_class": HARDWARE_CLASS, **other}
    who.publish(replace(said, **given))  # type: ignore[arg-type]


def keep_own(line_writer: LineWriter, title: str) -> None:
    """Record that this node kept an idea."""
    writer = line_writer.record_writer
    tree = Source.of({"train.py": f"LEARNING_RATE = 0.1  # {title}\n".encode()})
    for source in (BASELINE, tree):
        writer.blobs.put_source(source)
    base, kept_tree = BASELINE.tree, tree.tree
    origin = Origin(proposer="search")
    patch = writer.patch(base, kept_tree, title=title, why="", parents=(), origin=origin)
    runs = confirm(kept_tree, [0], base=base).runs
    writer.result(patch.id, base, kept_tree, stage="keep", runs=runs, note="")


def peer_author(line_writer: LineWriter, home: Home, number: int) -> PeerAuthor:
    return PeerAuthor(line_writer.store, Blobs(home.blobs), number=number)


def screened_out(tries: OthersTries) -> frozenset[str]:
    titles = ["RMSNorm", "GELU"]
    return tries.denied_by(titles, tries.accepted()).difference(kept(tries, titles))


def kept(tries: OthersTries, titles: Sequence[str]) -> tuple[str, ...]:
    return tuple(tries.kept_by(titles, tries.accepted()))


def part(tries: OthersTries, ideas: Sequence[str], now_ms: int) -> frozenset[str]:
    return tries.part_of(ideas, tries.accepted(), now_ms)


def test_what_somebody_screened_out_is_in_vain_until_somebody_keeps_it(
    line_writer: LineWriter, home: Home
) -> None:
    ada, grace = (peer_author(line_writer, home, number) for number in (1, 2))
    publish(ada, "RMSNorm")
    tries = tries_of(line_writer)
    assert screened_out(tries) == {"RMSNorm"}
    publish(ada, "GELU")
    assert screened_out(tries) == {"RMSNorm", "GELU"}
    publish(grace, "RMSNorm", stage="keep")
    assert screened_out(tries) == {"GELU"}


def test_a_result_that_arrives_before_its_patch_counts_once_that_is_here(
    line_writer: LineWriter, home: Home
) -> None:
    ada = peer_author(line_writer, home, 1)
    tries = tries_of(line_writer)
    tree = Source.of({"train.py": b"LEARNING_RATE = 0.2\n"})
    first = line_writer.store.records.patch(ada.patch(BASELINE, tree, title="GELU"))
    assert first is not None
    patch = ada.sign(replace(first, title="RMSNorm"))
    for stage in ("screen", "keep"):
        measured = confirm(tree.tree, [0], base=BASELINE.tree)
        ada.publish(
            replace(measured, stage=stage, patch=patch.id, task=TASK, hardware_class=HARDWARE_CLASS)
        )
        assert screened_out(tries) == frozenset()
    ada.send(patch)
    titles = ["RMSNorm", "GELU"]
    assert tries.denied_by(titles, tries.accepted()) == {"RMSNorm"}
    assert kept(tries, titles) == ("RMSNorm",)


def test_an_idea_that_gained_in_its_screen_is_not_in_vain(
    line_writer: LineWriter, home: Home
) -> None:
    """It passed, and then the line moved on; or too little for the line, by chance."""
    ada = peer_author(line_writer, home, 1)
    tries = tries_of(line_writer)
    publish(ada, "RMSNorm", gain_nano=round(1.5e9 * RUN_SD))
    publish(ada, "GELU", gain_nano=round(0.5e9 * RUN_SD))
    assert screened_out(tries) == {"GELU"}


@pytest.mark.parametrize("other", [{"task": bytes(32)}, {"hardware_class": "cuda-h100-80g"}])
def test_what_says_nothing_of_this_line_is_not(
    line_writer: LineWriter, home: Home, other: dict[str, object]
) -> None:
    publish(peer_author(line_writer, home, 1), "RMSNorm", **other)
    assert screened_out(tries_of(line_writer)) == frozenset()


def test_an_idea_that_failed_is_in_vain_unless_others_used_the_machine(
    line_writer: LineWriter, home: Home
) -> None:
    ada = peer_author(line_writer, home, 1)
    unmeasured = replace(run(1, "candidate", 0), metric_nano=None, secret_nano=None)
    cut_off = replace(unmeasured, status="timeout", flags=(CONTENDED,))
    publish(ada, "RMSNorm", status="timeout", runs=(cut_off,))
    publish(ada, "GELU", status="crash", runs=(replace(unmeasured, status="crash"),))
    assert screened_out(tries_of(line_writer)) == {"GELU"}


def test_what_others_kept_is_praised_unless_more_than_twice_as_many_tried_it_in_vain(
    line_writer: LineWriter, home: Home
) -> None:
    ada, grace, alan, eve = (peer_author(line_writer, home, number) for number in (1, 2, 3, 4))
    publish(ada, "RMSNorm", stage="keep")
    publish(ada, "GELU")
    tries = tries_of(line_writer)
    assert kept(tries, ["RMSNorm", "GELU"]) == ("RMSNorm",)
    publish(grace, "RMSNorm")
    assert kept(tries, ["RMSNorm", "GELU"]) == ("RMSNorm",)
    publish(alan, "RMSNorm")
    assert kept(tries, ["RMSNorm", "GELU"]) == ("RMSNorm",)
    assert screened_out(tries) == {"GELU"}
    publish(eve, "RMSNorm")
    assert kept(tries, ["RMSNorm", "GELU"]) == ()
    assert screened_out(tries) == {"RMSNorm", "GELU"}
    publish(ada, "RMSNorm", stage="keep", gain_nano=round(8.5e9 * RUN_SD))
    assert kept(tries, ["RMSNorm", "GELU"]) == ("RMSNorm",), "that large a gain is no luck"


def test_alone_every_idea_is_one_s_own(line_writer: LineWriter) -> None:
    assert part(tries_of(line_writer), IDEAS, time.time_ns() // 1_000_000) == frozenset()


def test_ideas_are_shared_out_evenly_among_who_is_at_work(
    line_writer: LineWriter, home: Home
) -> None:
    for number in range(1, 4):
        publish(peer_author(line_writer, home, number), f"of {number}")
    tries, now_ms = tries_of(line_writer), time.time_ns() // 1_000_000
    others = part(tries, IDEAS, now_ms)
    assert len(others) == 3 * len(IDEAS) / 4  # an even part is this node's own
    assert part(tries, IDEAS, now_ms + 7 * HOUR_MS) == frozenset()  # they have gone


def test_own_results_count_as_peers_count_them(line_writer: LineWriter, home: Home) -> None:
    ada = peer_author(line_writer, home, 1)
    publish(ada, "something else")
    now_ms = time.time_ns() // 1_000_000
    of_each = [tries_of(line_writer), tries_by(line_writer, ada.key.public)]
    moves = {idea: idea for idea in IDEAS[:40]}

    def of_others() -> list[frozenset[str]]:
        return [one.moves_of_others(moves, one.accepted(), now_ms) for one in of_each]

    of_ada, of_this_node = of_others()
    assert (len(of_ada), len(of_this_node)) == (20, 20)
    for idea in of_ada:
        keep_own(line_writer, idea)
    assert of_others() == [of_this_node, frozenset()], "ada is to try those that are left"


def test_a_move_stays_assigned_while_others_are_tried(line_writer: LineWriter, home: Home) -> None:
    """Nodes keep their moves while others try theirs."""
    now_ms = time.time_ns() // 1_000_000
    peers = [peer_author(line_writer, home, number) for number in range(1, 4)]
    of_each = [tries_of(line_writer)]
    of_each += [tries_by(line_writer, peer.key.public) for peer in peers]
    for peer in peers:
        publish(peer, "something else")
    moves = {idea: idea for idea in IDEAS[:8]}

    def parts() -> list[frozenset[str]]:
        return [one.moves_of_others(moves, one.accepted(), now_ms) for one in of_each]

    before = parts()
    assert [len(part) for part in before] == [6, 6, 6, 6]
    tried = frozenset(moves) - (before[1] & before[2])
    for peer, of_others in zip(peers[:2], before[1:3], strict=True):
        for idea in frozenset(moves) - of_others:
            publish(peer, idea, stage="keep")
    assert parts() == [part - tried for part in before]


def test_new_moves_go_to_nodes_that_tried_none(line_writer: LineWriter, home: Home) -> None:
    """Nodes that begin one after the other try one move each, not what others found so far."""
    ada, grace = (peer_author(line_writer, home, number) for number in (1, 2))
    tries, now_ms = tries_of(line_writer), time.time_ns() // 1_000_000
    for peer, idea in ((ada, IDEAS[0]), (grace, IDEAS[1])):
        publish(peer, idea, stage="keep")
    for start in range(2, 20):
        new = IDEAS[start : start + 3]
        moves = {idea: idea for idea in [*IDEAS[:2], *new]}
        of_others = tries.moves_of_others(moves, tries.accepted(), now_ms)
        assert len(of_others.intersection(new)) == 1, "two for this node, one for a peer"


def test_what_somebody_screened_is_repeated_by_somebody_else(
    line_writer: LineWriter, home: Home
) -> None:
    ada, grace = (peer_author(line_writer, home, number) for number in (1, 2))
    ideas = IDEAS[:60]
    for number, idea in enumerate(ideas):
        publish(ada, idea, gain_nano=round((number + 61) / 60 * 1e9 * RUN_SD))
    publish(grace, "something else")
    tries, now_ms = tries_of(line_writer), time.time_ns() // 1_000_000
    authors = tries.accepted()
    evenly = tries.part_of(ideas, authors, now_ms)
    again = tries.part_of(ideas, authors, now_ms, titles={idea: idea for idea in ideas})
    assert (len(evenly), len(again)) == (40, 20), "grace's part; this node repeats the others"


def test_as_many_nodes_repeat_an_idea_as_may_screen_it_out(
    line_writer: LineWriter, home: Home
) -> None:
    """One alone could be a second liar, or stop: a false loss would hide the idea."""
    now_ms = time.time_ns() // 1_000_000
    peers = [peer_author(line_writer, home, number) for number in range(1, 9)]
    for peer in peers:
        publish(peer, "something else")

    def nodes() -> int:
        of_each = [tries_of(line_writer)]
        of_each += [tries_by(line_writer, peer.key.public) for peer in peers]
        parts = [
            one.part_of(["idea"], one.accepted(), now_ms, titles={"idea": "RMSNorm"})
            for one in of_each
        ]
        return sum("idea" not in part for part in parts)

    repeating = [nodes()]
    for peer in peers[:3]:
        publish(peer, "RMSNorm")
        repeating.append(nodes())
    assert repeating == [1, 2, 1, 0]


def test_what_three_nodes_screened_out_is_repeated_by_nobody(
    line_writer: LineWriter, home: Home
) -> None:
    ada, grace, alan = (peer_author(line_writer, home, number) for number in (1, 2, 3))
    idea = IDEAS[0]
    tries, now_ms = tries_of(line_writer), time.time_ns() // 1_000_000

    def repeated_elsewhere() -> frozenset[str]:
        return tries.part_of([idea], tries.accepted(), now_ms, titles={idea: idea})

    for author in (ada, grace):
        publish(author, idea)
    assert repeated_elsewhere() == frozenset(), "only this node is left to repeat it"
    publish(alan, idea)
    assert repeated_elsewhere() == {idea}


def test_what_takes_many_runs_is_assigned_to_a_quarter_of_those_at_work(
    line_writer: LineWriter, home: Home
) -> None:
    now_ms = time.time_ns() // 1_000_000
    assert tries_of(line_writer).is_assigned("a trial", set(), now_ms), "nobody else is there"
    peers = [peer_author(line_writer, home, number) for number in range(1, 9)]
    for peer in peers:
        publish(peer, "GELU")
    of_each = [tries_of(line_writer)]
    of_each += [tries_by(line_writer, peer.key.public) for peer in peers]
    for what in ("a trial", "another trial"):
        assert sum(one.is_assigned(what, one.accepted(), now_ms) for one in of_each) == 2
    tries = tries_of(line_writer)
    assert tries.is_assigned("a trial", tries.accepted(), now_ms + 7 * HOUR_MS)


def test_who_has_only_a_baseline_is_at_work_too(line_writer: LineWriter, home: Home) -> None:
    """Nodes that start together divide the ideas from the first one on."""
    ada = peer_author(line_writer, home, 1)
    runs = (run(1, "base", BASE_NANO),)
    said = replace(confirm(BASELINE.tree, [0], base=BASELINE.tree), patch=None, runs=runs)
    said = replace(said, stage="baseline")
    ada.publish(replace(said, task=TASK, hardware_class=HARDWARE_CLASS))
    tries, now_ms = tries_of(line_writer), time.time_ns() // 1_000_000
    assert tries.are_at_work(now_ms)
    assert len(part(tries, IDEAS, now_ms)) == len(IDEAS) / 2


def test_results_of_a_rejected_author_do_not_count(line_writer: LineWriter, home: Home) -> None:
    """A liar could hide ideas by false losses, put bad ones first, or keep a part for itself."""
    ada, eve = (peer_author(line_writer, home, number) for number in (1, 2))
    publish(ada, "GELU", stage="keep")
    publish(eve, "GELU")
    publish(eve, "RMSNorm")
    publish(eve, "Softmax", stage="keep")
    now_ms = time.time_ns() // 1_000_000
    trusting, wary = (
        tries_of(line_writer, accepts)
        for accepts in (lambda _: True, lambda author: author != eve.key.public)
    )
    assert screened_out(trusting) == {"RMSNorm"}
    assert screened_out(wary) == frozenset()
    titles = ("GELU", "RMSNorm", "Softmax")
    assert set(kept(trusting, titles)) == {"GELU", "Softmax"}
    assert kept(wary, titles) == ("GELU",)
    assert len(part(trusting, IDEAS, now_ms)) > len(part(wary, IDEAS, now_ms))


EXACT = replace(
    PROGRAM_MANIFEST,
    metric=replace(PROGRAM_MANIFEST.metric, name="length"),
    program=replace(
        RICH_PROGRAM, instances=Instances(public=0, secret=0, fixed=("n=26",)), llm=None
    ),
)


@pytest.mark.parametrize("manifest", [EXACT, MANIFEST])
def test_where_scores_are_exact_authors_of_other_scores_do_not_count(
    line_writer: LineWriter, home: Home, manifest: TaskManifest
) -> None:
    """One run proves a false score; a single one among true ones may be an honest difference."""
    ada, bob, eve = (peer_author(line_writer, home, number) for number in (1, 2, 3))
    trees = [Source.of({"train.py": f"LEARNING_RATE = {rate}\n".encode()}) for rate in (1, 2)]
    for who, scores in ((ada, (1, 2)), (bob, (1, 5)), (eve, (4, 2))):
        for tree, score in zip(trees, scores, strict=True):
            publish(who, f"of {score}", tree=tree.tree, runs=(run(1, "candidate", score),))
    task = replace(ExampleTask(), manifest=manifest)
    author = line_writer.record_writer.author
    tries = OthersTries(
        line_writer.store, line_writer.key, author, cast("Task", task), run_sd=lambda: 0.0
    )

    def measures(tree: Source, score: int) -> None:
        idea = replace(IDEA, base=BASELINE.tree, tree=tree.tree)
        step = ExperimentStep(idea=idea, reference_nano=(), screen_nano=score)
        job = line_writer.store.jobs.open_job(line_writer.key, step, created_ms=0)
        line_writer.store.jobs.close_as(job, step)

    everyone = {who.key.public for who in (ada, bob, eve)}
    assert tries.accepted() == everyone
    measures(trees[0], 1)
    others = everyone - {eve.key.public}
    assert tries.accepted() == (others if manifest is EXACT else everyone)
    measures(trees[1], 2)
    assert tries.accepted() == everyone, "as many of bob's and of eve's scores are true as false"


def test_parts_of_two_nodes_do_not_meet(line_writer: LineWriter, home: Home) -> None:
    """Each takes for its own what the other leaves."""
    ada = peer_author(line_writer, home, 1)
    publish(ada, "RMSNorm")
    now_ms = time.time_ns() // 1_000_000
    of_ada = part(tries_of(line_writer), IDEAS, now_ms)
    hers = tries_by(line_writer, ada.key.public)
    hers._last_ms = {line_writer.record_writer.author: now_ms}
    assert part(hers, IDEAS, now_ms) == frozenset(IDEAS) - of_ada
