"""Alerts: their content, wording and rate; a failing outlet never hurts the node."""

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from node.home.config import Config
from node.home.faults import DISK_FULL_HINT, DiskFullError
from node.home.files import LITTLE_BYTES, TOO_LITTLE_BYTES
from node.home.home import Home
from node.home.notify import Outlet, outlet
from node.home.settings_in_force import load_config
from node.running.alert import Alert, AlertKind, AlertMessage, cleaned, end_of, quoted
from node.running.alert_outlets import Outlets
from node.running.alert_quota import A_DAY, BETWEEN_MS, LAST_FOR_ENDS, AlertQuota
from node.running.alert_watching import AlertWatch, watching
from node.running.alerts import Alerts, open_alerts
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.errors import ConfigurationError, UsageError
from protocol.rerun import RerunVerdict
from protocol.runs import Env
from tests.node.examples import BASELINE, HARDWARE_CLASS, KEY, TASK
from tests.node.line_writers import GAIN_NANO, keep, promotion_trial, with_baseline
from tests.node.night import HOSTILE, evening
from tests.node.peer_authors import PeerAuthor
from tests.protocol.worlds import rerun

NOON_MS = 1_790_000_000_000
HEAD = Alert(kind="head", text="new verified head")
PLENTY = 100 * LITTLE_BYTES


def sent(kind: AlertKind = "head", *, text: str = "something happened") -> AlertMessage:
    return AlertMessage(
        alert=Alert(kind=kind, text=text, figures={"gain": 0.5}),
        node="attic",
        ts_ms=NOON_MS,
        held_back={"head": 2, "refuted": 1},
    )


class Recorder(Outlets):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__(())
        self.messages: list[AlertMessage] = []

    async def send(self, message: AlertMessage) -> None:
        self.messages.append(message)


# The setting


@pytest.mark.parametrize(
    ("word", "way", "words"),
    [
        ("ntfy:https://ntfy.example.org/attic", "ntfy", ("https://ntfy.example.org/attic",)),
        ("webhook:http://127.0.0.1:9/hook?x=1", "webhook", ("http://127.0.0.1:9/hook?x=1",)),
        ("command:tell 'two words' -n", "command", ("tell", "two words", "-n")),
    ],
)
def test_an_outlet_is_named_in_one_word(word: str, way: str, words: tuple[str, ...]) -> None:
    found = outlet(word)
    assert (found.way, found.words) == (way, words)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("ntfy:https://ntfy.example.org/", "names no topic"),
        ("ntfy:https://ntfy.example.org/a/b", "names no topic"),
        ("ntfy:topic", "is not an http or https URL"),
        ("webhook:ftp://example.org/x", "is not an http or https URL"),
        ("webhook:https://me:secret@example.org/x", "a user or a password"),
        ("webhook:https://example.org/a b", "an invalid character in its URL"),
        ("webhook:https://example.org:99999/", "has no valid URL"),
        ("command:", "names no program"),
        ("command:tell 'me", "is not a command"),
        ("mail:me@example.org", "does not begin with one of"),
    ],
)
def test_a_wrong_outlet_is_one_error_that_says_what_is_taken(
    tmp_path: Path, word: str, said: str
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f"notify = {json.dumps([word])}\n")
    with pytest.raises(ConfigurationError, match="`notify`") as caught:
        load_config(path, env={})
    assert said in caught.value.message
    assert "ntfy:https://HOST/TOPIC" in caught.value.hint


def test_a_variable_holds_one_outlet_or_a_list(tmp_path: Path) -> None:
    def given(value: str) -> tuple[str, ...]:
        return load_config(tmp_path / "none", env={"ARNODE_NOTIFY": value}).config.notify

    assert given("command:tell me") == ("command:tell me",)
    assert given('["command:tell me", "ntfy:https://h.example/t"]') == (
        "command:tell me",
        "ntfy:https://h.example/t",
    )
    assert given("") == ()


def test_a_program_that_is_not_there_is_reported_before_the_node_begins(home: Home) -> None:
    home.prepare()
    config = Config(notify=("command:no-such-program --now",))
    with pytest.raises(ConfigurationError, match="no-such-program"), open_alerts(home, config):
        pass


def test_who_asked_for_no_alerts_has_none(home: Home) -> None:
    with open_alerts(home, Config()) as alerts:
        assert alerts is None
    assert not home.alerts.exists()


# The words


