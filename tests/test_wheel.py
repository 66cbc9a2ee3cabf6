"""The wheel is complete: a node starts from it without a checkout nearby."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from node.demo.recording import NIGHT

ROOT = Path(__file__).parents[1]


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_a_node_starts_from_the_wheel_alone(tmp_path: Path) -> None:
    build = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT]
    subprocess.run([sys.executable, *build], check=True, timeout=120)
    (wheel,) = tmp_path.glob("arnode-*.whl")
    venv.create(tmp_path / "empty", with_pip=False)
    python = tmp_path / "empty" / "bin" / "python"
    (packages,) = (tmp_path / "empty" / "lib").glob("python*/site-packages")
    zipfile.ZipFile(wheel).extractall(packages)
    # arnode's dependencies come from here. Links to a checkout in such a folder are not followed.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))

    def arnode(*words: str) -> str:
        env = {
            **os.environ,
            "ARNODE_HOME": str(tmp_path / "home"),
            "ARNODE_ONLINE": "false",
            "ARNODE_WEB": "none",
        }
        command = [python, "-m", "node", *words]
        done = subprocess.run(
            command, check=False, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=200
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert arnode("help", "noise").startswith("noise: the standard deviation")

    found = subprocess.run(
        [python, "-c", "import node; print(node.__file__)"],
        cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert str(packages) in found.stdout
    assert (packages / "node" / "demo" / NIGHT).stat().st_size < 500_000
    arnode("start", "--task", "tiny", "--max-experiments", "1")
    assert "The task's baseline was measured first." in arnode("report")
    assert "nanochat" in arnode("task", "list")
