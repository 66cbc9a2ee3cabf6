"""Consent: nothing speaks to a network before its user agreed, and an answer is kept."""

import importlib.util
import io
import random
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from node.home.config import Config
from node.home.consent import (
    Offline,
    TaskOf,
    Wishes,
    network_terms,
    plan_network,
)
from node.home.home import Home
from node.home.network_definition import Network
from node.home.networks import Defined, create_network
from node.home.settings_in_force import load_config
from node.peering.book import AddressBook, AddressSource
from node.peering.book_file import book_path, write_book
from node.running.program import agreed_network
from node.terminal.terminal import ask_at_terminal
from protocol.errors import ConfigurationError, UsageError
from protocol.keys import SigningKey
from tests.node.peer_addresses import address, key
from tests.tasks.sums import write_sums
from trainer.language_model.text.pin import write_pin
from trainer.sandbox.tier import Tier, TierName
from trainer.task_folder.task import NotPreparedError, Task
from trainer.task_kinds import builtin_ids, load_task

SIGNER = SigningKey.from_seed(key(7)).public
LAB = Network(name="lab", bootstrap=(address(1),), secret=key(9))
LISTED = Defined(  # as one that comes with arnode
    network=Network(
        name="lab", lists=("https://example.org/a", "/dnsaddr/example.org"), lists_key=SIGNER
    ),
    place="lab.toml",
    is_own=False,
)
ANSWERED_NO = Offline("the network is off: `online = false`")


class User:
    """Somebody at a terminal."""

    def __init__(self, *, agrees: bool) -> None:
        self.agrees = agrees
        self.received: list[str] = []
        self.asked: list[str] = []

    def __call__(self, lines: list[str], question: str) -> bool:
        self.received += lines
        self.asked.append(question)
        return self.agrees


def terms(config: Config, tier: TierName = "full") -> list[str]:
    return network_terms(key(5), Tier(name=tier, detail=""), config)


def plan(
    home: Home,
    wishes: Wishes | None = None,
    *,
    ask: User | None = None,
    task: TaskOf = TaskOf.EVERYBODY,
    has_met: bool = True,
    **settings: object,
) -> Network | Offline:
    """Decide as a start does that is given these wishes and settings; peers are known of old."""
    wishes = wishes or Wishes()
    flags = {**settings, **wishes.settings}
    config = load_config(home.config, env={}, flags=flags).config  # type: ignore[arg-type]
    return plan_network(
        home,
        config,
        wishes,
        terms=terms(config),
        task=task,
        has_met=has_met,
        ask=ask,
    )


def is_on(decided: Network | Offline) -> bool:
    return isinstance(decided, Network)


def test_who_agrees_is_asked_once(home: Home) -> None:
    user = User(agrees=True)
    assert is_on(plan(home, ask=user))
    assert is_on(plan(home, ask=user))
    assert is_on(plan(home))
    assert user.asked == ["Join the network `main`?"]


def test_who_does_not_is_asked_once_too(home: Home) -> None:
    user = User(agrees=False)
    for _ in range(2):
        assert not is_on(plan(home, ask=user))
    assert not is_on(plan(home))
    assert len(user.asked) == 1
    assert home.config.read_text() == "online = false\n"


def test_without_libp2p_a_node_works_alone_unless_a_network_was_named(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        "node.home.consent.find_spec", lambda name: None if name == "libp2p" else real(name)
    )
    user = User(agrees=True)
    decided = plan(home, ask=user, online=True)
    assert isinstance(decided, Offline)
    assert "libp2p is not installed; `pip install 'arnode[network]'`" in decided.reason
    assert user.asked == []
    with pytest.raises(ConfigurationError, match="libp2p is not installed"):
        plan(home, Wishes(network="main"), ask=user)
    with pytest.raises(ConfigurationError, match="libp2p is not installed"):
        plan(home, Wishes(has_invite=True), ask=user)
    assert isinstance(plan(home, Wishes(network="none")), Offline)


