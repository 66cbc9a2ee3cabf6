"""`network`, `invite` and `join`: from a definition to a line to another home."""

import io
import json
from pathlib import Path

import pytest

from node.commands.cli import main
from node.home.addresses import peer_id
from node.home.control_socket import Message
from node.home.home import Home
from node.home.invites import MAX_ADDRESSES
from node.home.keyfile import load_keys
from node.home.networks import find_network
from tests.node.answering import running
from tests.node.peer_addresses import address, key

ADDRESS = str(address(1))


@pytest.fixture(autouse=True)
def at_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    return home


@pytest.fixture
def other(tmp_path: Path) -> Home:
    return Home(tmp_path / "other")


@pytest.fixture
def arnode(capsys: pytest.CaptureFixture[str]) -> "Arnode":
    return Arnode(capsys)


class Arnode:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.err = ""

    def __call__(self, *words: str, code: int = 0) -> str:
        """Run a command line in this process and return what it printed on stdout."""
        with pytest.raises(SystemExit) as caught:
            main(words)
        out, self.err = self._capsys.readouterr()
        assert caught.value.code == code, self.err
        if code:
            assert out == ""
            assert len(self.err.splitlines()) == 2
        return out


def test_a_private_network_goes_from_one_home_to_another(
    arnode: Arnode, at_home: Home, other: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    author = key(3).hex()
    arnode("network", "init", "lab", "--private", "--bootstrap", ADDRESS, "--author", author)
    line = arnode("network", "invite", "--network", "lab").strip()
    assert "anyone who has the invite can join" in arnode.err
    made = find_network(at_home, "lab").network
    monkeypatch.setenv("ARNODE_HOME", str(other.root))
    assert "network lab is in use here" in arnode("network", "join", line)
    assert "Peers see this machine's IP address." in arnode.err
    assert arnode.err.endswith("next: `arnode start`\n")
    assert find_network(other, "lab").network == made
    config = json.loads(arnode("home", "config", "show", "--json"))["config"]
    assert (config["net"], config["online"]) == ("lab", True)


def test_a_public_network_s_invite_holds_no_secret(arnode: Arnode) -> None:
    document = json.loads(arnode("network", "invite", "--address", ADDRESS, "--json"))
    assert document["network"] == "main"
    assert document["addresses"] == [ADDRESS]
    assert document["private"] is False
    assert arnode.err == "this invite is for the network main\n"


def test_no_secret_is_ever_printed(arnode: Arnode, at_home: Home) -> None:
    arnode("network", "init", "lab", "--private")
    secret = find_network(at_home, "lab").network.secret
    assert secret is not None
    for words in (
        ("network", "show"),
        ("network", "show", "lab"),
        ("network", "show", "lab", "--json"),
    ):
        shown = arnode(*words)
        assert secret.hex() not in shown + arnode.err
        assert "private" in shown


def test_show_lists_what_is_known(arnode: Arnode) -> None:
    arnode("network", "init", "lab", "--bootstrap", ADDRESS)
    text = arnode("network", "show")
    assert "main  (in use)" in text
    assert "none yet" in text
    assert ADDRESS in text
    document = json.loads(arnode("network", "show", "lab", "--json"))
    assert document["v"] == 1
    assert document["online"] is None
    (row,) = document["networks"]
    assert row["bootstrap"] == [ADDRESS]
    assert (row["in_use"], row["own"], row["private"]) == (False, True, False)
    assert (row["tasks"], row["authors"]) == ([], [])
    names = [one["name"] for one in json.loads(arnode("network", "show", "--json"))["networks"]]
    assert names == ["lab", "main"]


def test_show_reports_the_node_s_id_and_where_it_listens(arnode: Arnode, at_home: Home) -> None:
    def node() -> object:
        return json.loads(arnode("network", "show", "--json"))["node"]

    not_running = {"running": False, "network": None, "addresses": []}
    assert node() == {"peer_id": None, **not_running}
    assert "none yet" in arnode("network", "show")
    assert not at_home.root.exists()
    own = peer_id(load_keys(at_home).transport.public)
    assert node() == {"peer_id": own, **not_running}
    with running(at_home, {"name": "main", "addresses": [ADDRESS]}):
        live = {"running": True, "network": "main", "addresses": [ADDRESS]}
        assert node() == {"peer_id": own, **live}
        first, identity, listening, *_ = arnode("network", "show", "main").splitlines()
    assert first == "this node"
    assert identity.split() == ["peer", "id", own]
    assert listening.split() == ["listening", ADDRESS]


def test_a_node_that_speaks_to_no_network_has_one_in_use(arnode: Arnode, at_home: Home) -> None:
    arnode("network", "init", "lab")
    assert "network main, not connected; `arnode start --network main --yes` joins main" in arnode(
        "status"
    )
    at_home.config.write_text('net = "lab"\nonline = true\n')
    assert "network lab, not connected" in arnode("status")
    at_home.config.write_text('net = "lab"\nonline = false\n')
    off = "network lab, not connected (`online = false`); `arnode start --network lab --yes` joins"
    assert off in arnode("status")
    with running(at_home, {"name": None, "in_use": "main"}):
        assert "main  (in use)" in arnode("network", "show")
        assert "connected to no network" in arnode("network", "show")


def test_in_use_is_what_the_running_node_speaks_to(arnode: Arnode, at_home: Home) -> None:
    arnode("network", "init", "lab")
    with running(at_home, {"name": "lab", "addresses": []}):
        text = arnode("network", "show")
    assert "lab  (in use)" in text
    assert "main  (in use)" not in text
    assert "not yet" in text


def test_init_does_not_overwrite(arnode: Arnode, at_home: Home) -> None:
    arnode("network", "init", "lab", "--private")
    before = find_network(at_home, "lab")
    arnode("network", "init", "lab", code=2)
    arnode("network", "init", "main", code=2)
    assert find_network(at_home, "lab") == before


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("network", "init", "lab", "--bootstrap", "/ip4/192.0.2.1/tcp/1"), "no /p2p/ID"),
        (("network", "init", "lab", "--author", "abc"), "not an author's key"),
        (("network", "init", "none"), "not a network name"),
        (("network", "show", "labb"), "no network 'labb'"),
        (
            ("network", "invite"),
            "needs the address",
        ),
        (("network", "invite", "--address", "/dns4/a_b/tcp/1/p2p/x"), "not a DNS name"),
        (("network", "invite", "--address", "/ip4/192.0.2.1/tcp/1/p2p/Qm"), "not a peer id"),
        (("network", "invite", "--network", "lab"), "no network 'lab'"),
        (("network", "join", "arnode1abc"), "not a complete invite"),
        (("network", "join", "hello"), "does not begin"),
    ],
)
def test_what_cannot_be_meant_is_one_error(
    arnode: Arnode, at_home: Home, words: tuple[str, ...], reason: str
) -> None:
    arnode(*words, code=2)
    assert reason in arnode.err
    assert not at_home.root.exists()


