"""Peers' reported trials of other values: read as text, in order, and not trusted."""

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest

from agent.proposal import PeerTrial
from agent.source.literals import Scalar
from node.home.home import Home
from node.line.line_writer import LineWriter
from node.loop.others_tries import OthersTries
from node.store.blobs import Blobs
from protocol.ideas import HyperparameterSpec
from protocol.runs import CONTENDED, Status
from protocol.source import Source
from tests.node.examples import HARDWARE_CLASS, TASK
from tests.node.line_writers import BASE_NANO
from tests.node.peer_authors import SD_NANO, PeerAuthor
from tests.node.scripted import ExampleTask
from tests.protocol.worlds import confirm, run
from trainer.task_folder.task import Task

RUN_SD = SD_NANO / 1e9
START = 'RATE = 1e-2\nWIDTH = 64  # columns\nPATTERN = "SL"\nTIED = False\n'
VALUES: dict[str, Scalar] = {"RATE": 1e-2, "WIDTH": 64, "PATTERN": "SL", "TIED": False}


def source_of(text: str) -> Source:
    return Source.of({"train.py": text.encode()})


@pytest.fixture
def ada(line_writer: LineWriter, home: Home) -> PeerAuthor:
    return peer_author(line_writer, home, 1)


def peer_author(line_writer: LineWriter, home: Home, number: int) -> PeerAuthor:
    who = PeerAuthor(line_writer.store, Blobs(home.blobs), number=number)
    sees_trial(who, source_of(START), source_of(START), BASE_NANO, stage="baseline")
    return who


def sees_trial(
    who: PeerAuthor, base: Source, tree: Source, metric_nano: int, *, stage: str = "screen"
) -> None:
    """Have somebody publish what one run said of a tree."""
    is_baseline = stage == "baseline"
    patch = None if is_baseline else who.patch(base, tree)
    runs = (run(1, "base" if is_baseline else "candidate", metric_nano),)
    said = replace(confirm(tree.tree, [0], base=base.tree), stage=stage, patch=patch, runs=runs)
    who.publish(replace(said, task=TASK, hardware_class=HARDWARE_CLASS))


def tries_of(
    line_writer: LineWriter, accepts: Callable[[bytes], bool] = lambda _: True
) -> OthersTries:
    pattern = HyperparameterSpec(name="PATTERN", type="choice", choices=("SL", "L"))
    task = replace(ExampleTask(), source=source_of(START), hyperparameters=(pattern,))  # type: ignore[arg-type]
    author = line_writer.record_writer.author
    return OthersTries(
        line_writer.store,
        line_writer.key,
        author,
        cast("Task", task),
        run_sd=lambda: RUN_SD,
        author_filter=lambda: accepts,
    )


def peer_trials(
    line_writer: LineWriter,
    accepts: Callable[[bytes], bool] = lambda _: True,
    *,
    level_nano: int | None = None,
) -> tuple[PeerTrial, ...]:
    tries = tries_of(line_writer, accepts)
    return tries.trials(tries.accepted(), level_nano=level_nano)


def changed(old: str, new: str, text: str = START) -> str:
    assert old in text
    return text.replace(old, new)


def test_a_trial_has_the_values_of_its_base_and_what_they_say_it_gains(
    line_writer: LineWriter, ada: PeerAuthor
) -> None:
    faster = changed("RATE = 1e-2", "RATE = 2e-2")
    sees_trial(ada, source_of(START), source_of(faster), BASE_NANO - 3 * SD_NANO, stage="keep")
    wider = changed("WIDTH = 64", "WIDTH = 96", changed('"SL"', '"L"', faster))
    sees_trial(ada, source_of(faster), source_of(wider), BASE_NANO + SD_NANO)
    latest, first = peer_trials(line_writer)
    assert (dict(first.values), dict(first.before)) == (VALUES, {"RATE": 1e-2})
    assert (dict(first.after), first.gain_sd) == ({"RATE": 2e-2}, pytest.approx(3.0))
    assert dict(latest.values) == {**VALUES, "RATE": 2e-2}
    assert dict(latest.after) == {"WIDTH": 96, "PATTERN": "L"}
    assert latest.gain_sd == pytest.approx(-4.0)
    assert latest.base != first.base


def test_values_are_known_of_what_is_built_on_another_s_tree(
    line_writer: LineWriter, home: Home, ada: PeerAuthor
) -> None:
    grace = peer_author(line_writer, home, 2)
    faster = changed("RATE = 1e-2", "RATE = 2e-2")
    sees_trial(ada, source_of(START), source_of(faster), BASE_NANO - 3 * SD_NANO, stage="keep")
    sees_trial(grace, source_of(START), source_of(faster), BASE_NANO - 2 * SD_NANO, stage="keep")
    tied = changed("TIED = False", "TIED = True", faster)
    sees_trial(grace, source_of(faster), source_of(tied), BASE_NANO)
    of_ada, latest, first = peer_trials(line_writer)
    assert (of_ada.author, of_ada.gain_sd) == (ada.key.public.hex(), pytest.approx(3.0))
    assert latest.author == first.author == grace.key.public.hex()
    assert (dict(latest.after), latest.gain_sd) == ({"TIED": True}, pytest.approx(-2.0))