def test_nobody_is_asked_to_join_a_network_where_nobody_is_known(home: Home) -> None:
    user = User(agrees=True)
    for ask in (user, None):
        decided = plan(home, ask=ask, has_met=False, dht=False)
        assert isinstance(decided, Offline)
        assert "`arnode network join LINE`" in decided.reason
        assert len(decided.reason.splitlines()) == 1
    assert user.asked == []
    assert not home.config.exists()


@pytest.mark.parametrize(
    "somebody", ["peers", "bootstrap", "dht", "lists", "own network", "named network"]
)
def test_whom_to_meet_is_worth_the_question(
    home: Home, somebody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, where = User(agrees=True), {"bootstrap": (str(address(2)),)}
    match somebody:
        case "peers":
            decided = plan(home, ask=user, has_met=True, dht=False)
        case "dht":
            decided = plan(home, ask=user, has_met=False)
        case "bootstrap":
            decided = plan(home, ask=user, has_met=False, dht=False, **where)
        case "lists":
            monkeypatch.setattr("node.home.consent.find_network", lambda *_: LISTED)
            decided = plan(home, ask=user, has_met=False, net="lab")
        case "own network":
            create_network(home, Network(name="mine"))
            home.config.write_text('net = "mine"\n')
            decided = plan(home, ask=user, has_met=False)
        case _:
            decided = plan(home, Wishes(network="main"), ask=user, has_met=False, dht=False)
    assert is_on(decided)
    assert len(user.asked) == 1


@pytest.mark.parametrize("is_known", [False, True])
def test_a_start_at_a_terminal_asks_only_where_peers_are_known(
    home: Home,
    is_known: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    if is_known:
        book = AddressBook(clock=time.time, chance=random.Random(1))
        book.learn(address(4), AddressSource.MDNS)
        home.prepare()
        write_book(book_path(home, "main"), book)
    assert agreed_network(home, Config(dht=False), Wishes(), TaskOf.EVERYBODY) is None
    said = capsys.readouterr().err
    assert ("Join the network `main`?" in said) is is_known
    assert ("`arnode network join LINE`" in said) is not is_known


def test_four_lines_say_what_will_happen(home: Home) -> None:
    user = User(agrees=True)
    plan(home, ask=user, peer_share=0.1, dht=False)
    published, code, share, ip = user.received
    assert key(5).hex()[:12] in published
    assert "tier full" in code
    assert '`peer_code = "none"`' in code
    assert "10%" in share
    assert "IP address" in ip


def test_a_line_more_says_that_an_address_will_stand_in_the_dht(home: Home) -> None:
    user = User(agrees=True)
    plan(home, ask=user)
    assert "`dht = false` prevents it" in user.received[-1]
    assert len(user.received) == 5


def test_a_line_more_says_which_lists_are_read(home: Home) -> None:
    user = User(agrees=True)
    create_network(home, replace(LISTED.network, secret=key(9)))
    assert is_on(plan(home, Wishes(network="lab"), ask=user))
    assert len(user.received) == 5
    assert "read from https://example.org/a and /dnsaddr/example.org, which" in user.received[-1]


@pytest.mark.parametrize(
    ("tier", "config", "runs"),
    [
        ("full", Config(), True),
        ("full", Config(peer_code="none"), False),
        ("container", Config(), False),
        ("container", Config(peers_in_container=True), True),
        ("partial", Config(peers_in_container=True, allow_partial_sandbox=True), False),
        ("none", Config(), False),
    ],
)
def test_the_lines_say_whether_untrusted_code_runs(
    tier: TierName, config: Config, runs: bool
) -> None:
    lines = terms(config, tier)
    assert len(lines) == 4
    assert ("Peers' code runs here" in lines[1]) is runs
    assert ("does not run here" in lines[1]) is not runs


@pytest.mark.parametrize(
    ("wishes", "online", "on"),
    [
        (Wishes(), None, False),
        (Wishes(), True, True),
        (Wishes(), False, False),
        (Wishes(agrees=True), None, True),
        (Wishes(agrees=True), False, False),
        (Wishes(has_invite=True), None, True),
        (Wishes(has_invite=True), False, True),
        (Wishes(network="main"), None, False),
        (Wishes(network="main"), True, True),
        (Wishes(network="main"), False, False),
        (Wishes(network="main", agrees=True), None, True),
        (Wishes(network="main", agrees=True), False, True),
        (Wishes(network="none"), True, False),
        (Wishes(network="none", agrees=True, has_invite=True), True, False),
    ],
)
def test_without_a_terminal_only_a_word_opens_the_network(
    home: Home, wishes: Wishes, online: bool | None, on: bool
) -> None:
    home.prepare()
    if online is not None:
        home.config.write_text(f"online = {str(online).lower()}\n")
    before = home.config.read_text() if home.config.exists() else None
    assert is_on(plan(home, wishes)) is on
    assert (home.config.read_text() if home.config.exists() else None) == before


def test_who_said_no_and_names_a_network_is_asked_again(home: Home) -> None:
    plan(home, ask=User(agrees=False))
    user = User(agrees=True)
    assert is_on(plan(home, Wishes(network="main"), ask=user))
    assert len(user.asked) == 1
    assert home.config.read_text() == 'online = true\nnet = "main"\n'


def test_who_agreed_to_a_friend_s_network_has_not_agreed_to_the_public_one(home: Home) -> None:
    create_network(home, LAB)
    plan(home, Wishes(network="lab"), ask=User(agrees=True))
    decided = plan(home)
    assert isinstance(decided, Network)
    assert decided == LAB


@pytest.mark.parametrize(
    ("wishes", "ask", "own"),
    [
        (Wishes(network="lab"), None, False),
        (Wishes(network="lab", agrees=True), None, False),
        (Wishes(network="lab"), User(agrees=True), False),
        (Wishes(network="lab"), User(agrees=False), False),
        (Wishes(network="lab"), None, True),
    ],
)
def test_the_network_that_a_start_names_is_in_use_from_then_on(
    home: Home, wishes: Wishes, ask: User | None, own: bool
) -> None:
    create_network(home, LAB)
    plan(home, wishes, ask=ask, task=TaskOf.THIS_MACHINE if own else TaskOf.EVERYBODY)
    assert load_config(home.config, env={}).config.net == "lab"
    assert plan(home, Wishes(agrees=True)) == (LAB if ask is None or ask.agrees else ANSWERED_NO)
    plan(home, Wishes(network="none"))
    assert load_config(home.config, env={}).config.net == "lab", "none is for one time"


def test_a_no_to_another_network_is_no_answer_to_the_one_that_a_start_names(home: Home) -> None:
    create_network(home, LAB)
    plan(home, ask=User(agrees=False))
    plan(home, Wishes(network="lab"))
    user = User(agrees=True)
    assert plan(home, ask=user) == LAB
    assert user.asked == ["Join the network `lab`?"]


@pytest.mark.parametrize("task", [TaskOf.THIS_MACHINE, TaskOf.EVERYBODY])
def test_an_unknown_network_is_not_remembered(home: Home, task: TaskOf) -> None:
    with pytest.raises(UsageError, match="no network 'lab'"):
        plan(home, Wishes(network="lab", agrees=True), task=task)
    assert not home.config.exists()


@pytest.mark.parametrize("wishes", [Wishes(has_invite=True), Wishes(network="main")])
def test_at_a_terminal_an_invite_does_not_answer_the_question(home: Home, wishes: Wishes) -> None:
    user = User(agrees=False)
    assert not is_on(plan(home, wishes, ask=user, dht=False))
    assert len(user.received) == 4


def test_yes_answers_the_question_for_this_time(home: Home) -> None:
    user = User(agrees=False)
    assert is_on(plan(home, Wishes(agrees=True), ask=user))
    assert user.asked == []
    assert not home.config.exists()


@pytest.mark.parametrize("wishes", [Wishes(), Wishes(agrees=True, has_invite=True, network="main")])
def test_an_own_task_stays_here_whatever_is_said(home: Home, wishes: Wishes) -> None:
    home.prepare()
    home.config.write_text("online = true\n")
    user = User(agrees=True)
    decided = plan(home, wishes, ask=user, task=TaskOf.THIS_MACHINE)
    assert isinstance(decided, Offline)
    assert "your own" in decided.reason
    assert user.asked == []


def test_a_program_of_one_s_own_goes_into_private_networks_alone(home: Home) -> None:
    create_network(home, replace(LAB, name="open", secret=None))
    reported = plan(home, Wishes(network="open", agrees=True), task=TaskOf.ITS_USER)
    assert isinstance(reported, Offline)
    assert "only in private networks" in reported.reason
    create_network(home, LAB)
    assert is_on(plan(home, Wishes(network="lab", agrees=True), task=TaskOf.ITS_USER))


def test_the_plan_has_the_definition_and_the_addresses_of_the_settings(home: Home) -> None:
    create_network(home, LAB)
    more = (str(address(2)), str(address(1)))
    decided = plan(home, Wishes(network="lab", agrees=True), bootstrap=more)
    assert isinstance(decided, Network)
    assert decided.secret == LAB.secret
    assert decided.bootstrap == (address(2), address(1))


def test_an_unknown_network_is_an_error_before_anything_is_asked(home: Home) -> None:
    user = User(agrees=True)
    with pytest.raises(UsageError, match="no network 'lab'"):
        plan(home, Wishes(network="lab"), ask=user)
    assert user.asked == []


def test_tasks_that_come_with_arnode_are_everybody_s(short_task: Task, tmp_path: Path) -> None:
    assert TaskOf.of(short_task, data_dir=tmp_path) is TaskOf.THIS_MACHINE
    tiny = load_task("tiny", data_dir=tmp_path)
    assert TaskOf.of(tiny, data_dir=tmp_path) is TaskOf.EVERYBODY


def test_a_folder_that_holds_all_of_a_program_is_its_users(tmp_path: Path) -> None:
    folder = tmp_path / "sums"
    write_sums(folder)
    task = load_task(folder, data_dir=tmp_path)
    assert TaskOf.of(task, data_dir=tmp_path) is TaskOf.ITS_USER
    secret = replace(task, is_private=True)
    assert TaskOf.of(secret, data_dir=tmp_path) is TaskOf.THIS_MACHINE
    fetched = replace(task, program_path=None)
    assert TaskOf.of(fetched, data_dir=tmp_path) is TaskOf.EVERYBODY


def test_a_task_that_comes_with_arnode_is_everybody_s_once_it_is_prepared(tmp_path: Path) -> None:
    assert "nanochat" not in builtin_ids(tmp_path)
    with pytest.raises(NotPreparedError) as caught:
        load_task("nanochat", data_dir=tmp_path)
    unpinned = caught.value.unknown
    digests = {name: bytes([at]) * 32 for at, name in enumerate(unpinned.names)}
    vocabulary = load_task("tiny", data_dir=tmp_path).recipe.vocabulary
    write_pin(unpinned, digests, vocabulary, data_dir=tmp_path)
    task = load_task("nanochat", data_dir=tmp_path)
    assert builtin_ids(tmp_path)["nanochat"] == task.id
    assert TaskOf.of(task, data_dir=tmp_path) is TaskOf.EVERYBODY


def test_the_terminal_is_informed_and_no_answer_is_a_no(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for typed, answer in (("y\n", True), ("\n", False), ("what\nn\n", False)):
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        assert ask_at_terminal(["one line"], "Join?") is answer
        out, err = capsys.readouterr()
        assert err.startswith("one line\n")
        assert "one line" not in out
