"""Network definitions: found by name, read with one error for each fault, never overwritten."""

import re
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.home.home import Home
from node.home.invites import join_network
from node.home.network_definition import Network, read_definition, write_definition
from node.home.networks import (
    all_networks,
    create_network,
    find_network,
    own_file,
    shipped_network,
)
from protocol.errors import ArnodeError, ConfigurationError, UsageError
from protocol.keys import SigningKey
from tests.node.peer_addresses import address, key, peer

SECRET = key(99)
LAB = Network(name="lab", bootstrap=(address(1),), secret=SECRET)
SIGNER = SigningKey.from_seed(key(7)).public
LISTS = (
    "https://example.org/arnode/peers.txt",
    "https://192.0.2.1:8443/?of=lab&for='all'",
    "/dnsaddr/example.org",
)
networks = st.builds(
    lambda lists, **others: Network(lists=lists, lists_key=SIGNER if lists else None, **others),
    name=st.just("lab"),
    bootstrap=st.lists(st.integers(0, 99).map(address), unique=True, max_size=9).map(tuple),
    lists=st.lists(st.sampled_from(LISTS), unique=True).map(tuple),
    tasks=st.lists(st.from_regex(r"[a-z0-9-]{1,48}", fullmatch=True), unique=True).map(tuple),
    secret=st.none() | st.binary(min_size=32, max_size=32),
    authors=st.frozensets(st.binary(min_size=32, max_size=32), max_size=9),
)


@given(networks)
def test_a_definition_is_read_back_as_it_is_written(network: Network) -> None:
    assert read_definition(write_definition(network), place="lab.toml", name="lab") == network


@given(st.binary(max_size=300))
def test_any_file_is_a_definition_or_one_error_that_names_it(data: bytes) -> None:
    with pytest.raises(ConfigurationError, match=r"lab\.toml"):
        read_definition(data, place="lab.toml", name="lab")


def test_the_public_network_comes_with_arnode_and_its_nodes_meet_by_the_public_dht(
    home: Home,
) -> None:
    main = find_network(home, "main")
    assert main.network == Network(name="main", dht=main.network.dht)
    assert len(main.network.dht) == 5
    assert not main.is_own
    assert Path(main.place).is_file()
    assert [one.network.name for one in all_networks(home)] == ["main"]
    assert not home.root.exists()


def test_an_own_definition_is_for_its_owner_s_eyes(home: Home) -> None:
    path = create_network(home, LAB)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert find_network(home, "lab").network == LAB
    assert SECRET.hex() not in repr(LAB)
    assert repr(SECRET) not in repr(LAB)


def test_nothing_is_overwritten(home: Home) -> None:
    path = create_network(home, LAB)
    before = path.read_bytes()
    for network in (Network(name="lab"), Network(name="main")):
        with pytest.raises(UsageError, match=network.name):
            create_network(home, network)
    assert path.read_bytes() == before
    assert [one.network.name for one in all_networks(home)] == ["lab", "main"]


@pytest.mark.parametrize("name", ["none", "Lab", "../lab", "", "a" * 49, "a/b"])
def test_what_is_no_name_is_refused(home: Home, name: str) -> None:
    with pytest.raises(UsageError, match="is not a network name"):
        find_network(home, name)
    with pytest.raises(UsageError, match="is not a network name"):
        create_network(home, Network(name=name))


