"""A narrow sandbox shows a program only the given files, and has no other program."""

import shutil
import subprocess
from pathlib import Path

import pytest

from protocol.errors import SafetyError
from trainer.sandbox import tier
from trainer.sandbox.inside.landlock import landlock_abi
from trainer.sandbox.narrow import Narrow, narrowed
from trainer.sandbox.tier import Tier, TierName, probe_tier

GIT = str(Path(shutil.which("git") or "").resolve())
TIERS: list[TierName] = ["full", "container", "partial"]


@pytest.fixture(params=TIERS, autouse=True)
def _each_tier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "full" and probe_tier().name != "full":
        pytest.skip("no tier full here")
    if not landlock_abi():
        pytest.skip("the kernel has no Landlock")
    found = Tier(name=request.param, detail="")
    monkeypatch.setattr(tier, "probe_tier", lambda: found)


def said_by(*words: str, shown: Path, is_alone: bool = True) -> subprocess.CompletedProcess[bytes]:
    """Run git with one visible folder."""
    environment = {"HOME": "/", "PATH": "/usr/bin:/bin", "GIT_CONFIG_NOSYSTEM": "1"}
    narrow = Narrow(
        command=[GIT, *words], environment=environment, shown=[str(shown)], is_alone=is_alone
    )
    return subprocess.run(narrowed(narrow), capture_output=True, check=False)


@pytest.fixture
def shown(tmp_path: Path) -> Path:
    """Return a folder to show, with a link that leads to a secret next to it."""
    folder = tmp_path / "shown"
    folder.mkdir()
    (folder / "a").write_text("mine\n")
    (tmp_path / "secret").write_text("theirs\n")
    (folder / "link").symlink_to(tmp_path / "secret")
    return folder


def test_what_is_shown_is_read_and_nothing_else(shown: Path) -> None:
    assert said_by("hash-object", str(shown / "a"), shown=shown).returncode == 0
    for hidden in (shown / "link", shown.parent / "secret", Path("/etc/passwd")):
        assert said_by("hash-object", str(hidden), shown=shown).returncode != 0


def test_nothing_is_written(shown: Path) -> None:
    assert said_by("init", "-q", str(shown / "new"), shown=shown).returncode != 0
    assert not (shown / "new").exists()


@pytest.mark.parametrize("is_alone", [True, False])
def test_no_other_program_runs(is_alone: bool, shown: Path) -> None:
    (shown / "program").write_text(f"#!/bin/sh\ntouch {shown}/PWNED\n")
    (shown / "program").chmod(0o755)
    for command in (f"!touch {shown}/PWNED", f"!{shown}/program"):
        said = said_by("-c", f"alias.x={command}", "x", shown=shown, is_alone=is_alone)
        assert said.returncode != 0
    assert not (shown / "PWNED").exists()


def test_without_a_sandbox_nothing_starts(shown: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tier, "probe_tier", lambda: Tier(name="none", detail="none", hint="x"))
    with pytest.raises(SafetyError, match="no sandbox"):
        said_by("version", shown=shown)
