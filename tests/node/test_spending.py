"""`arnode spending`: the day's questions, and the correction of one, which takes nothing away."""

import json
import sqlite3
from contextlib import closing

import pytest

from node.commands.cli import main
from node.home.clock import clock_ms
from node.home.home import Home
from node.proposing.budget import ledger_of
from node.store import model_calls
from node.store.model_calls import Charge, Spending, SpendingLimits

MOST = Charge(tokens_in=100, tokens_out=50, usd_nano=16_200 * 10**9)
LATE_MS = 3_600_000


@pytest.fixture(autouse=True)
def home_of_command(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARNODE_HOME", str(home.root))


def asked(home: Home, *, ago_ms: int = 0, model: str = "small", is_visit: bool = False) -> int:
    with ledger_of(home) as ledger:
        number = model_calls.reserve(
            ledger,
            limits=SpendingLimits(),
            model=model,
            most=MOST,
            now_ms=clock_ms() - ago_ms,
            is_visit=is_visit,
        )
    assert isinstance(number, int)
    return number


def settled(home: Home) -> int:
    number = asked(home)
    with ledger_of(home) as ledger:
        assert model_calls.settle(ledger, number, MOST)
    return number


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["spending", *words])
    return int(ended.value.code or 0)


def told(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    assert run(*words, "--json") == 0
    document: dict[str, object] = json.loads(capsys.readouterr().out)
    return document


def spent(home: Home) -> Spending:
    with ledger_of(home) as ledger:
        return model_calls.spending_on(ledger, model_calls.day_of(clock_ms()))


def test_a_day_is_listed_with_its_sums_and_limits(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    settled(home)
    asked(home, model="claude\x1b[31m", is_visit=True)
    document = told(capsys)
    assert document["spent"] == {"usd": 32_400.0, "calls": 2, "visits": 1, "tokens": 300}
    assert document["limits"] == {"usd": 5.0, "calls": None, "visits": 50, "tokens": None}
    calls = document["calls"]
    assert isinstance(calls, list)
    assert [(one["id"], one["visit"], one["state"]) for one in calls] == [
        (1, False, "settled"),
        (2, True, "reserved"),
    ]
    assert run() == 0
    shown = capsys.readouterr().out
    assert "32400.0000 of 5.0000 USD; 2 of any number of questions; 1 of 50 visits" in shown
    assert "\x1b" not in shown


def test_an_empty_day_and_a_home_that_is_not_there_are_empty(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(capsys, "2026-01-31")["calls"] == []
    assert not home.store.exists()


def test_a_correction_counts_and_what_was_booked_stays(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    number = settled(home)
    document = told(capsys, "--correct", str(number), "--usd", "0.25", "--why", "a liar")
    assert (document["usd"], document["tokens_in"], document["why"]) == (0.25, 100, "a liar")
    assert document["booked"] == {"tokens_in": 100, "tokens_out": 50, "usd": 16_200.0}
    assert spent(home) == Spending(calls=1, tokens=150, usd_nano=250_000_000)
    told(capsys, "--correct", str(number), "--tokens-in", "7", "--tokens-out", "0")
    assert spent(home) == Spending(calls=1, tokens=7, usd_nano=250_000_000)
    with closing(sqlite3.connect(home.store)) as database:
        kept = database.execute("SELECT usd_nano FROM model_call").fetchall()
        fixes = database.execute("SELECT usd_nano, tokens_in FROM model_correction").fetchall()
    assert kept == [(MOST.usd_nano,)]
    assert fixes == [(250_000_000, 100), (250_000_000, 7)]
    assert run() == 0
    assert "corrected from 100 + 50 tokens, 16200.000000 USD" in capsys.readouterr().out


def test_what_was_corrected_leaves_room_in_the_day(home: Home) -> None:
    number = settled(home)
    limits = SpendingLimits(usd_nano=MOST.usd_nano)

    def another() -> int | str:
        with ledger_of(home) as ledger:
            return model_calls.reserve(
                ledger, limits=limits, model="small", most=MOST, now_ms=clock_ms()
            )

    assert another() == "usd_per_day"
    assert run("--correct", str(number), "--usd", "0") == 0
    assert another() == number + 1


def test_a_question_that_may_still_be_asked_is_not_corrected(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    open_one = asked(home)
    assert run("--correct", str(open_one), "--usd", "0") == 1
    assert f"question {open_one} may still be asked" in capsys.readouterr().err
    assert spent(home).usd_nano == MOST.usd_nano
    left_by_a_kill = asked(home, ago_ms=LATE_MS)
    assert run("--correct", str(left_by_a_kill), "--usd", "0") == 0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--correct", "9", "--usd", "0"], 1, "there is no question 9"),
        (["--correct", "1"], 2, "a correction names a question"),
        (["--usd", "1"], 2, "a correction names a question"),
        (["--correct", "1", "--usd", "-1"], 2, "-1"),
        (["--correct", "1", "--usd", "nan"], 2, "nan"),
        (["--correct", "0", "--usd", "1"], 2, "0"),
        (["yesterday"], 2, "yesterday"),
    ],
)
def test_what_makes_no_sense_is_refused(
    home: Home,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    message: str,
) -> None:
    settled(home)
    assert run(*words) == code
    assert message in capsys.readouterr().err
    assert spent(home).usd_nano == MOST.usd_nano