def test_an_invite_has_the_running_node_s_addresses_the_farthest_reaching_first(
    arnode: Arnode, at_home: Home
) -> None:
    loopback = str(address(1, host="ip4/127.0.0.1"))
    private = str(address(1, host="ip4/10.0.0.1"))
    reported: Message = {"name": "main", "addresses": [loopback, private, ADDRESS, "garbage", 7]}
    given = str(address(2))
    with running(at_home, reported):
        document = json.loads(arnode("network", "invite", "--json", "--address", given))
    assert document["addresses"] == [given, ADDRESS, private, loopback]


def test_a_node_of_another_network_has_no_addresses_to_share(arnode: Arnode, at_home: Home) -> None:
    for reported in ({"name": "lab", "addresses": [ADDRESS]}, {"name": None, "peers": 0}):
        with running(at_home, reported):
            arnode("network", "invite", code=2)


def test_an_invite_is_to_the_running_node_s_network_unless_one_is_named(
    arnode: Arnode, at_home: Home
) -> None:
    arnode("network", "init", "lab", "--private", "--bootstrap", str(address(3)))
    with running(at_home, {"name": "lab", "addresses": [ADDRESS]}):
        document = json.loads(arnode("network", "invite", "--json"))
        assert "this invite is for the network lab\n" in arnode.err
        assert (document["network"], document["private"]) == ("lab", True)
        assert document["addresses"] == [ADDRESS, str(address(3))]
        asked = json.loads(
            arnode("network", "invite", "--json", "--network", "main", "--address", ADDRESS)
        )
        assert asked["network"] == "main"
        assert (
            "the running node is connected to the network lab: nodes that join main cannot find it"
            in arnode.err
        )
    with running(at_home, {"name": None}):
        arnode("network", "invite", "--address", ADDRESS)
        assert "invite is for the network main\n" in arnode.err
        assert "connected to no network" in arnode.err


def test_an_invite_without_a_running_node_is_to_the_network_in_force(
    arnode: Arnode, monkeypatch: pytest.MonkeyPatch
) -> None:
    arnode("network", "init", "lab", "--bootstrap", ADDRESS)
    monkeypatch.setenv("ARNODE_NET", "lab")
    assert json.loads(arnode("network", "invite", "--json"))["network"] == "lab"
    first, second = arnode.err.splitlines()
    assert first == "this invite is for the network lab"
    assert second.endswith("find this machine after `arnode start --network lab --yes`")


