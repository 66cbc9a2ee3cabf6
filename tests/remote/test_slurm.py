"""The job script brings a fleet up, on Debian's slurm-wlm with this machine as its only one."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from node.home.home import Home
from tests.free_ports import free_port
from tests.remote.programs import LaneHome, ended_runs

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
SCRIPT = Path(__file__).parents[2] / "docs" / "machines" / "fleet.slurm"
pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(
        os.geteuid() != 0 or any(shutil.which(one, path=PATH) is None for one in PROGRAMS),
        reason="wants Debian's slurm-wlm, and root for it",
    ),
]


@dataclass(kw_only=True)
class Slurm:
    """A cluster of one machine, with its own settings and places."""

    place: Path

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "SLURM_CONF": str(self.place / "slurm.conf"), "PATH": PATH}

    def call(self, *words: str) -> str:
        done = subprocess.run(
            words, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def state(self, job: str) -> str:
        return self.call("squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={job}")


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[Slurm]:
    place = tmp_path / "slurm"
    place.mkdir(mode=0o755)
    key = place / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    machine = socket.gethostname().partition(".")[0]
    controller, daemon = free_port(), free_port()
    (place / "slurm.conf").write_text(
        f"ClusterName=attic\nSlurmctldHost={machine}(127.0.0.1)\nSlurmctldPort={controller}\n"
        f"SlurmdPort={daemon}\nAuthType=auth/munge\nAuthInfo=socket={place}/munge.socket\n"
        f"CredType=cred/munge\nSlurmUser=root\nSlurmdUser=root\nStateSaveLocation={place}/state\n"
        f"SlurmdSpoolDir={place}/spool\nSlurmctldPidFile={place}/ctld.pid\n"
        f"SlurmdPidFile={place}/slurmd.pid\nProctrackType=proctrack/linuxproc\n"
        "TaskPlugin=task/none\nReturnToService=2\nSelectType=select/cons_tres\nMpiDefault=none\n"
        f"JobAcctGatherType=jobacct_gather/none\nKillWait=20\n"
        f"NodeName={machine} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} State=UNKNOWN\n"
        "PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n"
    )
    for folder in ("state", "spool"):
        (place / folder).mkdir()
    daemons = [
        ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={place}/munge.socket",
         f"--pid-file={place}/munge.pid", f"--seed-file={place}/seed",
         f"--log-file={place}/munge.log"],
        ["slurmctld", "-D", "-c"],
        ["slurmd", "-D"],
    ]  # fmt: skip
    found = Slurm(place=place)
    with ExitStack() as stack, (place / "log").open("wb") as log:
        for command in daemons:
            process = stack.enter_context(
                subprocess.Popen(command, env=found.environment, stdout=log, stderr=log)
            )
            stack.callback(process.terminate)
            time.sleep(1.0)
        end_s = time.monotonic() + 60
        while "idle" not in found.call("sinfo", "--noheader", "--format=%t"):
            assert time.monotonic() < end_s, (place / "log").read_text(errors="replace")
            time.sleep(0.5)
        yield found


def submit(slurm: Slurm, lane_home: LaneHome, *flags: str, options: tuple[str, ...] = ()) -> str:
    """Hand the script in; it finds arnode as this test does."""
    arnode = lane_home.root.parent / "arnode"
    arnode.write_text(f'#!/bin/sh\nexec {sys.executable} -m node "$@"\n')
    arnode.chmod(0o755)
    exports = {
        "ARNODE": str(arnode),
        "ARNODE_HOME": str(lane_home.root),
        "ARNODE_WEB": "none",
        "ARNODE_RAY_PORT": str(free_port()),
        "PATH": f"{Path(sys.executable).parent}:{PATH}",
        "HOME": str(Path.home()),
    }
    exported = ",".join(f"{name}={value}" for name, value in exports.items())
    output = lane_home.root.parent / "job"
    return slurm.call(
        "sbatch", "--parsable", f"--export={exported}", f"--output={output}", "--nodes=1",
        "--cpus-per-task=2", f"--chdir={SCRIPT.parents[2]}", *options, str(SCRIPT),
        "--task", str(lane_home.folder), "--network", "none", *flags,
    )  # fmt: skip


def said_in(lane_home: LaneHome) -> str:
    """Return the output of the latest job so far."""
    output = lane_home.root.parent / "job"
    return output.read_text(errors="replace") if output.exists() else ""


def await_end(slurm: Slurm, job: str, within_s: float) -> str:
    end_s = time.monotonic() + within_s
    while (state := slurm.state(job)) in ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING"):
        assert time.monotonic() < end_s, state
        time.sleep(0.5)
    return state


def runs_on_lanes(root: Path) -> int:
    outcomes = [run.outcome for run in ended_runs(Home(root))]
    return sum(one is not None and one.machine is not None for one in outcomes)


def test_a_job_is_a_node_with_lanes_that_slurm_s_warning_stops_and_the_next_job_goes_on(
    slurm: Slurm, lane_home: LaneHome
) -> None:
    job = submit(slurm, lane_home)
    end_s = time.monotonic() + 200
    while runs_on_lanes(lane_home.root) < 2:
        said = said_in(lane_home)
        assert time.monotonic() < end_s, said
        time.sleep(0.5)
    slurm.call("scancel", "--batch", "--signal=TERM", job)
    state = await_end(slurm, job, 120)
    said = said_in(lane_home)
    assert state == "COMPLETED", said
    assert "Resume: arnode start" in said
    before = runs_on_lanes(lane_home.root)
    job = submit(slurm, lane_home, "--max-experiments", "1")
    assert await_end(slurm, job, 240) == "COMPLETED", said_in(lane_home)
    assert runs_on_lanes(lane_home.root) > before
    assert not list(lane_home.programs("node"))
