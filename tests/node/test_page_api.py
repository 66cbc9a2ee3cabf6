"""The API answers with the objects that commands print, under a token, and refuses the rest."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from node.commands.cli import main
from node.home.home import Home
from node.store.blobs import Blobs
from node.store.store import Store
from node.web.commands import ClosedHypothesis, Completed, Paused, PauseFor
from node.web.tokens import Codes, Tokens
from protocol.units import NANO
from tests.node.examples import HARDWARE_CLASS, TASK
from tests.node.line_writers import keep, line_writer_of, with_baseline
from tests.node.page import Answer, Visitor, visiting
from tests.node.peer_authors import PeerAuthor
from tests.protocol.examples import REPORT
from trainer.host.device import Device
from trainer.measuring.loss_curve import LossPoint

HOSTILE = "<img src=x onerror=alert(1)>\"';--"


@pytest.fixture
def history(home: Home, store: Store) -> PeerAuthor:
    """A node with a baseline and two kept patches, and an untrusted claim."""
    with_baseline(home, store)
    line_writer = line_writer_of(home, store)
    for rate in ("0.2", "0.3"):
        keep(line_writer, rate)
    ada = PeerAuthor(store, Blobs(home.blobs), number=50, name=HOSTILE)
    ada.claims(line_writer.source(line_writer.known_line.working), 4.0)
    return ada


def ask(home: Home, work: Callable[[Visitor], Awaitable[Any]], **how: Any) -> Any:
    """Do something as a visitor of a home's page."""

    async def visit() -> Any:
        async with asyncio.timeout(20), visiting(home, **how) as visitor:
            return await work(visitor)

    return asyncio.run(visit())


def answer(home: Home, path: str, **how: Any) -> Answer:
    """Ask for one path."""

    async def work(visitor: Visitor) -> Answer:
        return await visitor.get(path)

    found: Answer = ask(home, work, **how)
    return found


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """Return a command's JSON output."""
    with pytest.raises(SystemExit):
        main([*words, "--json"])
    return json.loads(capsys.readouterr().out)