def test_of_a_title_nothing_is_left_that_a_service_obeys() -> None:
    assert quoted("LEARNING_RATE → 0.2 (stack of 2: a; b)") == (
        '"LEARNING_RATE → 0.2 (stack of 2: a; b)"'
    )
    shown = quoted(HOSTILE)
    assert not set(shown[1:-1]) & set("<>@&`*|[]/#\"'~!")
    for bait in ("evil.example", "@everyone", ":boom:", "https://evil.example", "_it_", "\u202e"):
        assert bait not in cleaned(bait)
    assert len(cleaned("x" * 500)) == 80


def test_a_message_is_one_line_with_what_was_held_back() -> None:
    message = sent()
    assert message.text == (
        "attic: something happened (not sent before: 2 changes of a head, 1 refuted claim)"
    )
    document = message.document()
    assert (document["v"], document["kind"], document["gain"]) == (1, "head", 0.5)
    assert document["text"] == document["content"] == message.text
    assert document["held_back"] == {"head": 2, "refuted": 1}


def test_an_end_is_reported_with_its_fix_and_a_bug_without_its_words() -> None:
    full = end_of(DiskFullError("the disk is full: /home/me/records.db", DISK_FULL_HINT))
    assert "the disk is full: /home/me/records.db (hint: free some space" in full.text
    bug = end_of(ValueError("<@everyone>"))
    assert "ValueError: see 'arnode home logs'" in bug.text
    assert "everyone" not in bug.text


# How often


def test_one_of_a_kind_in_ten_minutes_and_the_rest_are_counted(tmp_path: Path) -> None:
    tally = AlertQuota(tmp_path / "alerts.json")
    assert tally.admit("head", NOON_MS) == {}
    assert tally.admit("head", NOON_MS + 1) is None
    assert tally.admit("head", NOON_MS + BETWEEN_MS - 1) is None
    assert tally.admit("refuted", NOON_MS + 2) == {"head": 2}
    assert tally.admit("head", NOON_MS + BETWEEN_MS) == {}


def test_the_last_of_a_days_messages_are_for_ends_and_the_disk(tmp_path: Path) -> None:
    tally = AlertQuota(tmp_path / "alerts.json")
    times = [NOON_MS + number * BETWEEN_MS for number in range(30)]
    assert sum(tally.admit("head", ms) is not None for ms in times) == A_DAY - LAST_FOR_ENDS
    later = [times[-1] + number * BETWEEN_MS for number in range(10)]
    reported = [tally.admit("ended", ms) for ms in later]
    assert reported == [{"head": 14}, *[{}] * (LAST_FOR_ENDS - 1), *[None] * 6]
    tomorrow = later[-1] + 24 * 60 * 60 * 1000
    assert tally.admit("head", tomorrow) == {"ended": 6}


def test_a_node_that_is_started_again_and_again_reports_one_end(tmp_path: Path) -> None:
    path = tmp_path / "alerts.json"
    assert AlertQuota(path).admit("ended", NOON_MS) == {}
    size = path.stat().st_size
    assert [AlertQuota(path).admit("ended", NOON_MS + 1000 * n) for n in range(50)] == [None] * 50
    assert path.stat().st_size == size, "it is written in place, so that a full disk takes it"
    assert path.stat().st_mode & 0o077 == 0


def test_what_does_not_read_is_started_again_and_what_cannot_be_kept_is_not_sent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "alerts.json"
    for damage in (b"\xff", b"[]", b'{"v":1,"sent":["x"],"last":{},"held":{}}'):
        path.write_bytes(damage)
        assert AlertQuota(path).admit("head", NOON_MS) == {}
    with caplog.at_level(logging.WARNING, "node"):
        assert AlertQuota(tmp_path / "gone" / "alerts.json").admit("head", NOON_MS) is None
    assert "is not sent" in caplog.text


def test_a_clock_that_was_set_back_holds_nothing_back_for_long(tmp_path: Path) -> None:
    tally = AlertQuota(tmp_path / "alerts.json")
    assert tally.admit("head", NOON_MS) == {}
    assert tally.admit("head", NOON_MS - 10 * BETWEEN_MS) == {}


# Where to


