"""What a fenced program sees of the machine: everything but the hidden folder."""

import subprocess
import sys
from pathlib import Path

import pytest

from protocol.errors import SafetyError
from trainer.sandbox import tier
from trainer.sandbox.fence import fenced
from trainer.sandbox.inside.landlock import landlock_abi
from trainer.sandbox.tier import Tier, probe_tier

LOOK = """
import os, sys
from pathlib import Path
home = Path(sys.argv[1])
def tried(action):
    try:
        return str(action())
    except OSError:
        return "refused"
print(tried((home / "shown").read_text))
print(tried((home / "hidden" / "key").read_text))
print(tried(lambda: os.listdir(home / "hidden")))
"""


def look(home: Path, *, is_networked: bool = False) -> list[str]:
    command = [sys.executable, "-c", LOOK, str(home)]
    fence = fenced(command, hidden=[home / "hidden", home / "none"], is_networked=is_networked)
    said = subprocess.run(fence, capture_output=True, text=True, check=True)
    return said.stdout.splitlines()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "key").write_text("secret")
    (tmp_path / "shown").write_text("shown")
    return tmp_path


@pytest.mark.parametrize("is_networked", [False, True])
def test_the_hidden_folder_is_empty_and_the_rest_is_there(home: Path, is_networked: bool) -> None:
    assert probe_tier().name == "full"
    assert look(home, is_networked=is_networked) == ["shown", "refused", "[]"]


@pytest.mark.skipif(not landlock_abi(), reason="the kernel has no Landlock")
@pytest.mark.parametrize("is_networked", [False, True])
def test_without_namespaces_it_is_refused(
    home: Path, is_networked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tier, "probe_tier", lambda: Tier(name="partial", detail=""))
    assert look(home, is_networked=is_networked) == ["shown", "refused", "refused"]


def test_without_a_sandbox_nothing_starts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tier, "probe_tier", lambda: Tier(name="none", detail="none", mend="mend"))
    with pytest.raises(SafetyError, match="no sandbox"):
        look(home)