def test_the_api_answers_with_the_objects_that_commands_print(
    home: Home, history: PeerAuthor, here: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = printed(capsys, "log")["experiments"]
    kept = next(one["id"] for one in entries if one["decision"] == "kept")
    patch = next(one["patch"] for one in entries if one["decision"] == "kept")
    of_board = f"boards/{TASK.hex()}/{HARDWARE_CLASS}"
    for path, words in {
        "status": ("status",),
        "experiments": ("log",),
        f"records/{kept}": ("show", kept),
        f"records/{kept}/diff": ("diff", kept),
        f"records/{patch}": ("show", patch),
        "spending": ("agent", "spending"),
        "report?since=1000d": ("report", "--since", "1000d"),
        "transfer": ("leaderboard", "--transfer"),
        "tasks": ("task", "list"),
        of_board: ("leaderboard", "--class", HARDWARE_CLASS),
    }.items():
        found, wanted = answer(home, path).json, printed(capsys, *words)
        wanted.pop("until", None)  # the time at which it was asked
        assert {name: found[name] for name in wanted} == wanted, path


def test_one_experiment_comes_with_its_record_diff_runs_and_lineage(
    home: Home, history: PeerAuthor
) -> None:
    first, second = (
        one for one in answer(home, "experiments?decision=kept&order=asc").json["experiments"]
    )
    found = answer(home, f"experiments/{second['id']}").json
    assert found["experiment"] == second
    assert found["record"]["id"] == second["id"]
    assert found["diff"].startswith("--- a/train.py")
    assert [run["role"] for run in found["runs"]] == ["candidate", "candidate"]
    assert [step["experiment"] for step in found["lineage"]][:2] == [second["id"], first["id"]]


def test_published_reports_are_listed_and_read_where_their_text_is_here(
    home: Home, history: PeerAuthor
) -> None:
    body = replace(REPORT, task=TASK, hardware_class=HARDWARE_CLASS, title=HOSTILE)
    report = history.publish(body).hex()
    (row,) = answer(home, "reports").json["reports"]
    assert (row["id"], row["own"], row["has_text"]) == (report, False, False)
    assert (row["title"], row["class"], row["task"]) == (HOSTILE, HARDWARE_CLASS, TASK.hex())
    assert (row["since"], row["until"]) == (REPORT.since_ms, REPORT.until_ms)
    assert row["figures"] == dict(REPORT.figures.items)
    assert answer(home, f"reports/{report}/text").status == 404
    Blobs(home.blobs).put(b"# A night")
    assert answer(home, f"reports/{report}/text").json["text"] == "# A night"
    assert answer(home, f"records/{report}").json["text"] == "# A night"
    assert answer(home, "reports").json["reports"][0]["has_text"]


def test_a_run_has_the_curve_that_was_kept_with_it(home: Home, store: Store) -> None:
    with_baseline(home, store)
    planned, *_ = store.jobs.runs_of(1)
    assert planned.outcome is not None
    curve = (LossPoint(step=1, loss_nano=5 * NANO), LossPoint(step=9, loss_nano=3 * NANO))
    store.jobs.finish_run(planned, replace(planned.outcome, curve=curve))
    baseline = answer(home, "experiments").json["experiments"][0]["id"]
    runs = answer(home, f"experiments/{baseline}").json["runs"]
    assert [run["curve"] for run in runs] == [[[1, 5.0], [9, 3.0]], []]


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("sort=title&order=asc&stage=keep", ["0.2", "0.3"]),
        ("sort=gain&order=desc&stage=keep&limit=1", ["0.2"]),
        ("q=rate%20%E2%86%92%200.3", ["0.3"]),
        ("stage=keep&order=asc&offset=1", ["0.3"]),
        ("q=%25", []),
        ("origin=nobody", []),
    ],
)
def test_experiments_are_filtered_sorted_and_paged(
    home: Home, history: PeerAuthor, query: str, titles: list[str]
) -> None:
    found = answer(home, f"experiments?{query}").json
    assert [one["title"][-3:] for one in found["experiments"]] == titles
    assert found["total"] >= len(titles)


def test_progress_has_a_column_for_everything_and_both_lines(
    home: Home, history: PeerAuthor
) -> None:
    found = answer(home, "progress").json
    points = found["points"]
    assert {len(column) for column in points.values()} == {3}
    assert points["decision"] == ["baseline", "kept", "kept"]
    assert points["head"] == [found["baseline"]] * 3
    assert points["working"][1] < points["working"][0]


def test_lineage_joins_own_steps_and_claims_and_says_whose_they_are(
    home: Home, history: PeerAuthor
) -> None:
    found = answer(home, "lineage").json
    trees = {one["tree"] for one in found["nodes"]}
    assert {found["baseline"], found["working"], found["head"]} <= trees
    assert {one["from"] for one in found["edges"]} <= trees
    assert all((one["author"] is None) == one["own"] for one in found["nodes"])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("experiments?limit=0", 400),
        ("experiments?limit=5000", 400),
        ("experiments?sort=secret", 400),
        ("experiments?unheard=of", 400),
        ("experiments?q=1&q=2", 400),
        ("experiments/zzzz", 404),
        ("experiments/" + "0" * 64, 404),
        ("records/..%2F..%2Fsecret", 404),
        ("boards/" + "0" * 64 + "/cpu", 404),
        ("jobs/0", 404),
        ("jobs/99", 404),
        ("nothing/of/that/name", 404),
        ("experiments?task=nobody", 404),
    ],
)
def test_what_makes_no_sense_is_a_problem_that_says_how_to_fix_it(
    home: Home, history: PeerAuthor, path: str, status: int
) -> None:
    found = answer(home, path)
    assert found.status == status
    assert found.headers["Content-Type"].startswith("application/problem+json")
    assert found.json["status"] == status
    assert found.json["detail"]
    assert found.json["hint"]


