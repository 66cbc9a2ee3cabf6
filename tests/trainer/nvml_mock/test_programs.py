"""`doctor` and `start` as separate processes on machines whose driver reports a card."""

import json
import signal
import subprocess
from pathlib import Path

import pynvml
import pytest

from tests.integration.nodes import COMMAND, arnode, environment
from tests.trainer.nvml_mock.machine import Machine, uuid_of
from tests.trainer.nvml_mock.profiles import A100_SLICES, H100, RTX4090
from trainer.language_model.card_checks import torch_cuda

CPU_BUILD = "the installed torch is built for the CPU only"
pytestmark = pytest.mark.skipif(torch_cuda() is not None, reason="torch here is no CPU build")


@pytest.fixture
def env(machine: Machine, library: Path) -> dict[str, str]:
    """Return the environment in which a process finds the machine."""
    return machine.environment(library)


def test_doctor_shows_the_card_and_names_its_fault(
    machine: Machine, env: dict[str, str], tmp_path: Path
) -> None:
    machine.has(RTX4090)
    said = arnode(tmp_path, "doctor", env=env).stdout
    card = "NVIDIA GeForce RTX 4090 (rtx4090-24g), driver 570.133.20, 320 of 450 W"
    assert f"warning  device        {card}; {CPU_BUILD}\n" in said
    assert "-m trainer.cards.install_torch cu126`: torch's build for CUDA 12.6 fits" in said


@pytest.mark.soak
def test_doctor_reports_programs_the_same(
    machine: Machine, env: dict[str, str], tmp_path: Path
) -> None:
    machine.has(A100_SLICES, H100)
    machine.fails("*", pynvml.NVML_ERROR_GPU_IS_LOST, place="1")
    document = json.loads(arnode(tmp_path, "doctor", "--json", env=env).stdout)
    assert document["ok"]
    device = next(check for check in document["checks"] if check["name"] == "device")
    assert device["status"] == "warning"
    slices = [f"(a100-80g-mig-{part})" in device["detail"] for part in ("3g40g", "1g10g")]
    assert (slices, "H100" in device["detail"]) == ([True, True], False)
    assert device["detail"].endswith(CPU_BUILD)
    assert "trainer.cards.install_torch cu126" in device["hint"]


def test_a_card_that_fails_its_selftest_is_reported(
    machine: Machine, env: dict[str, str], tmp_path: Path
) -> None:
    machine.has(RTX4090)
    machine.fails("nvmlDeviceGetMemoryInfo", pynvml.NVML_ERROR_GPU_IS_LOST)
    said = arnode(tmp_path / "home", "doctor", "--self-test", code=6, env=env, cwd=tmp_path).stderr
    assert f"card: cpu-build: {CPU_BUILD}; `tiny` runs on the processor" in said
    assert f"card: card-lost: the card {uuid_of(0)} has fallen off the bus" in said
    (report,) = json.loads((tmp_path / "gpu-report.json").read_text())
    assert "RTX 4090" in json.dumps(report)


def test_start_says_why_tiny_runs_and_gives_the_limit_back(
    machine: Machine, env: dict[str, str], tmp_path: Path
) -> None:
    machine.has(RTX4090)
    words = ["start", "--network", "none", "--max-experiments", "1", "--max-watts", "300"]
    said = []
    with subprocess.Popen(
        [*COMMAND, *words],
        env=environment(tmp_path, env),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as node:
        assert node.stderr is not None
        for line in node.stderr:
            said.append(line)
            if line.startswith("idle, as tiny is measured on the CPU: NVIDIA GeForce RTX 4090"):
                assert machine.limit_mw() == 300_000
                node.send_signal(signal.SIGINT)
    text = "".join(said)
    assert f"card {uuid_of(0)}: 300 W instead of 320" in text
    assert f"cpu-build: {CPU_BUILD}; `tiny` runs on the processor; run `" in text
    assert "trainer.cards.install_torch cu126" in text
    assert (node.returncode, said[-1]) == (130, "arnode: interrupted\n")
    assert "Traceback" not in text
    assert machine.limit_mw() == 320_000