def test_an_invite_for_this_machine_only_says_so(arnode: Arnode) -> None:
    arnode("network", "invite", "--address", str(address(1, host="ip4/127.0.0.1")))
    assert "this machine only" in arnode.err


def test_an_invite_holds_the_first_eight_addresses(arnode: Arnode) -> None:
    flags = [word for n in range(12) for word in ("--address", str(address(n)))]
    document = json.loads(arnode("network", "invite", "--json", *flags))
    assert document["addresses"] == [str(address(n)) for n in range(MAX_ADDRESSES)]


def test_a_line_can_come_by_standard_input(
    arnode: Arnode, other: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = arnode("network", "invite", "--address", ADDRESS)
    monkeypatch.setenv("ARNODE_HOME", str(other.root))
    monkeypatch.setattr("sys.stdin", io.StringIO(line))
    document = json.loads(arnode("network", "join", "-", "--json"))
    assert document["network"] == "main"
    assert document["addresses"] == [ADDRESS]
    assert find_network(other, "main").is_own


def test_a_variable_that_goes_before_is_named(
    arnode: Arnode, monkeypatch: pytest.MonkeyPatch
) -> None:
    arnode("network", "init", "lab", "--bootstrap", ADDRESS)
    line = arnode("network", "invite", "--network", "lab")
    monkeypatch.setenv("ARNODE_NET", "main")
    arnode("network", "join", line)
    assert "ARNODE_NET names another network" in arnode.err


def test_a_start_names_a_variable_that_goes_before_its_network(
    arnode: Arnode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.running.program.start_node", lambda *_, **__: None)
    monkeypatch.setenv("ARNODE_NET", "main")
    for named, is_said in (("lab", True), ("main", False), ("none", False)):
        arnode("start", "--network", named)
        assert ("ARNODE_NET names another network" in arnode.err) is is_said


def test_a_running_node_is_to_be_started_again(arnode: Arnode, at_home: Home) -> None:
    line = arnode("network", "invite", "--address", ADDRESS)
    with running(at_home, {"name": None}):
        arnode("network", "join", line)
    assert "`arnode stop`, then `arnode start`" in arnode.err


def test_a_start_next_to_a_running_node_joins_nothing(
    arnode: Arnode, at_home: Home, other: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    arnode("network", "init", "lab", "--private", "--bootstrap", ADDRESS)
    line = arnode("network", "invite", "--network", "lab").strip()
    monkeypatch.setenv("ARNODE_HOME", str(other.root))
    with other.lock():
        arnode("start", "--join", line, code=6)
    assert "is running on the home" in arnode.err
    assert json.loads(arnode("home", "config", "show", "--json"))["config"]["net"] != "lab"


def test_settings_take_addresses(
    arnode: Arnode, monkeypatch: pytest.MonkeyPatch, at_home: Home
) -> None:
    two = [ADDRESS, str(address(2))]
    monkeypatch.setenv("ARNODE_BOOTSTRAP", ", ".join(two))
    assert json.loads(arnode("home", "config", "show", "--json"))["config"]["bootstrap"] == two
    assert ", ".join(two) in arnode("home", "config", "show")
    monkeypatch.setenv("ARNODE_BOOTSTRAP", "/ip4/192.0.2.1/tcp/1")
    arnode("home", "config", "check", code=6)
    assert "no /p2p/ID at its end" in arnode.err
    monkeypatch.delenv("ARNODE_BOOTSTRAP")
    at_home.prepare()
    at_home.config.write_text(f"bootstrap = {json.dumps(two)}\n")
    assert json.loads(arnode("home", "config", "show", "--json"))["config"]["bootstrap"] == two
    at_home.config.write_text("bootstrap = [1]\n")
    arnode("home", "config", "check", code=6)
    at_home.config.write_text('net = "none"\n')
    arnode("home", "config", "check", code=6)
    assert "online = false" in arnode.err


def test_an_invite_without_an_address_names_the_command_that_gives_one(arnode: Arnode) -> None:
    arnode("network", "init", "lab")
    arnode("network", "invite", "--network", "lab", code=2)
    assert "(`arnode start --network lab --yes`), or give an address" in arnode.err


def test_an_option_that_the_running_node_decides_is_refused(arnode: Arnode, at_home: Home) -> None:
    with running(at_home, {"name": None, "in_use": "main"}):
        arnode("view", "--web", "127.0.0.1:9999", "--no-browser", code=2)
        assert "the running node serves the page at its own address" in arnode.err
        assert "`arnode stop`, then `arnode start --web 127.0.0.1:9999`" in arnode.err
        arnode("home", "config", "set", "peer_share", "0.1")
        assert "next start: `arnode stop`, then `arnode start`" in arnode.err
    arnode("home", "config", "set", "peer_share", "0.2")
    assert arnode.err == ""
