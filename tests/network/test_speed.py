"""The speed patch: it caches, it forgets, and it sits on names that upstream still has."""

import importlib.metadata
import inspect
import os

import pytest
from libp2p.peer import peerstore
from libp2p.peer.id import ID
from libp2p.pubsub import gossipsub, pubsub, utils
from libp2p.pubsub.pb.rpc_pb2 import RPC
from libp2p.stream_muxer.yamux import yamux

from node.network.building import build_host
from node.network.speed import (
    OWN_RECORD_S,
    PEER_RECORD_S,
    PEERS_REMEMBERED,
    YAMUX_SWITCH,
    apply_speed_patch,
    cached_own_record,
    skipping_known_records,
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
    parameters = inspect.signature(utils.maybe_consume_signed_record).parameters
    assert list(parameters) == ["msg", "host", "peer_id"]
    for module in (pubsub, gossipsub):
        source = inspect.getsource(module)
        assert "env_to_send_in_RPC(self" in source
        assert "maybe_consume_signed_record(" in source


def test_both_modules_of_gossip_use_the_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(YAMUX_SWITCH, raising=False)
    apply_speed_patch()
    apply_speed_patch()
    for name in ("env_to_send_in_RPC", "maybe_consume_signed_record"):
        replaced = {vars(module)[name] for module in (pubsub, gossipsub)}
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


def test_a_peers_record_is_taken_once_an_hour_and_again_when_it_changes() -> None:
    clock, taken = Clock(), list[bytes]()

    def take(rpc: RPC, _: object, __: ID) -> bool:
        taken.append(rpc.senderRecord)
        return rpc.senderRecord != b"false"

    known = skipping_known_records(take, clock)
    host, peer, other = build_host(settings()), ID(b"peer"), ID(b"other")
    assert known(RPC(), host, peer)
    for record in (b"a", b"a", b"b", b"b", b"a"):
        assert known(RPC(senderRecord=record), host, peer)
    assert taken == [b"a", b"b", b"a"]
    assert known(RPC(senderRecord=b"a"), host, other)
    clock.now = PEER_RECORD_S
    assert known(RPC(senderRecord=b"a"), host, peer)
    assert not known(RPC(senderRecord=b"false"), host, peer)
    assert not known(RPC(senderRecord=b"false"), host, peer)
    assert taken == [b"a", b"b", b"a", b"a", b"a", b"false", b"false"]


def test_only_so_many_peers_are_remembered() -> None:
    taken = 0

    def take(_: RPC, __: object, ___: ID) -> bool:
        nonlocal taken
        taken += 1
        return True

    known, host = skipping_known_records(take, Clock()), build_host(settings())
    for number in (*range(PEERS_REMEMBERED + 1), 0):
        assert known(RPC(senderRecord=b"same"), host, ID(b"%d" % number))
    assert taken == PEERS_REMEMBERED + 2
