"""The live view draws a node at any moment, in any terminal, without untrusted controls."""

import asyncio
import io
import os
import re
import signal
import sys
import time
from dataclasses import replace

import pytest
from rich.console import Console

from agent.proposal import NullProposer
from node.home.config import Config
from node.home.home import Home
from node.line.environment_change import request_head_recheck
from node.line.line_writer import LineWriter
from node.line.promotion_trial import open_promotion_trial
from node.line.trial import Confirmation, MetricReading, Pair, judge_pairs
from node.proposing.opening import Proposers
from node.running.line_resources import LineResources
from node.running.live import draw
from node.running.node import Node
from node.running.served import run_watched
from node.store.blobs import Blobs
from node.store.journal import Journal
from node.store.store import Store
from protocol.rule import DEFAULT
from protocol.statistics import NoiseEstimate
from tests.node.examples import BASELINE, run
from tests.node.line_writers import (
    BASE_NANO,
    GAIN_NANO,
    IDENTITY,
    conclude,
    confirmation_of,
    keep,
    line_writer_of,
    promotion_trial,
    proposal_of,
    with_baseline,
)
from tests.node.scripted import Bench
from trainer.measuring.loss_curve import LossCurve


def node_of(home: Home, store: Store) -> Node:
    """Return a node from the store, not yet at work."""
    bench, line_writer = Bench(home=home, store=store), line_writer_of(home, store)
    line_resources = LineResources(
        keys=IDENTITY.keys,
        store=store,
        line_writer=line_writer,
        journal=Journal(home, store, Blobs(home.blobs), line_writer.key),
    )
    return Node(
        home=home,
        config=Config(),
        line_resources=line_resources,
        session=bench.session(),
        ideas=bench.loop_assembly(line_writer).ideas,
        proposers=Proposers(fast=NullProposer()),
        research=bench.research(),
    )


def drawn(node: Node, *, width: int = 100, height: int = 40) -> str:
    """Return the screen of a terminal of this size."""
    console = Console(
        file=io.StringIO(),
        width=width,
        height=height,
        color_system=None,
        markup=False,  # as `node.terminal.terminal.console` makes it
    )
    console.print(draw(node))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def worked(home: Home, store: Store) -> LineWriter:
    """Books in which everything happened once."""
    line_writer = with_baseline(home, store)
    conclude(line_writer, proposal_of(BASELINE, "0.7"), "screened_out", BASE_NANO)
    conclude(line_writer, proposal_of(BASELINE, "0.8"), "failed", None)
    keep(line_writer, "0.2")
    promotion_trial(line_writer, gain_nano=GAIN_NANO)
    keep(line_writer, "0.3")
    return line_writer


def test_a_node_before_its_baseline_says_what_it_measures(home: Home, store: Store) -> None:
    shown = drawn(node_of(home, store))
    assert "tiny" in shown
    assert "measured" in shown


def test_a_node_that_worked_shows_head_and_experiments(home: Home, store: Store) -> None:
    worked(home, store)
    shown = drawn(node_of(home, store))
    for word in ("verified head", "LEARNING_RATE → 0.8", "failed", "1.4800"):
        assert word in shown


def test_a_head_to_recheck_is_reported_as_not_re_confirmed_yet(home: Home, store: Store) -> None:
    line_writer = worked(home, store)
    assert "not re-confirmed" not in drawn(node_of(home, store))
    request_head_recheck(line_writer, "to see")
    assert "confirmed in paired runs, not re-confirmed yet" in drawn(node_of(home, store))


@pytest.mark.parametrize(("width", "height"), [(40, 10), (60, 20), (80, 24), (300, 100)])
def test_it_fits_any_terminal(home: Home, store: Store, width: int, height: int) -> None:
    worked(home, store)
    shown = drawn(node_of(home, store), width=width, height=height)
    assert all(len(line) <= width for line in shown.splitlines())


@pytest.mark.parametrize("width", [24, 40, 80])
def test_the_elapsed_time_stays_and_the_title_gives_way(
    home: Home, store: Store, width: int
) -> None:
    worked(home, store)
    node = node_of(home, store)
    node.research.activity.running("a title of many words " * 5, "screen", "first run")
    activity = node.research.activity
    activity._shown = replace(activity._shown, started_s=time.monotonic() - 1234)
    (line,) = (line for line in drawn(node, width=width).splitlines() if "▶" in line)
    assert re.search(r"  12\d\d s", line)  # a drawing may take a second on a busy machine
    assert "…" in line
    whole = next(one for one in drawn(node, width=300).splitlines() if "▶" in one)
    assert re.search(r"words   12\d\d s", whole)