@pytest.mark.parametrize("id", ["0", "abc", "ABCDEF", "0123.", "g" * 12, "0" * 65])
def test_an_id_of_another_form_closes_no_hypothesis(home: Home, id: str) -> None:  # noqa: A002
    """Fewer digits could be meant for any."""
    reported: list[object] = []

    async def complete(asked: ClosedHypothesis) -> Completed:
        reported.append(asked)
        return {"state": "dropped"}

    async def work(visitor: Visitor) -> Answer:
        return await visitor.post(f"intents/{id}/complete", {})

    refused: Answer = ask(home, work, answers={"complete": complete})
    assert (refused.status, reported) == (404, [])
    assert "this is not a valid id" in refused.text


def test_nothing_is_read_without_a_token_and_nothing_steered_with_one_that_reads(
    home: Home, history: PeerAuthor
) -> None:
    received: list[str] = []

    async def pause(_: PauseFor) -> Paused:
        received.append("pause")
        return {"paused": True, "until": None, "runs_ended": 0, "seconds_lost": 0.0}

    async def nobody(visitor: Visitor) -> None:
        for path in ("status", "experiments", "events", "session", "openapi.json"):
            found = await visitor.get(path)
            assert (found.status == 401) == (path != "openapi.json"), path
        assert (await visitor.get("status", Authorization="Bearer nonsense")).status == 401
        assert (await visitor.post("pause", {})).status == 401

    async def reader(visitor: Visitor) -> None:
        assert (await visitor.get("session")).json["may"] == ["read"]
        assert (await visitor.post("pause", {})).status == 403

    async def owner(visitor: Visitor) -> None:
        assert (await visitor.get("session")).json["may"] == ["read", "steer"]
        assert (await visitor.post("pause", {})).json["paused"] is True

    ask(home, nobody, right=None)
    ask(home, reader, right="read", answers={"pause": pause})
    assert received == []
    ask(home, owner, answers={"pause": pause})
    assert received == ["pause"]


def test_a_link_opens_one_page_and_only_once(home: Home) -> None:
    async def work(visitor: Visitor) -> None:
        code = visitor.served.link("read").rpartition("#")[2]
        token = (await visitor.post("session", {"code": code})).json["token"]
        assert (await visitor.post("session", {"code": code})).status == 401
        may = await visitor.get("session", Authorization=f"Bearer {token}")
        assert may.json["may"] == ["read"]

    ask(home, work, right=None)


def test_a_code_is_too_old_after_an_hour_and_of_too_many_the_oldest_goes() -> None:
    now_s = [0.0]
    codes = Codes(lambda: now_s[0])
    old = codes.issue("steer")
    now_s[0] = 3601
    assert codes.exchange(old) is None
    first, *_, last = [codes.issue("read") for _ in range(65)]
    assert (codes.exchange(first), codes.exchange(last)) == (None, "read")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7842", "127.0.0.1.evil.example", ""]
)
def test_a_name_that_somebody_points_here_is_answered_nothing(home: Home, host: str) -> None:
    async def work(visitor: Visitor) -> Answer:
        return await visitor.get("status", Host=host)

    assert ask(home, work).status in (400, 421)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_another_page_gets_nothing_even_with_a_token(home: Home, origin: str) -> None:
    async def work(visitor: Visitor) -> tuple[Answer, Answer]:
        own = visitor.served.url.rstrip("/")
        return await visitor.get("status", Origin=origin), await visitor.get("status", Origin=own)

    other, own = ask(home, work)
    assert (other.status, own.status) == (403, 200)
    assert "Access-Control-Allow-Origin" not in {**other.headers, **own.headers}


def test_every_answer_says_what_a_page_may_do(home: Home) -> None:
    async def work(visitor: Visitor) -> list[Answer]:
        return [
            await visitor.ask("GET", path, headers={})
            for path in ("", "api/v1/status", "api/v1/nothing", "nothing", "metrics")
        ]

    for found in ask(home, work):
        policy = found.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'self'")
        assert "unsafe" not in policy
        assert found.headers["X-Content-Type-Options"] == "nosniff"
        assert "Set-Cookie" not in found.headers