def test_where_scores_are_exact_a_trial_has_its_lead_over_this_nodes_tree(
    line_writer: LineWriter, ada: PeerAuthor
) -> None:
    faster = source_of(changed("RATE = 1e-2", "RATE = 2e-2"))
    sees_trial(ada, source_of(START), faster, BASE_NANO - 3 * SD_NANO, stage="keep")
    (only,) = peer_trials(line_writer, level_nano=BASE_NANO - SD_NANO)
    assert (only.gain_sd, only.lead_sd) == (pytest.approx(3.0), pytest.approx(2.0))
    (only,) = peer_trials(line_writer)
    assert only.lead_sd is None


def test_a_name_that_a_patch_takes_away_is_not_among_the_values_of_its_tree(
    line_writer: LineWriter, ada: PeerAuthor
) -> None:
    renamed = changed("RATE = 1e-2", "SPEED = 3")
    sees_trial(ada, source_of(START), source_of(renamed), BASE_NANO, stage="keep")
    wider = changed("WIDTH = 64", "WIDTH = 96", renamed)
    sees_trial(ada, source_of(renamed), source_of(wider), BASE_NANO)
    (only,) = peer_trials(line_writer)
    assert dict(only.values) == {"SPEED": 3, "WIDTH": 64, "PATTERN": "SL", "TIED": False}


@pytest.mark.parametrize(
    "text",
    [
        changed("RATE = 1e-2", "RATE = 2e-2") + "import os\n",
        changed("RATE = 1e-2", "RATE = 2 * 1e-2"),
        changed("RATE = 1e-2", "RATE = 2e-2; import os"),
        changed("RATE = 1e-2\n", ""),
        changed("RATE = 1e-2", "RATE = 1e99999"),
        changed("WIDTH = 64", "WIDTH = 6__4"),
        changed("WIDTH = 64", "WIDTH = 64_"),
        changed('"SL"', f'"{"S" * 80}"'),
    ],
    ids=[
        "more",
        "reckoned",
        "two statements",
        "taken away",
        "beyond all numbers",
        "no number",
        "nor this",
        "too long",
    ],
)
def test_what_does_more_than_set_values_is_no_trial(
    line_writer: LineWriter, ada: PeerAuthor, text: str
) -> None:
    sees_trial(ada, source_of(START), source_of(text), BASE_NANO - 3 * SD_NANO)
    assert peer_trials(line_writer) == ()


def fails(who: PeerAuthor, tree: Source, status: Status, *, flags: tuple[str, ...] = ()) -> None:
    """Have somebody publish that a tree did not come through."""
    sound = run(1, "candidate", BASE_NANO)
    runs = (replace(sound, status=status, metric_nano=None, secret_nano=None, flags=flags),)
    said = confirm(tree.tree, [0], base=source_of(START).tree)
    patch = who.patch(source_of(START), tree)
    said = replace(said, stage="screen", status=status, patch=patch, runs=runs)
    who.publish(replace(said, task=TASK, hardware_class=HARDWARE_CLASS))


def test_what_did_not_come_through_is_reported_as_such(
    line_writer: LineWriter, ada: PeerAuthor
) -> None:
    wider = source_of(changed("WIDTH = 64", "WIDTH = 4096"))
    for status in ("oom", "rejected"):
        fails(ada, wider, cast("Status", status))
    (only,) = peer_trials(line_writer)
    assert (dict(only.after), only.gain_sd) == ({"WIDTH": 4096}, None)


def test_what_others_on_somebody_s_machine_cut_off_says_nothing(
    line_writer: LineWriter, ada: PeerAuthor
) -> None:
    wider = source_of(changed("WIDTH = 64", "WIDTH = 96"))
    fails(ada, wider, "timeout", flags=(CONTENDED,))
    assert peer_trials(line_writer) == ()
    fails(ada, wider, "timeout")
    assert len(peer_trials(line_writer)) == 1


def test_of_an_unknown_base_nothing_is_known(line_writer: LineWriter, ada: PeerAuthor) -> None:
    elsewhere = source_of("RATE = 3e-2\n")
    sees_trial(ada, elsewhere, source_of("RATE = 4e-2\n"), BASE_NANO)
    assert peer_trials(line_writer) == ()


def test_a_chain_of_ever_more_names_is_not_followed_for_ever(
    line_writer: LineWriter, ada: PeerAuthor
) -> None:
    text = START
    for step in range(5):
        longer = text + "".join(f"N{step}_{number} = 1\n" for number in range(20))
        sees_trial(ada, source_of(text), source_of(longer), BASE_NANO, stage="keep")
        text = longer
        faster = changed("RATE = 1e-2", f"RATE = {step + 2}e-2", text)
        sees_trial(ada, source_of(text), source_of(faster), BASE_NANO)
    assert [dict(one.after) for one in peer_trials(line_writer)] == [{"RATE": 2e-2}]


def test_unaccepted_authors_are_not_shown(
    line_writer: LineWriter, home: Home, ada: PeerAuthor
) -> None:
    grace = peer_author(line_writer, home, 2)
    for who, rate in ((ada, "2e-2"), (grace, "3e-2")):
        sees_trial(who, source_of(START), source_of(changed("1e-2", rate)), BASE_NANO)
    (only,) = peer_trials(line_writer, lambda author: author == grace.key.public)
    assert dict(only.after) == {"RATE": 3e-2}


def test_of_each_author_only_the_latest_are_kept(line_writer: LineWriter, ada: PeerAuthor) -> None:
    for number in range(70):
        tree = source_of(changed("WIDTH = 64", f"WIDTH = {100 + number}"))
        sees_trial(ada, source_of(START), tree, BASE_NANO)
    found = peer_trials(line_writer)
    assert len(found) == 60
    assert dict(found[0].after) == {"WIDTH": 169}
