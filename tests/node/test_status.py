"""The status document: exactly the documented fields, from the store alone or next to a loop."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import node
from agent.completion import ChatMessage, CompletionRequest
from agent.worker.prices import Price, Usage
from node.home.clock import clock_ms
from node.home.home import Home
from node.line.line_writer import LineWriter
from node.line.promotion_trial import open_promotion_trial
from node.loop.slow_ideas import SlowIdeas
from node.proposing.budget import ModelCostBudget, Reservation, open_cost_database
from node.reporting.status import head_metrics, status_document
from node.reporting.status_text import (
    dht_words,
    list_words,
    parting_words,
    print_lanes,
    print_peers,
    print_status,
)
from node.store.blobs import Blobs
from node.store.model_calls import ModelCostLimits
from node.store.store import Store
from protocol.remarks import IntentBody
from protocol.rule import DEFAULT
from tests.node.examples import BASELINE, KEY
from tests.node.line_writers import (
    BASE_NANO,
    GAIN_NANO,
    conclude,
    keep,
    promotion_trial,
    proposal_of,
)
from tests.node.peer_authors import PeerAuthor
from tests.node.scripted import Bench
from tests.node.test_slow_ideas import Scribe

# What scripts rely on; `v` is added where it is printed;
# `intents`, `lanes`, `now`, the head's `recheck_pending`, the network's `in_use` and `addresses`,
# and `self_test` are ours.
FIELDS = {
    "remote_lanes",
    "running",
    "paused",
    "node",
    "sandbox",
    "lines",
    "network",
    "cost",
    "self_test",
}
LINE_FIELDS = {
    "task", "scoring", "best_known", "gap", "class", "devices", "lanes", "baseline", "head",
    "working",
    "noise_sd", "experiments", "per_hour", "counted_share", "verification", "company", "intents",
    "now",
    "proposers", "planner", "proposals_waiting",
}  # fmt: skip
PROPOSER_FIELDS = {"name", "share", "slots", "gain_per_hour", "device_hours", "usd", "waiting"}
NESTED = {
    "task": {"id", "name"},
    "head": {"tree", "metric", "metric_sd", "runs", "recheck_pending"},
    "working": {"tree", "metric", "keeps", "branch", "trial_after", "trial_by_ms"},
    "experiments": {"total", "kept", "discarded", "failed", "rejected"},
    "company": {"authors", "left_out", "left_out_runs", "tried", "taken", "given"},
    "verification": {"queued", "confirmed", "smaller", "refuted", "unconfirmed", "unrunnable"},
}


def line_of(line_writer: LineWriter) -> dict[str, dict[str, object]]:
    document = status_document(line_writer.store, author=KEY.public, net="main", sandbox="full")
    (line,) = document["lines"]  # type: ignore[misc, union-attr]
    return line  # type: ignore[return-value]


def test_a_home_without_anything_has_a_document_too(store: Store) -> None:
    document = status_document(store, author=None, net="main", sandbox="none")
    assert set(document) == FIELDS
    assert document["lines"] == []
    assert document["node"] == {"author": None, "name": "", "reused": None}


def test_the_fields_are_those_documented(line_writer: LineWriter) -> None:
    document = status_document(line_writer.store, author=KEY.public, net="lab", sandbox="full")
    assert set(document) == FIELDS
    assert document["node"] == {"author": KEY.public.hex(), "name": "a node", "reused": None}
    alone = {
        "name": None,
        "peers": 0,
        "records": 3,
        "addresses": [],
        "lost_messages": 0,
        "reach": "unknown",
        "dht": None,
        "lists": [],
    }
    assert document["network"] == {"in_use": "lab", **alone}
    line = line_of(line_writer)
    assert set(line) == LINE_FIELDS
    for name, fields in NESTED.items():
        assert set(line[name]) == fields


def test_lanes_of_other_machines_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    lanes = [
        {"lane": 0, "machine": "attic", "stage": "open", "fault": None, "times_lost": 0},
        {"lane": 1, "machine": "attic", "stage": "open", "fault": None, "times_lost": 1},
        {"lane": 2, "machine": "cellar", "stage": "left out", "fault": "no room", "times_lost": 0},
        {"lane": 3, "machine": "", "stage": "away", "fault": None, "times_lost": 0},
    ]
    print_lanes(lanes)
    output = capsys.readouterr().out.splitlines()
    assert "2 of 4 lanes are open: attic (2)" in output
    assert "  lane 2  left out: no room" in output
    assert "  lane 3  away" in output


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"last": None}, "searching for nodes"),
        ({"fault": "no such name"}, "cannot reach the DHT: no such name"),
        ({"answered": 0}, "no server of the DHT answered"),
        (
            {"found": 0, "announced": 0},
            "no node found, 17 servers answered; this node has no public",
        ),
        ({"found": 1, "announced": 15}, "1 node found, 15 of 17 servers know this node"),
    ],
)
def test_a_line_says_what_came_of_the_dht(known: dict[str, object], expected: str) -> None:
    usual = {"last": 1, "next": 2, "found": 0, "answered": 17, "announced": 0, "fault": None}
    assert expected in dht_words(usual | known)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"written": None, "addresses": 0}, "not read yet"),
        ({}, "3 addresses of 2026-11-26 06:00 UTC"),
        (
            {"addresses": 1, "fault": "gone"},
            "1 address of 2026-11-26 06:00 UTC; last attempt: gone",
        ),
        ({"written": None, "fault": "\x1b[2J"}, "not read yet; last attempt: \\x1b[2J"),
    ],
)
def test_a_line_says_what_is_known_of_a_list(known: dict[str, object], expected: str) -> None:
    usual = {"place": "/dnsaddr/a.org", "written": 1_795_672_800, "addresses": 3, "fault": None}
    assert list_words(usual | known) == f"list /dnsaddr/a.org: {expected}"


def test_lists_have_a_line_each(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    document: dict[str, Any] = status_document(store, author=None, net="main", sandbox="none")
    places = ("https://example.org/a", "/dnsaddr/example.org")
    lists = [{"place": one, "written": None, "addresses": 0, "fault": None} for one in places]
    document["network"] |= {"name": "main", "lists": lists}
    print_status(document)
    said = capsys.readouterr().out
    assert [line.split()[1] for line in said.splitlines() if "  list " in line] == [
        f"{one}:" for one in places
    ]
    document["network"]["lists"] = []
    print_status(document)
    assert "list " not in capsys.readouterr().out


@pytest.mark.parametrize("online", [None, False, True])
def test_while_a_node_is_running_without_network_no_start_is_suggested(
    store: Store, capsys: pytest.CaptureFixture[str], online: bool | None
) -> None:
    document: dict[str, Any] = status_document(store, author=None, net="main", sandbox="none")
    print_status(document, online=online)
    assert ("arnode start --" in capsys.readouterr().out) is (online is not True)
    print_status(document | {"running": True}, online=online)
    assert "network main, not connected: `arnode home logs`" in (said := capsys.readouterr().out)
    assert "arnode start" not in said


def test_peers_without_a_network_names_the_command_that_joins(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_peers({"network": None})
    joins = "`arnode stop`, then `arnode start --network NAME --yes` joins one"
    assert joins in " ".join(capsys.readouterr().out.split())


def test_what_models_took_today_is_reported(home: Home, store: Store) -> None:
    nothing = {"usd_today": 0, "tokens_today": 0, "calls_today": 0, "visits_today": 0}
    assert status_document(store, author=None, net="main", sandbox="none")["cost"] == nothing
    with open_cost_database(home) as costs:
        budget = ModelCostBudget(
            costs,
            limits=ModelCostLimits(),
            model="small",
            price=Price(usd_nano_in=1_000_000, usd_nano_out=0),
            clock_ms=clock_ms,
        )
        message = ChatMessage(role="user", content="?")
        reservation = budget.reserve(
            CompletionRequest(messages=(message,), max_tokens=7, timeout_s=1.0)
        )
        assert isinstance(reservation, Reservation)
        budget.settle(reservation, Usage(tokens_in=11, tokens_out=7))
    reported = {"usd_today": 0.011, "tokens_today": 18, "calls_today": 1, "visits_today": 0}
    assert status_document(store, author=None, net="main", sandbox="none")["cost"] == reported


def test_what_others_are_trying_is_reported(
    line_writer: LineWriter, store: Store, home: Home
) -> None:
    ada = PeerAuthor(store, Blobs(home.blobs), number=50)
    line = line_writer.key
    ada.publish(
        IntentBody(
            task=line.task,
            hardware_class=line.hardware_class,
            base=BASELINE.tree,
            title="a longer warmup",
            ttl_s=600,
        )
    )
    (reported,) = line_of(line_writer)["intents"]
    assert (reported["title"], reported["author"]) == ("a longer warmup", ada.key.public.hex())  # type: ignore[index]


def test_experiments_and_promotion_trials_are_counted_by_what_came_of_them(
    line_writer: LineWriter,
) -> None:
    conclude(line_writer, proposal_of(BASELINE, "0.7"), "screened_out", BASE_NANO)
    conclude(line_writer, proposal_of(BASELINE, "0.8"), "failed", None)
    keep(line_writer, "0.2")
    promotion_trial(line_writer, gain_nano=-GAIN_NANO)
    keep(line_writer, "0.3")
    promotion_trial(line_writer, gain_nano=None, pairs=1)
    keep(line_writer, "0.4")
    promotion_trial(line_writer, gain_nano=GAIN_NANO)
    keep(line_writer, "0.5")
    open_promotion_trial(line_writer)
    line = line_of(line_writer)
    assert line["experiments"] == {
        "total": 6, "kept": 4, "discarded": 1, "failed": 1, "rejected": 0,
    }  # fmt: skip
    assert line["verification"] == {
        "queued": 1, "confirmed": 1, "smaller": 0, "refuted": 0, "unconfirmed": 1, "unrunnable": 1,
    }  # fmt: skip
    assert line["working"]["keeps"] == 1
    assert line["working"]["trial_after"] == DEFAULT.keeps_per_promotion_trial - 1
    since_ms = line_writer.known_line.promotion_trial_ms
    assert line["working"]["trial_by_ms"] == since_ms + DEFAULT.promotion_trial_hours * 3_600_000


def last_line(line: Mapping[str, Any] | None, again: str) -> str:
    return parting_words(line, again).replace("\xa0", " ")


def test_the_last_line_of_a_session_names_what_is_verified_what_is_not_and_how_to_go_on(
    line_writer: LineWriter,
) -> None:
    assert last_line(None, "arnode start") == (
        "stopped: nothing was measured yet. Resume: arnode start"
    )
    keep(line_writer, "0.2")
    line = line_of(line_writer)
    line["working"] = {**line["working"], "metric": 0.2}
    assert last_line(line, "arnode start") == (
        "stopped: still the baseline, 1 patch not verified yet (0.2000). Resume: arnode start"
    )
    promotion_trial(line_writer, gain_nano=GAIN_NANO)
    line = line_of(line_writer)
    first, head = line["baseline"], line["head"]["metric"]
    assert last_line(line, "arnode start") == (
        f"stopped: {first:.4f} → {head:.4f} verified. Resume: arnode start"
    )
    keep(line_writer, "0.3")
    words = parting_words(line_of(line_writer), "arnode start --task circles-26")
    resume = "Resume:\xa0arnode\xa0start\xa0--task\xa0circles-26"
    assert words.split(" ")[-2:] == ["(1.4800).", resume]


def test_the_heads_metric_comes_from_its_latest_confirmation(line_writer: LineWriter) -> None:
    line = line_writer.known_line
    assert len(head_metrics(line_writer.store, line, BASELINE.tree)) == 2
    keep(line_writer, "0.2")
    tree = line_writer.known_line.working
    assert head_metrics(line_writer.store, line, tree) == []
    promotion_trial(line_writer, gain_nano=GAIN_NANO)
    metrics = head_metrics(line_writer.store, line, tree)
    assert len(metrics) == 4
    head = line_of(line_writer)["head"]
    assert (head["tree"], head["runs"]) == (tree.hex(), 4)
    assert head["metric"] == pytest.approx((BASE_NANO - GAIN_NANO) / 1e9, abs=1e-6)


def test_a_running_loop_adds_what_it_does_now(home: Home, line_writer: LineWriter) -> None:
    research = Bench(home=home, store=line_writer.store).research()
    research.activity.lanes = 2
    research.activity.running("LEARNING_RATE → 0.1", "screen", "first run", run=1)
    research.activity.running("LEARNING_RATE → 0.2", "screen", "first run", run=2)
    research.activity.finished(1000)
    document = status_document(
        line_writer.store, author=KEY.public, net="main", sandbox="full", research=research
    )
    assert document["running"] is True
    (line,) = document["lines"]  # type: ignore[misc, union-attr]
    now = {
        "title": "LEARNING_RATE → 0.2", "stage": "screen", "also_running": 1,
        "paused": False, "until": None,
    }  # fmt: skip
    assert (line["now"], line["lanes"]) == (now, 2)  # type: ignore[index, call-overload]
    assert line["per_hour"] > 0  # type: ignore[index, call-overload, operator]
    assert line_of(line_writer)["now"] is None


def test_a_pause_that_lets_the_run_at_hand_end_is_reported_with_it(
    home: Home, line_writer: LineWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    async def paused() -> tuple[dict[str, Any], dict[str, Any]]:
        research = Bench(home=home, store=line_writer.store).research()
        research.activity.running("LEARNING_RATE → 0.1", "screen", "first run", run=1)
        research.pause(for_s=3600)
        document: dict[str, Any] = status_document(
            line_writer.store, author=KEY.public, net="main", sandbox="full", research=research
        )
        research.resume()
        return document, document["lines"][0]["now"]

    document, now = asyncio.run(paused())
    assert (now["stage"], now["paused"]) == ("screen", True)
    assert datetime.fromisoformat(now["until"]) > datetime.now(UTC)
    print_status(document)
    assert "screen: LEARNING_RATE → 0.1, then a pause" in capsys.readouterr().out
    document["lines"][0]["now"] |= {"stage": "paused", "title": ""}
    print_status(document)
    assert "  now            paused\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("runs", "sd", "expected"),
    [(2, 0.0078, "1.250000 (mean of 2 runs, sd 0.007800)"), (1, None, "1.250000 (mean of 1 run)")],
)
def test_a_standard_deviation_is_called_one(
    line_writer: LineWriter,
    capsys: pytest.CaptureFixture[str],
    runs: int,
    sd: float | None,
    expected: str,
) -> None:
    document = status_document(line_writer.store, author=KEY.public, net="main", sandbox="full")
    (line,) = document["lines"]  # type: ignore[misc, union-attr]
    line["head"] |= {"metric": 1.25, "metric_sd": sd, "runs": runs}
    print_status(document | {"running": False})
    said = capsys.readouterr().out
    assert expected in said
    assert "±" not in said


@pytest.mark.always
def test_no_spread_is_reported_in_two_ways() -> None:
    """A figure after ± reads as an interval or as a deviation, so ± is not used."""
    root = Path(node.__file__).parent
    users = [path.name for path in root.rglob("*.py") if "±" in path.read_text(encoding="utf-8")]
    assert users == ["vocabulary.py"]  # which says so


def test_several_that_propose_are_reported_with_their_shares(
    home: Home, line_writer: LineWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(4):
        arm = "small" if number else "small#bold"
        proposal = proposal_of(line_writer.source(line_writer.known_line.working), f"0.3{number}")
        is_kept = number == 0
        metrics = (BASE_NANO - GAIN_NANO,) * 2 if is_kept else (BASE_NANO,)
        conclude(line_writer, proposal, "kept" if is_kept else "screened_out", *metrics, arm=arm)
    writers = [SlowIdeas(Scribe(name=name), say=lambda _: None) for name in ("small", "small#bold")]
    research = Bench(
        home=home, store=line_writer.store, slow=writers, has_hyperparameters=True
    ).research()
    document = status_document(
        line_writer.store, author=KEY.public, net="main", sandbox="full", research=research
    )
    reported = document["lines"][0]["proposers"]  # type: ignore[call-overload, index]
    assert all(set(one) == PROPOSER_FIELDS for one in reported)
    shares = {one["name"]: (one["share"], one["slots"]) for one in reported}
    assert shares == {"search": (0.0, 0), "small": (0.75, 3), "small#bold": (0.25, 1)}
    by_name = {one["name"]: one for one in reported}
    assert by_name["search"]["gain_per_hour"] is None
    assert by_name["small"]["gain_per_hour"] == 0.0
    assert by_name["small#bold"]["gain_per_hour"] > 0
    assert by_name["small#bold"]["waiting"] is None
    print_status(document)
    said = capsys.readouterr().out
    assert "  proposes       small: 75% of the latest experiments, +0.00 sd per device" in said
    print_status(document | {"lines": [{**document["lines"][0], "proposers": reported[:1]}]})  # type: ignore[dict-item, index]
    assert "proposes" not in capsys.readouterr().out