def test_an_unknown_network_names_the_nearest(home: Home) -> None:
    with pytest.raises(UsageError, match="no network 'mian'") as caught:
        find_network(home, "mian")
    assert "did you mean `main`?" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "named", "hint"),
    [
        ("name = lab", "Invalid value", "values need quotes"),
        ('name = "lob"', "`name` is 'lob'", 'name = "lab"'),
        ("", "`name` is None", 'name = "lab"'),
        ('name = "lab"\nbotstrap = []', "unknown key `botstrap`", "`bootstrap`"),
        ('name = "lab"\nbootstrap = "x"', "`bootstrap` is not a list", "bootstrap = ["),
        ('name = "lab"\nbootstrap = [7]', "`bootstrap` is not a list", "bootstrap = ["),
        ('name = "lab"\nbootstrap = ["x"]', "`bootstrap`, entry 1: not of the form", "like /ip4"),
        (
            'name = "lab"\nbootstrap = ["/ip4/192.0.2.1/tcp/1"]',
            "`bootstrap`, entry 1: it has no /p2p/ID",
            "like /ip4",
        ),
        (f'name = "lab"\nbootstrap = {["x"] * 65}', "has 65 entries", "fewer"),
        ('name = "lab"\ntasks = ["A b"]', "`tasks`, entry 1", "64 hex digits"),
        ('name = "lab"\nauthors = ["00"]', "`authors`, entry 1", "64 hex digits"),
        ('name = "lab"\nauthors = []', "`authors` names no author", "accept everyone"),
        ('name = "lab"\ndht = ["/ip4/192.0.2.1"]', "`dht`, entry 1: not of the form", "/dnsaddr/"),
        (
            f'name = "lab"\nsecret = "{"0" * 64}"\ndht = []',
            "`secret` and `dht` exclude",
            "or an invite",
        ),
        (f'name = "lab"\nlists = ["{LISTS[0]}"]', "`lists` without `lists_key`", "lists_key = "),
        (f'name = "lab"\nlists_key = "{SIGNER.hex()}"', "without `lists`", "lists = ["),
        (
            f'name = "lab"\nlists_key = "{"0" * 64}"',
            "`lists_key` is not an author's key",
            "key show",
        ),
        ('name = "lab"\nlists_key = 7', "`lists_key` is not an author's key", "key show"),
        (f'name = "lab"\nlists = {["https://a.org"] * 9}', "has 9 entries, more than 8", "fewer"),
        ('name = "lab"\nsecret = 7', "`secret` is not 64 hex digits", "arnode network invite"),
        ('name = "lab"\n# ' + "x" * (1 << 18), "bytes, more than", "shorter"),
    ],
)
def test_each_fault_is_one_error_with_file_key_and_fix(
    home: Home, text: str, named: str, hint: str
) -> None:
    path = create_network(home, LAB)
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        find_network(home, "lab")
    assert str(path) in caught.value.message
    assert named in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ("http://example.org/peers.txt", "does not begin with https:// or /dnsaddr/"),
        ("HTTPS://example.org/", "does not begin with"),
        ("https://me:word@example.org/", "names a user"),
        ("https://example.org/#here", "has a fragment"),
        ("https://example.org/#a@b", "has a fragment"),
        ("https://example.org/a b", "a character that is invalid in a URL"),
        ("https://example.org/\\u00e4", "a character that is invalid in a URL"),
        ('https://example.org/\\"', "a character that is invalid in a URL"),
        ("https:///peers.txt", "is not a DNS name"),
        ("https://Example.org/", "is not a DNS name"),
        ("https://0.0.0.0/", "no peer can be reached"),
        ("https://example.org:0/", "is not a port"),
        ("https://example.org:/", "is not a port"),
        ("https://example.org/" + "a" * 381, "has 401 characters, more than 400"),
        ("/dnsaddr/", "is not a DNS name"),
        ("/dnsaddr/example.org/p2p/" + peer(1), "is not a DNS name"),
    ],
)
def test_an_entry_that_is_no_place_of_a_list_is_shown_why(entry: str, fault: str) -> None:
    text = f'name = "lab"\nlists_key = "{SIGNER.hex()}"\nlists = ["{LISTS[0]}", "{entry}"]'
    with pytest.raises(ConfigurationError, match="`lists`, entry 2") as caught:
        read_definition(text.encode(), place="lab.toml", name="lab")
    assert fault in caught.value.message
    assert "https://example.org/peers.txt" in caught.value.hint
    assert "word" not in caught.value.message


def test_the_longest_place_of_a_list_is_taken() -> None:
    longest = "https://example.org/" + "a" * 380
    text = f'name = "lab"\nlists_key = "{SIGNER.hex()}"\nlists = ["{longest}"]'
    assert read_definition(text.encode(), place="", name="lab").lists == (longest,)


