"""A node whose lanes are a Ray cluster's: one of its own, on this machine."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from node.home.config import Config
from node.home.fleet import LOCAL
from node.home.home import Home
from node.remote.opening import remote_lanes
from node.store.store import Store
from node.terminal.progress import silent
from protocol.errors import ArnodeError
from tests.remote.programs import LaneHome, below, ended_runs
from trainer.measuring.training import PutOff

HERE = [sys.executable, "-m", "node"]


@pytest.fixture
def started(lane_home: LaneHome) -> Iterator[list[str]]:
    """The command of a node whose lanes are in its own home; what it left is looked at after."""
    yield [*HERE, "start", "--task", str(lane_home.folder), "--network", "none", "--ray", LOCAL]
    assert list(processes_of(lane_home.root)) == []


def processes_of(home: Path, name: bytes = b"") -> Iterator[int]:
    """The processes that were started with this home, and whose command has a word."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            environment = (place / "environ").read_bytes()
            command = (place / "cmdline").read_bytes()
        except OSError:
            continue
        if str(home).encode() in environment + command and command and name in command:
            yield int(place.name)


def env_of(home: LaneHome) -> dict[str, str]:
    return {**os.environ, "ARNODE_HOME": str(home.root), "ARNODE_WEB": "none"}


def until(condition: object, within_s: float = 90.0) -> None:
    end_s = time.monotonic() + within_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end_s
        time.sleep(0.2)


@pytest.mark.soak
def test_a_node_measures_on_its_cluster_and_notes_on_which_machine(
    lane_home: LaneHome, started: list[str]
) -> None:
    limits = ["--lanes", "2", "--max-experiments", "2"]
    done = subprocess.run(
        [*started, *limits],
        env=env_of(lane_home),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    home = Home(lane_home.root)
    with Store.open_read_only(home) as store:
        (line,) = store.jobs.lines()
    runs = [run.outcome for run in ended_runs(home) if run.outcome]
    assert runs
    assert {run.machine for run in runs} == {os.uname().nodename[:64]}
    assert line.task == lane_home.task.id


@pytest.mark.soak
def test_a_killed_node_leaves_nothing_of_its_cluster_and_goes_on(
    lane_home: LaneHome, started: list[str]
) -> None:
    home = Home(lane_home.root)
    with subprocess.Popen(
        [*started, "--lanes", "1"],
        env=env_of(lane_home),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    ) as node:
        try:
            until(lambda: bool(ended_runs(home)), 150)
            assert list(processes_of(lane_home.root, b"node.remote.lane"))
        finally:
            node.kill()
    until(lambda: not list(processes_of(lane_home.root)), 30)
    before = len(ended_runs(home))
    done = subprocess.run(
        [*started, "--lanes", "1", "--max-experiments", "1"],
        env=env_of(lane_home),
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(ended_runs(home)) > before


@pytest.mark.soak
def test_lanes_whose_parts_die_come_back(
    lane_home: LaneHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lane's program, Ray's worker that keeps it, and the process that speaks with Ray."""
    monkeypatch.setenv("ARNODE_HOME", str(lane_home.root))
    home = Home(lane_home.root)
    config = replace(Config(), task=str(lane_home.folder), ray=LOCAL, lanes=1)

    async def kill_each() -> None:
        said: list[str] = []
        async with (
            asyncio.timeout(250),
            remote_lanes(
                home, config, lane_home.task, runs_untrusted=False, progress=silent, say=said.append
            ) as lanes,
        ):
            (lane,) = lanes.runners
            for number, victim in enumerate(
                (b"node.remote.lane import", b"ray::LaneHost", b"node.remote.ray_driver"), 1
            ):
                calibrating = asyncio.create_task(lane.calibrate(1))
                await asyncio.sleep(0.1)
                victims = below(os.getpid(), victim)
                assert victims, victim
                for pid in victims:
                    os.kill(pid, signal.SIGKILL)
                with pytest.raises(PutOff):
                    await calibrating
                while not lane.is_there:  # noqa: ASYNC110 (nothing signals it)
                    await asyncio.sleep(0.1)
                assert lanes.states[0].times_lost == number
            await lane.calibrate(1)
            assert (await lane.run(lane.task.source, 5)).status == "ok"
            assert len(said) == 3

    asyncio.run(kill_each())


def test_a_cluster_that_is_not_there_is_one_clear_error(lane_home: LaneHome) -> None:
    home = Home(lane_home.root)
    config = replace(Config(), task=str(lane_home.folder), ray="127.0.0.1:1")
    home.ray_token.write_text("t" * 64)
    home.ray_token.chmod(0o600)

    async def reach() -> None:
        async with remote_lanes(
            home, config, lane_home.task, runs_untrusted=False, progress=silent, say=print
        ):
            pass

    with pytest.raises(ArnodeError, match=r"no answer from 127\.0\.0\.1:1") as fault:
        asyncio.run(reach())
    assert "arnode worker ray-head" in fault.value.hint