def test_the_loss_of_the_run_at_work_is_reported(home: Home, store: Store) -> None:
    worked(home, store)
    node, curve = node_of(home, store), LossCurve()
    activity = node.research.activity
    activity.running("a title", "screen", "first run", run=1)
    activity.trains(1, curve)
    assert "loss" not in next(line for line in drawn(node).splitlines() if "▶" in line)
    curve.feed(b"step 1200: loss 3.2104, 900 tokens/s\n")
    (line,) = (line for line in drawn(node).splitlines() if "▶" in line)
    assert "s, loss 3.2104 at step 1,200" in line


def test_an_interrupt_shows_at_once(
    home: Home,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    worked(home, store)
    node = node_of(home, store)
    shown: list[str] = []

    async def work() -> None:
        capsys.readouterr()
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0.1)  # less than passes from one picture to the next
        shown.append(capsys.readouterr().out)

    monkeypatch.setattr(node.research, "run", work)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    home.prepare()
    monkeypatch.setenv("FORCE_COLOR", "1")
    asyncio.run(run_watched(node, {}))
    assert "stopping after this run; Ctrl-C again to stop now" in shown[0]
    assert "again to stop now" in list(node.research.activity.messages)[-1]


def test_a_confirmation_under_way_shows_its_evidence(home: Home, store: Store) -> None:
    line_writer = worked(home, store)
    job = open_promotion_trial(line_writer)
    node = node_of(home, store)
    node.research.activity.weighing(confirmation_of(line_writer, job))
    assert "0 pairs; 4 to 20 more" in drawn(node)
    pairs = tuple(
        Pair(seed=seed, base=run(BASE_NANO), candidate=run(BASE_NANO - 9 * GAIN_NANO))
        for seed in (1, 2)
    )
    noise = NoiseEstimate.from_class(0.001)
    latest = judge_pairs(pairs, MetricReading(sign=1, noise=noise, policy=DEFAULT))
    node.research.activity.weighing(Confirmation(move="pair", pairs=pairs, latest=latest))
    assert re.search(r"2 pairs: gain \+0\.\d{4}, .*; 2 to 18 more", drawn(node))


def test_untrusted_text_cannot_write_on_the_screen(home: Home, store: Store) -> None:
    line_writer = with_baseline(home, store)
    hostile_text = "\x1b]0;owned\x07 \u202eevil [bold]markup[/bold]"
    proposal = proposal_of(BASELINE, "0.9", title="titled \u200devil [bold]x[/bold]")
    conclude(line_writer, proposal, "screened_out", BASE_NANO)
    node = node_of(home, store)
    activity = node.research.activity
    activity.running(hostile_text, "screen", "first run")
    activity.messages.append(hostile_text)
    shown = drawn(node)
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "\u202e" not in shown
    assert "\u200d" not in shown
    assert "[bold]x[/bold]" in shown


def test_a_line_without_reference_runs_is_drawn(home: Home, store: Store) -> None:
    line_writer = with_baseline(home, store)
    line_writer.save(replace(line_writer.known_line, reference_nano=()))
    assert "verified head" in drawn(node_of(home, store))


@pytest.mark.parametrize("width", [58, 78, 118])
def test_only_titles_are_shortened_in_a_narrow_terminal(
    home: Home, store: Store, width: int
) -> None:
    worked(home, store)
    node = node_of(home, store)
    node.research.activity.say("40 s is too short to verify anything: " * 3)
    shown = drawn(node, width=width)
    cut = [line for line in shown.splitlines() if "…" in line]
    assert [line for line in cut if "LEARNING_RATE" not in line] == []
    assert "Ctrl-C finishes this run and stops; nothing is lost" in shown


def test_the_last_picture_shows_no_run(home: Home, store: Store) -> None:
    worked(home, store)
    node = node_of(home, store)
    node.research.activity.running("a title", "screen", "first run")
    console = Console(file=io.StringIO(), width=80, height=40, color_system=None)
    console.print(draw(node, has_ended=True))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "stopped" in shown
    for word in ("▶", "a title", "Ctrl-C"):
        assert word not in shown
