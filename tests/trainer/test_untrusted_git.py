"""Reading an untrusted repository runs no program and reads nothing outside."""

import os
from pathlib import Path

import pytest

from protocol.errors import ConfigurationError, SafetyError
from tests.untrusted_repositories import (
    CONFIGURATIONS,
    IGNORED,
    LEADING,
    MARK,
    SOURCE,
    SUBJECT,
    by_plain_git,
    git,
    hostile,
    repository,
)
from trainer.sandbox import tier, untrusted_git
from trainer.sandbox.inside.landlock import landlock_abi
from trainer.sandbox.tier import Tier, probe_tier
from trainer.sandbox.untrusted_git import UntrustedRepository

LIMIT = 1 << 20


def read(folder: Path, name: str = "HEAD:train.py") -> bytes | None:
    """Return a file of a repository, as an import or `try` would get it."""
    found = UntrustedRepository.around(folder)
    assert found is not None
    found.commits("HEAD", most=10)
    return found.blobs([name], limit_bytes=LIMIT).get(name)


@pytest.fixture(params=["full", "partial"])
def _each_tier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "full":
        if probe_tier().name != "full":
            pytest.skip("no tier full here")
    elif not landlock_abi():
        pytest.skip("the kernel has no Landlock")
    found = Tier(name=request.param, detail="")
    monkeypatch.setattr(tier, "probe_tier", lambda: found)


@pytest.mark.usefixtures("_each_tier")
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_no_configuration_runs_anything(name: str, tmp_path: Path) -> None:
    folder = hostile(tmp_path / "evil", name)
    is_missing = name.startswith("fetch")
    assert read(folder) == (None if is_missing else SOURCE)
    assert not (folder / MARK).exists()


@pytest.mark.parametrize("name", ["fetch: uploadpack", "fetch: ext", "fetch: ssh", "alias"])
def test_git_by_itself_would_have_run_it(name: str, tmp_path: Path) -> None:
    folder = hostile(tmp_path / "evil", name)
    by_plain_git(folder)
    assert (folder / MARK).exists() == name.startswith("fetch")


@pytest.mark.usefixtures("_each_tier")
@pytest.mark.parametrize("name", [*LEADING, *IGNORED])
def test_no_repository_leads_to_another(name: str, tmp_path: Path) -> None:
    folder, secret = repository(tmp_path / "evil"), repository(tmp_path / "secret")
    (secret / "train.py").write_text("KEY = 'secret'\n")
    git(secret, "commit", "-aqm", "a secret")
    {**LEADING, **IGNORED}[name](folder, secret)
    if name in IGNORED:
        assert read(folder) is None
        return
    with pytest.raises(ConfigurationError) as caught:
        read(folder)
    assert caught.value.hint
    assert "lies outside the folder" in caught.value.message or "borrows" in caught.value.message


@pytest.mark.usefixtures("_each_tier")
def test_a_plain_repository_is_read(tmp_path: Path) -> None:
    folder = repository(tmp_path / "plain")
    found = UntrustedRepository.around(folder)
    assert found is not None
    assert found.commits("main", most=10) == [git(folder, "rev-parse", "HEAD")]
    assert found.commits("gone", most=10) is None
    assert found.commits("--all", most=10) is None
    names = ["HEAD:train.py", "HEAD:gone.py", "HEAD:train.py\nHEAD:train.py", "HEAD"]
    assert found.blobs(names, limit_bytes=LIMIT) == {"HEAD:train.py": SOURCE}
    assert found.blobs(names, limit_bytes=4) == {}
    assert found.subject("HEAD", limit_bytes=LIMIT) == SUBJECT


def test_a_folder_inside_a_repository_is_known_by_its_path(tmp_path: Path) -> None:
    folder = repository(tmp_path / "plain")
    (folder / "sub" / "deep").mkdir(parents=True)
    found = UntrustedRepository.around(folder / "sub" / "deep")
    assert found is not None
    assert (found.git_dir, found.prefix) == (folder / ".git", "sub/deep/")


def test_a_bare_and_a_packed_repository_are_read(tmp_path: Path) -> None:
    folder = repository(tmp_path / "plain")
    git(folder, "clone", "-q", "--bare", str(folder), str(tmp_path / "bare.git"))
    git(folder, "gc", "-q")
    assert read(folder) == read(tmp_path / "bare.git") == SOURCE


def test_a_linked_work_tree_is_read_where_its_repository_knows_it(tmp_path: Path) -> None:
    folder, linked = repository(tmp_path / "plain"), tmp_path / "linked"
    git(folder, "worktree", "add", "-q", "-b", "other", str(linked))
    (linked / "train.py").write_text("RATE = 2\n")
    git(linked, "commit", "-aqm", "another")
    assert read(linked) == b"RATE = 2\n"
    assert read(folder) == SOURCE


def test_a_submodule_is_refused_by_name(tmp_path: Path) -> None:
    folder = repository(tmp_path / "plain")
    other = repository(tmp_path / "other")
    git(
        folder, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "sub"
    )
    with pytest.raises(ConfigurationError, match=r"sub: \.git lies outside the folder"):
        UntrustedRepository.around(folder / "sub")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_repository_of_another_user_is_read(tmp_path: Path) -> None:
    folder = repository(tmp_path / "theirs")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 1234, 1234)
    assert read(folder) == SOURCE


@pytest.mark.parametrize("name", ["HEAD", "objects/info/alternates"])
def test_a_fifo_in_the_place_of_a_file_is_refused(name: str, tmp_path: Path) -> None:
    folder = repository(tmp_path / "evil")
    path = folder / ".git" / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with pytest.raises(ConfigurationError, match=r"is a FIFO, not a plain file"):
        read(folder)


def test_a_repository_at_which_git_waits_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(untrusted_git, "TIMEOUT_S", 1)
    folder = repository(tmp_path / "evil")
    (folder / ".git" / "refs" / "heads" / "main").unlink()
    os.mkfifo(folder / ".git" / "refs" / "heads" / "main")
    with pytest.raises(ConfigurationError, match="git did not read the repository within 1 s"):
        read(folder)


def test_without_a_sandbox_nothing_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    none = Tier(name="none", detail="nothing works", hint="install it")
    monkeypatch.setattr(tier, "probe_tier", lambda: none)
    with pytest.raises(SafetyError, match="needs a sandbox: no sandbox: nothing") as caught:
        read(repository(tmp_path / "plain"))
    assert caught.value.hint == "install it"


@pytest.mark.usefixtures("_each_tier")
@pytest.mark.parametrize("name", ["insteadOf", "hooksPath", "fetch: uploadpack"])
def test_a_bundle_is_fetched_in_each_tier(name: str, tmp_path: Path) -> None:
    source, into = repository(tmp_path / "source"), hostile(tmp_path / "evil", name)
    git(source, "commit", "-q", "--allow-empty", "-m", "newer")
    git(source, "bundle", "create", "-q", str(tmp_path / "one"), "refs/heads/main")
    found = UntrustedRepository.around(into)
    assert found is not None
    assert found.fetch(tmp_path / "one", "refs/heads/main:refs/heads/brought") is None
    assert found.fetch(tmp_path / "one", "refs/heads/main:refs/heads/main") is not None
    assert found.subject("brought", limit_bytes=LIMIT) == "newer"
    assert found.subject("main", limit_bytes=LIMIT) == SUBJECT
    assert not (into / MARK).exists()


def test_a_folder_in_no_repository_has_none(tmp_path: Path) -> None:
    assert UntrustedRepository.around(tmp_path) is None
