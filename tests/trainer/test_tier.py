"""The tier that is found, and the message if a better one is possible."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.errors import SafetyError
from trainer.language_model.harness import HARNESS
from trainer.sandbox import tier
from trainer.sandbox.bubblewrap import Bubblewrap
from trainer.sandbox.confined import Confined
from trainer.sandbox.forked import ForkedConfined, ForkedInNamespaces
from trainer.sandbox.landlock import can_scope_signals
from trainer.sandbox.profile import Profile
from trainer.sandbox.tier import Tier, TierName, make_backend, probe_tier

PROFILE = Profile(role="serve", harness=HARNESS, memory_bytes=1 << 30, scratch_bytes=1 << 20)


def found(monkeypatch: pytest.MonkeyPatch, full: Tier) -> Tier:
    monkeypatch.setattr(tier, "_probe_full", lambda: full)
    return probe_tier.__wrapped__()


NO_NAMESPACES = Tier(name="none", detail="bwrap cannot", hint="allow user namespaces")


@pytest.mark.skipif(not can_scope_signals(), reason="the kernel's Landlock is too old")
def test_without_namespaces_a_weaker_tier_is_found_and_the_fix_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weaker = found(monkeypatch, NO_NAMESPACES)
    expected = {"container", "none"} if os.geteuid() == 0 else {"partial"}
    assert weaker.name in expected
    assert weaker.hint == NO_NAMESPACES.hint
    assert NO_NAMESPACES.detail in weaker.detail
    if weaker.name == "none":  # our installation is where other users have no access
        assert "chmod o+x" in weaker.detail


def test_without_landlock_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tier, "landlock_abi", lambda: 0)
    nothing = found(monkeypatch, NO_NAMESPACES)
    assert nothing.name == "none"
    assert "Landlock" in nothing.detail


def test_a_tier_that_does_not_hold_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The self-test decides, not the kernel's reported features."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(tier, "confining", lambda _spec: ["echo", "not contained: a socket"])
    assert tier._try_out("partial", "detail") == Tier(name="none", detail="not contained: a socket")


@pytest.mark.parametrize(
    ("name", "backend", "forked"),
    [
        ("full", Bubblewrap, ForkedInNamespaces),
        ("container", Confined, ForkedConfined),
        ("partial", Confined, ForkedConfined),
    ],
)
def test_each_tier_has_its_layers(
    name: TierName, backend: type, forked: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tier, "probe_tier", lambda: Tier(name=name, detail=""))
    monkeypatch.setattr(tier, "why_nothing_is_forked", lambda: "")
    assert isinstance(make_backend(PROFILE), forked)
    for own in ({"is_fresh": True}, {"single_process": False}):
        assert isinstance(make_backend(replace(PROFILE, **own)), backend)
    monkeypatch.setattr(tier, "why_nothing_is_forked", lambda: "no clone3")
    assert isinstance(make_backend(PROFILE), backend)


def test_where_there_is_none_nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tier, "probe_tier", lambda: NO_NAMESPACES)
    with pytest.raises(SafetyError, match="no sandbox, no run: bwrap cannot") as refused:
        make_backend(PROFILE)
    assert refused.value.hint == "allow user namespaces"