@asynccontextmanager
async def listening(answer: Callable[[web.Request, bytes], web.Response]) -> AsyncIterator[str]:
    """Yield the URL of a server that answers so."""
    app = web.Application()

    async def handle(request: web.Request) -> web.Response:
        return answer(request, await request.read())

    app.router.add_post("/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


def test_ntfy_and_webhooks_get_it(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> list[tuple[str, str | None, bytes]]:
        posted: list[tuple[str, str | None, bytes]] = []

        def answer(request: web.Request, body: bytes) -> web.Response:
            posted.append((request.path, request.headers.get("Title"), body))
            return web.Response()

        async with listening(answer) as url:
            named = [outlet(f"ntfy:{url}/attic"), outlet(f"webhook:{url}/hook")]
            await Outlets(named).send(sent("ended"))
        return sorted(posted, key=lambda one: one[0])

    ntfy, hook = asyncio.run(scenario())
    assert ntfy == ("/attic", "arnode: ended", sent("ended").text.encode())
    assert hook[0] == "/hook"
    assert json.loads(hook[2]) == sent("ended").document()
    assert caplog.text == ""


@pytest.mark.parametrize("status", [302, 404, 500])
def test_an_outlet_that_fails_is_logged_once_until_it_works_again(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        answers = [status, status, 200, status]
        async with listening(lambda *_: web.Response(status=answers.pop(0))) as url:
            outlets = Outlets([outlet(f"webhook:{url}/token-of-a-secret")])
            for _ in range(4):
                await outlets.send(sent())

    with caplog.at_level(logging.WARNING, "node"):
        asyncio.run(scenario())
    lines = [record.message for record in caplog.records]
    assert len(lines) == 2
    assert all(f"it answered {status}" in line for line in lines)
    assert "token-of-a-secret" not in caplog.text


def script(tmp_path: Path, text: str) -> Outlet:
    path = tmp_path / "tell.py"
    path.write_text(text)
    return Outlet(way="command", words=(sys.executable, "-S", str(path), str(tmp_path)))


def test_a_command_gets_json_on_its_standard_input_and_nothing_as_an_argument(
    tmp_path: Path,
) -> None:
    reported = (
        "import json, pathlib, sys\n"
        "there = pathlib.Path(sys.argv[1])\n"
        "(there / 'heard').write_text(json.dumps([sys.argv[2:], json.load(sys.stdin)]))\n"
    )
    asyncio.run(Outlets([script(tmp_path, reported)]).send(sent(text=quoted(HOSTILE))))
    arguments, document = json.loads((tmp_path / "heard").read_text())
    assert arguments == []
    assert document == sent(text=quoted(HOSTILE)).document()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import time\ntime.sleep(600)\n", "did not accept it within 0.2 s"),
        ("raise SystemExit(3)\n", "it ended with exit code 3"),
    ],
)
def test_a_command_that_hangs_or_fails_is_ended_and_logged(
    tmp_path: Path, text: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    limit_s = 0.2 if "within" in said else 10.0
    with caplog.at_level(logging.WARNING, "node"):
        asyncio.run(Outlets([script(tmp_path, text)], limit_s=limit_s).send(sent()))
    assert [said in record.message for record in caplog.records] == [True]


def test_one_that_cannot_be_reached_holds_up_none_of_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reported = "import pathlib, sys\npathlib.Path(sys.argv[1], 'heard').touch()\n"
    gone = Outlet(way="command", words=(str(tmp_path / "gone"),))
    with caplog.at_level(logging.WARNING, "node"):
        asyncio.run(Outlets([gone, script(tmp_path, reported)]).send(sent()))
    assert (tmp_path / "heard").exists()
    assert len(caplog.records) == 1


# What is watched


def watch_of(store: Store, *, free: int = PLENTY) -> AlertWatch:
    return AlertWatch(store, author=KEY.public, net="main", place=Path("/"), free=lambda _: free)


def test_a_new_head_is_reported_with_its_interval_and_its_title(home: Home, store: Store) -> None:
    line_writer = with_baseline(home, store)
    keep(line_writer, "0.2")
    watch = watch_of(store)
    promotion_trial(line_writer, gain_nano=-GAIN_NANO)
    assert list(watch.news()) == []
    keep(line_writer, "0.3")
    record = promotion_trial(line_writer, gain_nano=GAIN_NANO)
    (alert,) = watch.news()
    assert alert.kind == "head"
    assert alert.text.startswith(
        "new verified head of tiny on cpu-x86_64, measured here, gain +0.0"
    )
    assert "95 % interval" in alert.text
    assert alert.text.endswith('"LEARNING_RATE → 0.3"')
    assert alert.figures["result"] == record.id.hex()
    assert alert.figures["gain"] == pytest.approx(0.02, rel=0.05)
    assert list(watch.news()) == [], "once"
    assert list(watch_of(store).news()) == [], "nor what was there before"


def test_peers_words_in_a_head_are_cleaned_and_quoted(home: Home, store: Store) -> None:
    night = evening(home, store)
    ada = PeerAuthor(store, Blobs(home.blobs), number=50, clock_ms=night.clock)
    watch = watch_of(store)
    night.catch_up(ada, night.idea().source, gain_nano=GAIN_NANO)
    (alert,) = watch.news()
    assert quoted(f"Ada's tree {HOSTILE}"[:100]) in alert.text
    assert "script>" not in alert.text


def test_a_refuted_claim_is_reported_when_the_board_counts_one_more(
    home: Home, store: Store
) -> None:
    line_writer = with_baseline(home, store)
    keep(line_writer, "0.2")
    claim = promotion_trial(line_writer, gain_nano=GAIN_NANO)
    tree = line_writer.known_line.verified
    watch = watch_of(store)
    keys = [PeerAuthor(store, line_writer.blobs, number=number) for number in (60, 61, 62)]

    def says(by: PeerAuthor, gains: list[int], verdict: RerunVerdict) -> None:
        body = rerun(by.key, tree, gains, verdict, base=BASELINE.tree, target=claim.id)
        by.publish(replace(body, task=TASK, hardware_class=HARDWARE_CLASS, env=Env()))

    says(keys[0], [GAIN_NANO] * 4, "confirmed")
    says(keys[1], [GAIN_NANO] * 4, "refuted")  # its runs do not bear that out
    assert list(watch.news()) == []
    says(keys[2], [0, 1000, 0, 1000], "refuted")
    (alert,) = watch.news()
    assert alert.kind == "refuted"
    assert "a claim of this node on tiny, cpu-x86_64, was refuted" in alert.text
    assert "1 confirmed, 0 smaller, 1 refuted" in alert.text
    assert (alert.figures["result"], alert.figures["refuted"]) == (claim.id.hex(), 1)
    assert list(watch.news()) == []


def test_a_filling_disk_is_reported_once_at_each_level(store: Store) -> None:
    free = [PLENTY]
    watch = AlertWatch(
        store, author=KEY.public, net="main", place=Path("/"), free=lambda _: free[0]
    )

    def reports(bytes_free: int) -> int:
        free[0] = bytes_free
        return len(list(watch.news()))

    assert [reports(PLENTY), reports(LITTLE_BYTES - 1), reports(LITTLE_BYTES - 2)] == [0, 1, 0]
    assert [reports(LITTLE_BYTES + 1), reports(LITTLE_BYTES - 1)] == [0, 0], (
        "a little more is no change"
    )
    assert [reports(TOO_LITTLE_BYTES - 1), reports(TOO_LITTLE_BYTES - 2)] == [1, 0]
    assert [reports(2 * LITTLE_BYTES), reports(LITTLE_BYTES - 1)] == [0, 1]


def test_what_happens_until_the_end_is_reported(home: Home, store: Store) -> None:
    line_writer = with_baseline(home, store)
    keep(line_writer, "0.2")
    recorder = Recorder()
    alerts = Alerts(recorder, AlertQuota(home.alerts), node="attic", clock_ms=lambda: NOON_MS)

    async def session() -> None:
        async with watching(alerts, store, KEY.public, net="main", place=home.root):
            promotion_trial(line_writer, gain_nano=GAIN_NANO)

    asyncio.run(session())
    assert [message.alert.kind for message in recorder.messages] == ["head"]


def test_a_look_that_fails_does_not_hurt_the_node(
    home: Home, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    alerts = Alerts(Recorder(), AlertQuota(home.alerts), node="attic")

    def fail(_: AlertWatch) -> list[Alert]:
        raise RuntimeError("a bug")

    monkeypatch.setattr(AlertWatch, "news", fail)

    async def session() -> str:
        async with watching(alerts, store, KEY.public, net="main", place=home.root):
            return "done"

    assert asyncio.run(session()) == "done"
    assert "a bug" in caplog.text


# A node that ends


def sent_at_the_end(home: Home, tmp_path: Path, fault: BaseException) -> str:
    """Return the alert that a command gets when a node ends so."""
    home.prepare()
    reported = (
        "import pathlib, sys\npathlib.Path(sys.argv[1], 'heard').write_text(sys.stdin.read())\n"
    )
    words = " ".join(script(tmp_path, reported).words)
    with (
        pytest.raises(type(fault)),
        open_alerts(home, Config(name="attic", notify=(f"command:{words}",))),
    ):
        raise fault
    delivered = tmp_path / "heard"
    return json.loads(delivered.read_text())["text"] if delivered.exists() else ""


def test_an_error_that_ends_the_node_is_reported(home: Home, tmp_path: Path) -> None:
    fault = DiskFullError("the disk is full: records.db could not be written", DISK_FULL_HINT)
    assert sent_at_the_end(home, tmp_path, fault).startswith(
        "attic: the node ended unexpectedly: the disk is full: records.db could not be written"
    )


@pytest.mark.parametrize("fault", [UsageError("no such task", "name one"), KeyboardInterrupt()])
def test_the_one_who_ended_it_gets_no_alert_that_it_ended(
    home: Home, tmp_path: Path, fault: BaseException
) -> None:
    assert sent_at_the_end(home, tmp_path, fault) == ""
