"""The model costs of a day: exact, shared, and complete after a kill."""

import logging
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agent.completion import ChatMessage, CompletionFault, CompletionRequest
from agent.worker.prices import Price, Usage
from node.home.config import Config
from node.home.home import Home
from node.proposing.budget import (
    MESSAGE_TOKENS,
    QUESTION_TOKENS,
    ModelCostBudget,
    Reservation,
    limits_of,
    most_of,
    open_cost_database,
    spent_today,
    temporary_cost_database,
    usd_left_today,
)
from node.store.database import Database
from node.store.model_calls import ModelCostLimits, ModelCostTotals
from node.store.store import Store

DAY_MS = 24 * 3600 * 1000
NOON_MS = 1_800_000_000_000 - 1_800_000_000_000 % DAY_MS + DAY_MS // 2
PRICE = Price(usd_nano_in=3, usd_nano_out=10)
QUESTION = CompletionRequest(
    messages=(
        ChatMessage(role="system", content="écoute"),
        ChatMessage(role="user", content="?"),
    ),
    max_tokens=100,
    timeout_s=1.0,
)
MOST = Usage(
    tokens_in=len("écoute".encode()) + 1 + 2 * MESSAGE_TOKENS + QUESTION_TOKENS, tokens_out=100
)
MOST_USD_NANO = MOST.tokens_in * 3 + MOST.tokens_out * 10
MOST_TOKENS = MOST.tokens_in + MOST.tokens_out


class Clock:
    """A time of day that a test sets."""

    def __init__(self) -> None:
        self.now_ms = NOON_MS

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def cost_database(home: Home) -> Iterator[Database]:
    with open_cost_database(home) as database:
        yield database


@pytest.fixture
def clock() -> Clock:
    return Clock()


def budget_of(
    cost_database: Database, clock: Clock, limits: ModelCostLimits | None = None
) -> ModelCostBudget:
    return ModelCostBudget(
        cost_database,
        limits=limits or ModelCostLimits(),
        model="small",
        price=PRICE,
        clock_ms=clock,
    )


def reserved(budget: ModelCostBudget) -> Reservation:
    reservation = budget.reserve(QUESTION)
    assert isinstance(reservation, Reservation)
    return reservation


def rows(home: Home) -> list[tuple[str, str, int, int, int]]:
    with closing(sqlite3.connect(home.store)) as database:
        return database.execute(
            "SELECT day, state, tokens_in, tokens_out, usd_nano FROM model_call ORDER BY id"
        ).fetchall()


def test_the_most_of_a_question_is_its_bytes_its_template_and_its_answer() -> None:
    assert most_of(QUESTION) == MOST


def test_what_is_reserved_counts_and_what_is_settled_takes_its_place(
    home: Home, cost_database: Database, clock: Clock
) -> None:
    budget = budget_of(cost_database, clock)
    reservation = reserved(budget)
    assert budget.spent() == ModelCostTotals(calls=1, tokens=MOST_TOKENS, usd_nano=MOST_USD_NANO)
    charge = budget.settle(reservation, Usage(tokens_in=11, tokens_out=7))
    assert (charge.tokens_in, charge.tokens_out, charge.usd_nano) == (11, 7, 103)
    assert budget.spent() == ModelCostTotals(calls=1, tokens=18, usd_nano=103)
    assert rows(home) == [("2027-01-15", "settled", 11, 7, 103)]


def test_without_a_word_on_the_cost_all_of_it_counts(
    home: Home, cost_database: Database, clock: Clock
) -> None:
    budget = budget_of(cost_database, clock)
    assert budget.settle(reserved(budget), None).usd_nano == MOST_USD_NANO
    assert budget.spent() == ModelCostTotals(calls=1, tokens=MOST_TOKENS, usd_nano=MOST_USD_NANO)
    assert [row[1] for row in rows(home)] == ["unknown"]


@pytest.mark.parametrize("first", [None, Usage(tokens_in=11, tokens_out=7)])
@pytest.mark.parametrize("second", [None, Usage(tokens_in=0, tokens_out=0)])
def test_a_question_is_settled_once(
    cost_database: Database,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    first: Usage | None,
    second: Usage | None,
) -> None:
    budget = budget_of(cost_database, clock)
    reservation = reserved(budget)
    budget.settle(reservation, first)
    before = budget.spent()
    assert budget.settle(reservation, second).usd_nano == 0
    assert budget.spent() == before
    assert "settled already" in caplog.text


