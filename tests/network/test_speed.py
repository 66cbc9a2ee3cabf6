"""The speed patch: it caches, it forgets, and it sits on names that upstream still has."""

import importlib.metadata
import inspect
import os

import pytest
from libp2p.peer import peerstore
from libp2p.pubsub import gossipsub, pubsub
from libp2p.stream_muxer.yamux import yamux

from node.network.building import build_host
from node.network.speed import (
    OWN_RECORD_S,
    YAMUX_SWITCH,
    apply_speed_patch,
    cached_own_record,
)
from tests.network.arena import settings


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_libp2p_is_the_version_that_the_patches_and_guards_were_written_for() -> None:
    assert importlib.metadata.version("libp2p") == "0.8.1"


def test_upstream_has_the_names_that_are_replaced() -> None:
    parameters = inspect.signature(peerstore.env_to_send_in_RPC).parameters
    assert list(parameters) == ["host"]
    for module in (pubsub, gossipsub):
        assert "env_to_send_in_RPC(self" in inspect.getsource(module)


def test_both_modules_of_gossip_use_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(YAMUX_SWITCH, raising=False)
    apply_speed_patch()
    apply_speed_patch()
    replaced = {module.env_to_send_in_RPC for module in (pubsub, gossipsub)}
    assert len(replaced) == 1
    assert replaced.pop().__module__ == "node.network.speed"
    assert os.environ[YAMUX_SWITCH] == "0"
    assert yamux._yamux_release_on_read() is False


def test_the_own_record_is_made_once_in_five_seconds_for_each_host() -> None:
    clock, asked = Clock(), []

    def make(host: object) -> tuple[bytes, bool]:
        asked.append(host)
        return b"%d" % len(asked), True

    cached = cached_own_record(make, clock)
    one, other = build_host(settings()), build_host(settings())
    assert cached(one) == (b"1", True)
    assert cached(one) == (b"1", False)
    assert cached(other) == (b"2", True)
    clock.now = OWN_RECORD_S
    assert cached(one) == (b"3", True)
