"""Faults: all counted, one line per peer and minute, whatever they say."""

import logging

import pytest

from node.home.addresses import PeerId
from node.network.errors import Incidents, quieten_libp2p
from node.network.peer_budgets import PEERS_TRACKED


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_one_line_per_peer_and_minute_and_every_fault_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, counted = Clock(), list[PeerId]()
    incidents = Incidents(counted.append, clock)
    for _ in range(100):
        for name in "ab":
            incidents.note(PeerId(name), "gossip", ValueError("no"))
    assert [record.getMessage() for record in caplog.records] == [
        "peer a: gossip: ValueError: no",
        "peer b: gossip: ValueError: no",
    ]
    assert len(counted) == 200
    clock.now = 60
    incidents.note(PeerId("a"), "gossip", "again")
    assert len(caplog.records) == 3


def test_memory_is_bounded() -> None:
    incidents = Incidents(lambda _: None, Clock())
    for number in range(PEERS_TRACKED + 100):
        incidents.note(PeerId(str(number)), "gossip", "no")
    assert len(incidents._written_at) == PEERS_TRACKED


def test_what_libp2p_logs_for_its_peers_is_not_written(caplog: pytest.LogCaptureFixture) -> None:
    quieten_libp2p()
    logging.getLogger("libp2p.stream_muxer.yamux.yamux").error("peer %s exceeded", "a")
    assert not caplog.records
    assert logging.getLogger().handlers