def test_a_claim_above_what_is_possible_counts_as_what_is_and_is_said_aloud(
    cost_database: Database, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    budget = budget_of(cost_database, clock)
    claim = Usage(tokens_in=900_000_000, tokens_out=900_000_000)
    assert budget.settle(reserved(budget), claim).usd_nano == MOST_USD_NANO
    assert budget.spent().tokens == MOST_TOKENS
    assert "which is impossible" in caplog.text


def test_an_answer_longer_than_it_may_be_counts_by_its_bytes_at_most(
    cost_database: Database, clock: Clock
) -> None:
    budget = budget_of(cost_database, clock)
    claim = Usage(tokens_in=11, tokens_out=5_000)
    assert budget.settle(reserved(budget), claim, answer_bytes=300).tokens_out == 300
    claim = Usage(tokens_in=11, tokens_out=250)
    assert budget.settle(reserved(budget), claim, answer_bytes=300).tokens_out == 250


@pytest.mark.parametrize(
    ("limits", "name", "words"),
    [
        (ModelCostLimits(usd_nano=2 * MOST_USD_NANO), "usd_per_day", "USD"),
        (ModelCostLimits(tokens=2 * MOST_TOKENS), "tokens_per_day", "tokens"),
        (ModelCostLimits(calls=2), "calls_per_day", "2 questions"),
    ],
)
def test_a_limit_is_reached_and_never_passed(
    cost_database: Database, clock: Clock, limits: ModelCostLimits, name: str, words: str
) -> None:
    budget = budget_of(cost_database, clock, limits)
    reserved(budget)
    first = reserved(budget)
    refusal = budget.reserve(QUESTION)
    assert isinstance(refusal, CompletionFault)
    assert refusal.kind == "over_budget"
    assert f"`{name}`" in refusal.detail
    assert words in refusal.detail
    assert "ends at 2027-01-16 00:00 UTC" in refusal.detail
    assert refusal.retry_s == 12 * 3600
    assert refusal.cost.usd_nano == 0
    budget.settle(first, Usage(tokens_in=0, tokens_out=0))
    again = budget.reserve(QUESTION)
    assert isinstance(again, CompletionFault) == (name == "calls_per_day")


@pytest.mark.parametrize(
    "limits",
    [
        ModelCostLimits(usd_nano=MOST_USD_NANO - 1),
        ModelCostLimits(tokens=MOST_TOKENS - 1),
        ModelCostLimits(usd_nano=0),
    ],
)
def test_one_unit_too_much_is_too_much(
    cost_database: Database, clock: Clock, limits: ModelCostLimits
) -> None:
    budget = budget_of(cost_database, clock, limits)
    assert isinstance(budget.reserve(QUESTION), CompletionFault)
    assert budget.spent() == ModelCostTotals()


def test_with_no_usd_at_all_what_is_free_may_be_asked(
    cost_database: Database, clock: Clock
) -> None:
    free = ModelCostBudget(
        cost_database,
        limits=limits_of(Config(usd_per_day=0.0)),
        model="small",
        price=Price(usd_nano_in=0, usd_nano_out=0),
        clock_ms=clock,
    )
    assert isinstance(free.reserve(QUESTION), Reservation)


def test_the_settings_are_the_limits() -> None:
    config = Config(usd_per_day=0.1, tokens_per_day=5, calls_per_day=3)
    assert limits_of(config) == ModelCostLimits(usd_nano=10**8, tokens=5, calls=3, visits=50)
    assert limits_of(Config()) == ModelCostLimits(usd_nano=5 * 10**9, visits=50)


def test_each_day_starts_again_and_keeps_what_was_reserved_in_it(
    home: Home, cost_database: Database, clock: Clock
) -> None:
    budget = budget_of(cost_database, clock, ModelCostLimits(calls=1))
    clock.now_ms = NOON_MS + DAY_MS // 2 - 1
    late = reserved(budget)
    assert isinstance(budget.reserve(QUESTION), CompletionFault)
    clock.now_ms += 1
    assert budget.spent() == ModelCostTotals()
    budget.settle(late, Usage(tokens_in=11, tokens_out=7))
    assert budget.spent() == ModelCostTotals()
    reserved(budget)
    assert [(day, state) for day, state, *_ in rows(home)] == [
        ("2027-01-15", "settled"),
        ("2027-01-16", "reserved"),
    ]


def test_a_store_reports_what_today_took(home: Home, cost_database: Database, clock: Clock) -> None:
    budget = budget_of(cost_database, clock)
    budget.settle(reserved(budget), Usage(tokens_in=11, tokens_out=7))
    with Store.open_read_only(home) as store:
        assert spent_today(store, clock()) == ModelCostTotals(calls=1, tokens=18, usd_nano=103)
        assert spent_today(store, clock() + DAY_MS) == ModelCostTotals()
        dollar = Config(usd_per_day=1.0)
        assert usd_left_today(store, dollar, clock()) == pytest.approx(1 - 103e-9, abs=1e-12)
        assert usd_left_today(store, dollar, clock() + DAY_MS) is None
        assert usd_left_today(store, Config(usd_per_day=0.0), clock()) == 0


def test_a_run_log_can_be_read_without_a_home(home: Home, clock: Clock) -> None:
    with temporary_cost_database() as cost_database:
        reserved(budget_of(cost_database, clock))
    assert not home.root.exists()


def test_what_is_reserved_while_the_node_writes_stays_whatever_becomes_of_that(
    home: Home, clock: Clock
) -> None:
    with Store.open(home) as store, open_cost_database(home) as cost_database:
        budget = budget_of(cost_database, clock)
        reserved(budget)
        with pytest.raises(ZeroDivisionError), store.transaction():
            raise ZeroDivisionError
        assert budget.spent().calls == 1
        store.set_meta("other", b"work")
        reserved(budget)
        assert spent_today(store, clock()).calls == 2


def test_threads_that_ask_at_once_pass_no_limit(home: Home, clock: Clock) -> None:
    limit = 40 * MOST_TOKENS + MOST_TOKENS - 1
    accepted: list[int] = []
    begin = threading.Barrier(6)

    def ask() -> None:
        with open_cost_database(home) as cost_database:
            budget = budget_of(cost_database, clock, ModelCostLimits(tokens=limit))
            begin.wait()
            while isinstance(reservation := budget.reserve(QUESTION), Reservation):
                accepted.append(reservation.number)

    with open_cost_database(home):
        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(accepted) == len(set(accepted)) == 40


ASKER = """
import sys
from pathlib import Path
from node.home.home import Home
from node.proposing.budget import Reservation, open_cost_database
from node.store.model_calls import ModelCostLimits
from tests.node.test_budget import QUESTION, Clock, budget_of

home, calls = Home(Path(sys.argv[1])), int(sys.argv[2])
with open_cost_database(home) as cost_database:
    budget = budget_of(cost_database, Clock(), ModelCostLimits(calls=calls))
    print("ready", flush=True)
    sys.stdin.readline()
    while isinstance(found := budget.reserve(QUESTION), Reservation):
        print(found.number, flush=True)
    print("full", flush=True)
    sys.stdin.read()
"""


def asker(home: Home, calls: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", ASKER, str(home.root), str(calls)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_processes_that_ask_at_once_and_are_killed_pass_no_limit(home: Home) -> None:
    calls = 60
    with open_cost_database(home):
        pass
    first, *others = [asker(home, calls) for _ in range(3)]
    promised: list[int] = []
    for process in (first, *others):
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        if process is first:
            assert process.stdout is not None
            promised.append(int(process.stdout.readline()))
    first.send_signal(signal.SIGKILL)
    for process in (first, *others):
        assert process.stdout is not None
        for line in process.stdout:
            if line == "full\n":
                break
            promised.append(int(line))
        process.kill()
        process.communicate()
    kept = rows(home)
    # A kill may come between the commit and the word on it.
    assert len(kept) == calls
    assert calls - 1 <= len(set(promised)) == len(promised) <= calls
    assert {state for _, state, *_ in kept} == {"reserved"}
