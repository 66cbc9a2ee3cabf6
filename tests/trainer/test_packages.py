"""Distributions that a task names: shown with their dependencies, without their owner's name."""

import pytest

from protocol.errors import ConfigurationError
from trainer.sandbox.packages import NO_PACKAGES, installed, locked, shown_packages
from trainer.sandbox.visible import visible_tree


def inside(*names: str) -> set[str]:
    return {binding.inside for binding in shown_packages(installed(names))}


def lock_of(*names: str) -> bytes:
    return installed(names).lock


def test_a_package_is_shown_with_what_it_needs() -> None:
    shown = inside("aiohttp")
    assert {"/packages/aiohttp", "/packages/yarl", "/packages/multidict"} <= shown


def test_of_its_metadata_only_that_is_shown_which_names_no_place() -> None:
    reported = {path.rpartition("/")[2] for path in inside("aiohttp") if ".dist-info" in path}
    assert reported <= {"METADATA", "entry_points.txt"}
    assert "METADATA" in reported


def test_what_every_sandbox_shows_is_not_shown_twice() -> None:
    everybodys = {binding.inside for binding in visible_tree().bindings}
    assert "/packages/numpy" in everybodys
    assert inside("numpy").isdisjoint(everybodys)
    assert shown_packages(NO_PACKAGES) == ()
    assert NO_PACKAGES.digest is None


def test_a_package_that_is_not_here_is_named_with_its_fix() -> None:
    with pytest.raises(ConfigurationError, match="no-such-thing") as caught:
        installed(("no-such-thing", "click"))
    assert "pip install no-such-thing" in caught.value.hint


def test_a_version_may_be_asked_for() -> None:
    version = lock_of("msgpack").decode().strip().partition("==")[2]
    assert installed((f"msgpack=={version}",)) == installed(("msgpack",))
    with pytest.raises(ConfigurationError, match=r"msgpack==0\.0\.1"):
        installed(("msgpack==0.0.1",))


@pytest.mark.parametrize("asked", ["click>=8", "-r x", "click; x", "", "git+https://x", "./click"])
def test_what_is_no_package_is_refused(asked: str) -> None:
    with pytest.raises(ConfigurationError, match="does not name a package"):
        installed((asked,))


def test_our_own_package_is_never_shown() -> None:
    assert inside("arnode") == set()


def test_a_lock_follows_from_versions_and_not_from_spelling() -> None:
    assert lock_of("aiohttp") == lock_of("AIOHTTP")
    assert lock_of("aiohttp") != lock_of("click")
    assert b"click==" in lock_of("click")


def test_who_has_the_same_versions_may_run_what_somebody_locked() -> None:
    assert locked(lock_of("aiohttp")) == installed(("aiohttp",))


@pytest.mark.parametrize(
    ("lock", "named"),
    [
        (lock_of("click").replace(b"click==", b"click==0."), r"click==0\."),
        (lock_of("numpy").replace(b"numpy==", b"numpy==0."), r"other versions .* numpy==0\."),
        (b"no-such-thing==1\n", "no-such-thing"),
        (b"-r /etc/passwd\n", "is malformed"),
        (b"\xff\xfe", "is malformed"),
        (b"click==1; touch /tmp/x\n", "is malformed"),
        (b"click==1\x1b[2J\n", "is malformed"),
        (b"click\n", "is malformed"),
        (b"", "is malformed"),
    ],
)
def test_who_has_others_is_shown_which(lock: bytes, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        locked(lock)