def test_the_definition_in_the_manual_names_its_lists() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operate-a-bootstrap.md").read_text("utf-8")
    (example,) = re.findall(r"^```toml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    found = read_definition(example.encode(), place="lab.toml", name="lab")
    assert found.lists == ("https://example.org/arnode/peers.txt", "/dnsaddr/example.org")
    assert found.lists_key is not None


def test_a_wrong_secret_is_not_repeated(home: Home) -> None:
    create_network(home, LAB).write_text(f'name = "lab"\nsecret = "{SECRET.hex()}0"')
    with pytest.raises(ConfigurationError) as caught:
        find_network(home, "lab")
    assert SECRET.hex()[:8] not in caught.value.message + caught.value.hint


def test_a_secret_that_others_can_read_is_refused(home: Home) -> None:
    path = create_network(home, LAB)
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match=r"read by other users \(mode 0640\)"):
        find_network(home, "lab")
    path.write_text('name = "lab"\n')
    assert find_network(home, "lab").network == Network(name="lab")


def test_files_that_are_none_are_named(home: Home) -> None:
    create_network(home, LAB)
    home.networks.joinpath("other.toml").mkdir()
    with pytest.raises(ConfigurationError, match=r"other\.toml is not a file"):
        all_networks(home)
    home.networks.joinpath("other.toml").rmdir()
    home.networks.joinpath("Big.toml").touch()
    with pytest.raises(ConfigurationError, match=r"Big\.toml: invalid network name"):
        all_networks(home)


def test_joining_keeps_the_network_and_uses_it(home: Home) -> None:
    assert join_network(home, LAB) == own_file(home, "lab")
    assert find_network(home, "lab").network == LAB
    assert home.config.read_text() == 'net = "lab"\n'


def test_joining_again_brings_new_addresses_before_the_old_ones(home: Home) -> None:
    join_network(home, LAB)
    join_network(home, Network(name="lab", bootstrap=(address(2), address(1)), secret=SECRET))
    join_network(home, Network(name="lab", bootstrap=(address(3),), secret=SECRET))
    found = find_network(home, "lab").network
    assert [one.peer for one in found.bootstrap] == [peer(3), peer(2), peer(1)]


def test_joining_again_keeps_what_no_invite_carries(home: Home) -> None:
    listed = replace(LAB, lists=LISTS, lists_key=SIGNER)
    create_network(home, listed)
    join_network(home, replace(LAB, bootstrap=(address(2),)))
    assert find_network(home, "lab").network == replace(listed, bootstrap=(address(2), address(1)))


def test_an_invite_that_brings_nothing_new_leaves_the_file_as_it_is(home: Home) -> None:
    path = join_network(home, LAB)
    path.write_text("# ours\n" + path.read_text())
    assert join_network(home, LAB) == path
    assert path.read_text().startswith("# ours\n")


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (Network(name="lab", bootstrap=(address(2),), secret=key(98)), "`secret`"),
        (Network(name="lab", bootstrap=(address(2),)), "`secret`"),
        (
            Network(
                name="lab", bootstrap=(address(2),), secret=SECRET, authors=frozenset([key(1)])
            ),
            "`authors`",
        ),
        (Network(name="main", bootstrap=(address(2),), secret=SECRET), "`secret`"),
    ],
)
def test_another_network_of_the_same_name_is_not_joined(
    home: Home, other: Network, what: str
) -> None:
    join_network(home, LAB)
    with pytest.raises(ConfigurationError, match="define different networks") as caught:
        join_network(home, other)
    assert what in caught.value.message
    assert find_network(home, "lab").network == LAB


def test_the_public_network_is_joined_by_an_address_of_one_s_own(home: Home) -> None:
    join_network(home, Network(name="main", bootstrap=(address(1),)))
    shipped = shipped_network("main")
    assert shipped is not None
    assert find_network(home, "main").network == replace(shipped.network, bootstrap=(address(1),))
    assert shipped.network.bootstrap == ()


def test_who_said_no_is_asked_again_after_joining(home: Home) -> None:
    home.prepare()
    home.config.write_text("# mine\nonline = false\ntask = 'tiny'\n")
    join_network(home, LAB)
    assert home.config.read_text() == "# mine\ntask = 'tiny'\nnet = \"lab\"\n"


def test_nothing_is_joined_while_the_settings_have_a_fault(home: Home) -> None:
    home.prepare()
    home.config.write_text("nett = 'x'\n")
    with pytest.raises(ArnodeError, match="nett"):
        join_network(home, LAB)
    assert not home.networks.exists()
