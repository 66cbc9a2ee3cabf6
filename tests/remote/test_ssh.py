"""A node whose lanes are reached by ssh: a real server of it, on this machine."""

import asyncio
import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from node.home.config import Config
from node.home.home import Home
from node.remote.opening import remote_lanes
from node.terminal.progress import silent
from protocol.errors import ArnodeError
from tests.conftest import UNHURRIED_TASK
from tests.free_ports import free_port
from tests.remote.programs import LaneHome

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin")
pytestmark = pytest.mark.skipif(
    SSHD is None or os.geteuid() != 0, reason="wants Debian's openssh-server, and root for it"
)
HOST = "attic"


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def attic(tmp_path: Path, lane_home: LaneHome, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine that `ssh` knows by that name, which is this one under a port of its own."""
    for name in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name]
        subprocess.run(command, check=True, timeout=30)
    port = free_port()
    (tmp_path / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path / 'host'}\n"
        f"AuthorizedKeysFile {tmp_path / 'user.pub'}\nStrictModes no\nUsePAM no\n"
        f"PidFile none\nPasswordAuthentication no\nSetEnv ARNODE_HOME={lane_home.root}\n"
    )
    (tmp_path / "ssh_config").write_text(
        f"Host {HOST}\n  HostName 127.0.0.1\n  Port {port}\n  User {getpass.getuser()}\n"
        f"  IdentityFile {tmp_path / 'user'}\n  IdentitiesOnly yes\n"
        f"  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n"
    )
    programs = tmp_path / "bin"
    programs.mkdir()
    wrapper = programs / "ssh"  # which reads no settings of the user who runs this
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {tmp_path}/ssh_config "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    Path("/run/sshd").mkdir(exist_ok=True)
    with subprocess.Popen([str(SSHD), "-D", "-f", tmp_path / "sshd_config"]) as server:
        try:
            end_s = time.monotonic() + 20
            while not answers(port) and time.monotonic() < end_s:
                time.sleep(0.1)
            yield
        finally:
            server.terminate()


def config_of(**other: object) -> Config:
    command = (sys.executable, "-m", "node", "worker", "lane")
    given = {"task": str(UNHURRIED_TASK), "lane_hosts": (f"{HOST}:2",), "lane_command": command}
    return replace(Config(), **{**given, **other})  # type: ignore[arg-type]


def test_a_node_measures_on_another_machine_over_ssh(
    tmp_path: Path, attic: None, lane_home: LaneHome
) -> None:
    async def measure() -> None:
        async with (
            asyncio.timeout(200),
            remote_lanes(
                Home(tmp_path / "home"),
                config_of(),
                lane_home.task,
                runs_untrusted=False,
                progress=silent,
                say=print,
            ) as lanes,
        ):
            assert len(lanes.runners) == 2
            lane = lanes.there[0]
            await lane.calibrate(1)
            outcome = await lane.run(lane.task.source, 5)
            assert outcome.status == "ok"
            assert list(lane_home.programs("lane"))

    asyncio.run(measure())
    assert not list(lane_home.programs("lane"))


def test_a_machine_without_arnode_is_one_clear_error(
    tmp_path: Path, attic: None, lane_home: LaneHome, caplog: pytest.LogCaptureFixture
) -> None:
    async def reach() -> None:
        async with (
            asyncio.timeout(60),
            remote_lanes(
                Home(tmp_path / "home"),
                config_of(lane_command=("no-such-arnode", "lane")),
                lane_home.task,
                runs_untrusted=False,
                progress=silent,
                say=print,
            ),
        ):
            pass

    with pytest.raises(
        ArnodeError, match="no lane is usable: its program ended before its first message"
    ):
        asyncio.run(reach())
    assert "not found" in caplog.text
