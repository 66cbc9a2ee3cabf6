"""Nodes of one owner that connect over the internet: their list and what they share."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.home.fleet import (
    FLEET,
    members_of,
    owner_of,
    people_of,
    read_fleet,
    sign_fleet,
    take_list,
)
from node.home.home import Home
from node.home.keyfile import load_keys
from node.home.people import People, write_people
from node.home.signed_list import SignedList
from node.line.line_writer import LineWriter
from node.loop.peer_claims import Peers
from node.reporting.peers import trust_in
from protocol.errors import ConfigurationError, Rejected, UsageError
from protocol.keys import SigningKey
from protocol.source import Source
from tests.node.examples import BASELINE, HARDWARE_CLASS, TASK
from tests.node.line_writers import BASE_NANO, GAIN_NANO, proposal_of
from tests.node.peer_authors import SD_NANO, PeerAuthor, peers
from tests.node.test_commands import arnode
from tests.protocol.worlds import confirm, run

OWNER = SigningKey.from_seed(bytes([9]) * 32)
FRIENDS = FLEET + OWNER.public.hex()
NOW_S = 1_795_672_800
keys = st.binary(min_size=32, max_size=32)


def listed(*members: bytes, written_s: int = NOW_S, by: SigningKey = OWNER) -> SignedList:
    return sign_fleet(members, key=by, written_s=written_s)


@given(st.lists(keys, min_size=1, max_size=256, unique=True), st.integers(0, NOW_S))
def test_a_list_is_read_as_it_was_signed(members: list[bytes], written_s: int) -> None:
    made = listed(*members, written_s=written_s)
    read = read_fleet(made.text(), owner=OWNER.public, now_s=NOW_S)
    assert read == made
    assert members_of(made) == set(members)


@given(st.integers(0), st.binary(min_size=1, max_size=4))
def test_a_list_that_was_changed_is_none(at: int, other: bytes) -> None:
    text = listed(bytes(32), bytes([1]) * 32).text()
    at %= len(text)
    changed = text[:at] + other + text[at + len(other) :]
    if changed != text:
        assert isinstance(read_fleet(changed, owner=OWNER.public, now_s=NOW_S), Rejected)


def test_of_the_fleet_are_those_on_the_newest_list_and_its_owner(home: Home) -> None:
    one, other = bytes([1]) * 32, bytes([2]) * 32
    assert people_of(home, "") == People()
    assert people_of(home, FRIENDS).fleet == {OWNER.public}, "no list is here yet"
    now_s = int(time.time())
    take_list(home, OWNER.public, listed(one, other, written_s=now_s).text())
    assert people_of(home, FRIENDS).fleet == {one, other, OWNER.public}
    write_people(home.people, People(blocked=frozenset([other])))
    people = people_of(home, FRIENDS)
    assert people.fleet == {one, OWNER.public}
    assert [trust_in(people, {})(who) for who in (one, other)] == ["own fleet", "blocked"]
    take_list(home, OWNER.public, listed(other, written_s=now_s + 1).text())
    assert people_of(home, FRIENDS).fleet == {OWNER.public}, "one left, the other is blocked"
    with pytest.raises(UsageError, match="before the stored list"):
        take_list(home, OWNER.public, listed(one, other, written_s=now_s).text())
    peer_author = SigningKey.from_seed(bytes([8]) * 32)
    with pytest.raises(UsageError, match="its second line"):
        take_list(home, OWNER.public, listed(one, by=peer_author).text())
    home.fleet_list.write_bytes(listed(one, by=peer_author).text())
    with pytest.raises(ConfigurationError, match=r"fleet.txt: its second line"):
        people_of(home, FRIENDS)


def test_a_fleet_is_named_signed_and_taken_by_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, node = (Home(tmp_path / name) for name in ("owner", "node"))
    at = {}
    for home in (owner, node):
        home.prepare()
        at[home] = load_keys(home).author.public
    file = tmp_path / "list"
    monkeypatch.setenv("ARNODE_HOME", str(owner.root))
    assert "64 hex digits" in arnode(capsys, "network", "friends", "sign", "12ab", code=2)
    file.write_text(arnode(capsys, "network", "friends", "sign", at[node].hex()))
    monkeypatch.setenv("ARNODE_HOME", str(node.root))
    assert "names no fleet" in arnode(capsys, "network", "friends", "take", str(file), code=2)
    for wrong in ("ada", FLEET, f"{FLEET}12"):
        node.config.write_text(f'friends = "{wrong}"\n')
        assert "`friends`" in arnode(capsys, "network", "friends", code=6)
    node.config.write_text(f'friends = "{FLEET}{at[owner].hex()}"\n')
    output = arnode(capsys, "network", "friends", "take", str(file))
    assert "the fleet has 1 nodes, including this one" in output
    fleet = json.loads(arnode(capsys, "network", "friends", "--json"))["fleet"]
    assert fleet == sorted(key.hex() for key in at.values())
    assert f"fleet    {at[node].hex()}" in arnode(capsys, "network", "friends")
    file.write_bytes(file.read_bytes()[:-9])
    assert "not a list of this fleet" in arnode(
        capsys, "network", "friends", "take", str(file), code=2
    )


def test_a_setting_names_a_fleet_by_its_owner() -> None:
    assert owner_of(FRIENDS) == OWNER.public
    assert owner_of("") is None
    assert owner_of(OWNER.public.hex()) is None


# What a node of the fleet kept


@pytest.fixture
def ada(line_writer: LineWriter) -> PeerAuthor:
    return PeerAuthor(line_writer.store, line_writer.blobs, number=30)


def kept(who: PeerAuthor, tree: Source, metric_nano: int, *, stage: str = "keep") -> bytes:
    """Have somebody publish what few runs of a change on the baseline said."""
    patch = who.patch(BASELINE, tree, title="a change")
    runs = tuple(run(seed, "candidate", metric_nano) for seed in (1, 2))
    said = replace(confirm(tree.tree, [0], base=BASELINE.tree), stage=stage, patch=patch, runs=runs)
    return who.publish(replace(said, task=TASK, hardware_class=HARDWARE_CLASS))


def base_of(who: PeerAuthor, metric_nano: int) -> None:
    said = confirm(BASELINE.tree, [0], base=BASELINE.tree)
    runs = tuple(run(seed, "base", metric_nano) for seed in (1, 2))
    body = replace(said, stage="baseline", patch=None, runs=runs)
    who.publish(replace(body, task=TASK, hardware_class=HARDWARE_CLASS))


def peers_of(line_writer: LineWriter, people: People) -> Peers:
    return peers(people=lambda: people)(line_writer)


def test_what_a_node_of_the_fleet_kept_is_an_idea_before_it_claims_anything(
    line_writer: LineWriter, ada: PeerAuthor
) -> None:
    fleet = People(fleet=frozenset([ada.key.public]))
    base_of(ada, BASE_NANO)
    tree = proposal_of(BASELINE, "0.5").source
    result = kept(ada, tree, BASE_NANO - GAIN_NANO)
    kept(ada, proposal_of(BASELINE, "0.6").source, BASE_NANO - GAIN_NANO, stage="screen")
    kept(ada, proposal_of(BASELINE, "0.7").source, BASE_NANO + GAIN_NANO)
    (offer,) = peers_of(line_writer, fleet).offers(peers_of(line_writer, fleet).authors.rates())
    assert (offer.result, offer.gain_nano, offer.pairs) == (result, GAIN_NANO, 0)
    idea = peers_of(line_writer, fleet).stack()
    assert idea is not None
    assert (idea.author, idea.tree) == (ada.key.public, tree.tree)
    assert idea.claim_milli is not None
    assert idea.claim_milli < 1000 * GAIN_NANO / SD_NANO, "what is to be expected of it"
    for others in (People(), People(friends=fleet.fleet), replace(fleet, blocked=fleet.fleet)):
        unknown_peers = peers_of(line_writer, others)
        assert unknown_peers.offers(unknown_peers.authors.rates()) == []


def test_who_leaves_the_fleet_is_unknown_again(line_writer: LineWriter, ada: PeerAuthor) -> None:
    people = People(fleet=frozenset([ada.key.public]))
    base_of(ada, BASE_NANO)
    kept(ada, proposal_of(BASELINE, "0.5").source, BASE_NANO - GAIN_NANO)
    choice = peers(people=lambda: people)(line_writer)
    assert len(choice.offers(choice.authors.rates())) == 1
    people = People()
    assert choice.offers(choice.authors.rates()) == []
    people = People(fleet=frozenset([ada.key.public]))
    assert len(choice.offers(choice.authors.rates())) == 1, "what was said before counts again"


def test_a_gain_is_of_the_authors_own_runs_alone(line_writer: LineWriter, ada: PeerAuthor) -> None:
    kept(ada, proposal_of(BASELINE, "0.5").source, BASE_NANO - GAIN_NANO)
    choice = peers_of(line_writer, People(fleet=frozenset([ada.key.public])))
    assert choice.offers(choice.authors.rates()) == [], "nobody knows what its base measures there"
