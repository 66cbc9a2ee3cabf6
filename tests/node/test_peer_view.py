"""`arnode network peers` shows an author only if a profile binds the connection's key."""

from types import SimpleNamespace
from typing import cast

import pytest

from node.home.addresses import PeerId, peer_id
from node.peering.greeting import ConnectedPeer
from node.peering.membership import Membership
from node.peering.messages import Hello
from node.reporting.peers import peers_document
from node.reporting.status_text import print_peers
from node.store.store import Store
from protocol.encoding import EncodingError
from protocol.keys import SigningKey, bind
from protocol.record_kinds import ProfileBody
from protocol.records import VERSION, sign_record

NOW_MS = 1_800_000_000_000
AUTHOR, LIAR, TRANSPORT = (SigningKey.from_seed(bytes([number] * 32)) for number in (1, 2, 3))


def claiming(author: SigningKey) -> Membership:
    """A membership with one peer, which says in its hello that it signs as this author."""
    hello = Hello(
        v=VERSION,
        software="arnode",
        net="main",
        author=author.public,
        addresses=(),
        digests={},
    )
    peer: tuple[PeerId, ConnectedPeer] = (
        peer_id(TRANSPORT.public),
        ConnectedPeer(dialled=True, ask_at_s=0.0, hello=hello),
    )
    return cast("Membership", SimpleNamespace(network=SimpleNamespace(name="main"), peers=[peer]))


def shown_author(store: Store, membership: Membership) -> tuple[object, object]:
    document = peers_document(store, membership, lambda _author: "friend")
    match document["peers"]:
        case [{"author": author, "trust": trust}]:
            return author, trust
    raise AssertionError(document)


def test_who_only_says_so_is_shown_as_nobody(store: Store) -> None:
    assert shown_author(store, claiming(AUTHOR)) == (None, "unknown")


def test_a_peer_without_a_profile_is_said_to_wait_for_it(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    print_peers(peers_document(store, claiming(AUTHOR), lambda _author: "friend"))
    assert "its profile, with name and author, has not arrived yet" in capsys.readouterr().out


def test_a_profile_that_binds_the_connection_s_key_shows_its_author(store: Store) -> None:
    profile = ProfileBody(
        name="ada",
        version="1",
        transport=TRANSPORT.public,
        binding=bind(TRANSPORT, AUTHOR.public),
        classes=(),
    )
    record = sign_record(AUTHOR, net="main", seq=0, prev=None, ts_ms=NOW_MS, body=profile)
    assert store.intake.ingest([record.wire], now_ms=NOW_MS).rejected == []
    # Whatever its hello says: the profile counts.
    assert shown_author(store, claiming(LIAR)) == (AUTHOR.public.hex(), "friend")


def test_another_s_transport_key_in_a_profile_of_one_s_own_is_no_record() -> None:
    profile = ProfileBody(
        name="ada",
        version="1",
        transport=TRANSPORT.public,
        binding=bind(TRANSPORT, AUTHOR.public),  # seen in AUTHOR's profile
        classes=(),
    )
    with pytest.raises(EncodingError, match="does not vouch"):
        sign_record(LIAR, net="main", seq=0, prev=None, ts_ms=NOW_MS, body=profile)