@pytest.mark.parametrize("path", ["../web-tokens.json", "%2e%2e/key", "/etc/passwd", "..%5ckey"])
def test_no_path_leads_out_of_the_page(home: Home, path: str) -> None:
    async def work(visitor: Visitor) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", visitor.served.port)
        writer.write(
            f"GET /{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
        )
        status = int((await reader.readline()).split()[1])
        writer.close()
        return status

    assert ask(home, work) in (400, 403, 404)


def test_an_answer_that_is_known_is_not_sent_again(home: Home, history: PeerAuthor) -> None:
    async def work(visitor: Visitor) -> None:
        first = await visitor.get("experiments")
        again = await visitor.get("experiments", **{"If-None-Match": first.headers["ETag"]})
        assert (again.status, again.text) == (304, "")

    ask(home, work)


def test_a_body_that_is_too_large_or_no_json_is_refused(home: Home) -> None:
    async def work(visitor: Visitor) -> None:
        big = {"files": {"train.py": "x" * (1 << 20)}, "title": "t"}
        assert (await visitor.post("tries", big)).status == 413
        plain = {"Content-Type": "text/plain"}
        assert (await visitor.post("notes", {"text": "a"}, **plain)).status == 415
        for body in ([], {"text": ""}, {"text": 1}, {"text": "a", "more": 1}, {}):
            assert (await visitor.post("notes", body)).status == 400
        for claim in ("../../x.bundle", "/etc/passwd", "abc", ""):
            assert (await visitor.post("verify", {"claim": claim})).status == 400

    ask(home, work)


def test_without_a_node_steering_says_that_none_runs(home: Home) -> None:
    async def work(visitor: Visitor) -> Answer:
        return await visitor.post("resume", {})

    found = ask(home, work, kind="store")
    assert (found.status, found.json["hint"]) == (409, "start it: `arnode start`")


def test_a_public_page_reads_without_a_token_and_steers_for_nobody(
    home: Home, history: PeerAuthor
) -> None:
    async def work(visitor: Visitor) -> tuple[Answer, Answer, Answer]:
        return (
            await visitor.get("boards"),
            await visitor.post("pause", {}),
            await visitor.get("boards", Host="boot.example.org"),
        )

    boards, pause, by_name = ask(home, work, kind="bootstrap")
    assert (boards.status, pause.status, by_name.status) == (200, 403, 200)


def test_every_answer_is_what_the_description_says(home: Home, history: PeerAuthor) -> None:
    entries = answer(home, "experiments").json["experiments"]
    described = answer(home, "openapi.json").json
    assert described["openapi"] == "3.1.0"
    fill = {
        "id": entries[0]["id"],
        "task": TASK.hex(),
        "class": HARDWARE_CLASS,
        "number": "1",
        "mark": "0" * 64,
    }
    for path, operations in described["paths"].items():
        if "get" not in operations:
            continue
        filled = path.removeprefix("/api/v1/").format_map(fill)
        needed = {one["name"] for one in operations["get"]["parameters"] if one["required"]}
        if "nonce" in needed:
            filled += f"?nonce={'0' * 32}"
        found = answer(home, filled)
        assert found.status in (200, 404, 409), (path, found.text)
        assert str(found.status) in operations["get"]["responses"]
        shape = operations["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        assert msgspec.json.decode(found.text.encode())
        assert shape["allOf"][1]["required"] == ["v"]


def test_no_secret_of_the_home_is_in_any_answer(home: Home, history: PeerAuthor) -> None:
    with Store.open_read_only(home):
        pass
    (home.root / "secret").write_bytes(bytes(range(100, 132)))

    async def work(visitor: Visitor) -> None:
        tokens = Tokens.current(home.web_tokens)
        secrets = (
            tokens.read,
            tokens.steer,
            home.fleet_key.read_text(),
            bytes(range(100, 132)).hex(),
        )
        described = (await visitor.get("openapi.json")).json
        for path in described["paths"]:
            if "{" in path:
                continue
            text = (await visitor.get(path.removeprefix("/api/v1/"))).text
            for word in secrets:
                assert word not in text

    ask(home, work)
