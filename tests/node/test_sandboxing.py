"""Which sandbox `start` and whatever else measures accepts."""

import pytest

from node.home import sandboxing
from node.home.config import Config
from node.home.sandboxing import require_peer_sandbox, require_sandbox
from protocol.errors import SafetyError
from trainer.sandbox.tier import Tier, TierName


def found(name: TierName, monkeypatch: pytest.MonkeyPatch) -> None:
    tier = Tier(name=name, detail="what was seen", hint="how to fix it")
    monkeypatch.setattr(sandboxing, "probe_tier", lambda: tier)


def test_tier_full_is_taken_without_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found("full", monkeypatch)
    require_sandbox(Config())
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "config"),
    [("container", Config()), ("partial", Config(allow_partial_sandbox=True))],
)
def test_a_weaker_tier_is_said_loudly(
    name: TierName,
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found(name, monkeypatch)
    require_sandbox(config)
    said = capsys.readouterr().err
    assert f"WEAKER SANDBOX (tier {name}): what was seen" in said
    assert "hint: how to fix it" in said


@pytest.mark.parametrize("name", ["none", "partial"])
def test_without_leave_nothing_is_run(name: TierName, monkeypatch: pytest.MonkeyPatch) -> None:
    found(name, monkeypatch)
    with pytest.raises(SafetyError, match="what was seen") as refused:
        require_sandbox(Config())
    assert refused.value.hint.startswith("how to fix it")
    assert ("--allow-partial-sandbox" in refused.value.hint) == (name == "partial")


@pytest.mark.parametrize(
    ("name", "config"), [("full", Config()), ("container", Config(peers_in_container=True))]
)
def test_others_code_runs_where_it_can_do_no_harm(
    name: TierName, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    found(name, monkeypatch)
    require_peer_sandbox(config)


@pytest.mark.parametrize("name", ["container", "partial", "none"])
def test_others_code_runs_in_no_weaker_sandbox_unasked(
    name: TierName, monkeypatch: pytest.MonkeyPatch
) -> None:
    found(name, monkeypatch)
    with pytest.raises(SafetyError) as refused:
        require_peer_sandbox(Config(allow_partial_sandbox=True))
    assert ("peers_in_container" in refused.value.hint) == (name == "container")
