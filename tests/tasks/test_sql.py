"""The task `sql`: steps are counted exactly, and a candidate's SQL can do nothing but read."""

import re
import sqlite3
from types import ModuleType
from typing import Any

import pytest

from tests.tasks.baselines import OTHER_SEED, SEED, candidate, moves_of, transcript_of
from tests.tasks.judges import load_judge

NAME = "sql"
SMALL = {"customers": 40, "products": 20, "orders": 160, "items": 400, "reviews": 160}


@pytest.fixture
def judge() -> ModuleType:
    return load_judge(NAME)


def small_shop(judge: ModuleType) -> Any:
    return judge.instance(SEED, "public", 0) | {"rows": SMALL}


def figures(judge: ModuleType, shop: Any, answer: Any) -> dict[str, float]:
    transcript = transcript_of(judge.converse(shop), lambda message: answer)
    return dict(judge.check(shop, transcript))


def steps(judge: ModuleType, shop: Any, *moves: Any) -> float:
    return figures(judge, shop, candidate(NAME, *moves).answer(shop))["steps"]


def with_query(name: str, query: object) -> dict[str, Any]:
    answer = candidate(NAME).answer({})
    return answer | {"queries": answer["queries"] | {name: query}}


def with_indexes(*statements: object) -> dict[str, Any]:
    return candidate(NAME).answer({}) | {"indexes": list(statements)}


def test_the_baseline_is_right_and_takes_the_same_steps_twice(judge: ModuleType) -> None:
    for index in range(2):
        shop = judge.instance(SEED, "public", index)
        first, again = (figures(judge, shop, candidate(NAME).answer(shop)) for _ in range(2))
        assert first == again
        assert 1_000 < first["steps"] < 4_000


def test_the_same_seed_makes_the_same_shop(judge: ModuleType) -> None:
    shop = judge.instance(SEED, "public", 1)
    assert shop == judge.instance(SEED, "secret", 1)
    assert shop != judge.instance(OTHER_SEED, "public", 1)


def test_a_candidate_is_shown_nothing_that_rows_follow_from(judge: ModuleType) -> None:
    shop = judge.instance(SEED, "public", 0)
    message = next(judge.converse(shop))
    assert shop["seed"] not in str(message)
    assert message == next(judge.converse(judge.instance(OTHER_SEED, "public", 0)))


def test_steps_are_those_that_sqlite_itself_counts(judge: ModuleType) -> None:
    """SQLite's own counter is a virtual table that not every build has."""
    shop = judge.Shop(judge.rows_of(SMALL, judge.random_of(SEED)))
    query = candidate(NAME).answer({})["queries"]["well_reviewed"]
    shop.ask(query, {"category": "toys"}, "well_reviewed", most=20)
    own = sqlite3.Connection.execute
    try:
        counted = own(shop._connection, "SELECT nstep FROM sqlite_stmt WHERE sql = ?", (query,))
    except sqlite3.OperationalError:
        pytest.skip("this SQLite has no sqlite_stmt")
    assert counted.fetchone() == (shop.steps,)


@pytest.mark.parametrize("move", moves_of(NAME), ids=lambda move: move.name)
def test_every_move_is_right(judge: ModuleType, move: Any) -> None:
    assert steps(judge, small_shop(judge), move) > 0


@pytest.mark.parametrize("order", [1, -1])
def test_all_moves_follow_one_another_and_save_most_steps(judge: ModuleType, order: int) -> None:
    shop = judge.instance(SEED, "public", 0)
    moves = moves_of(NAME)[::order]
    changed, before = candidate(NAME, *moves), candidate(NAME)
    assert len(changed.INDEXES) == sum(move.name.startswith("index-") for move in moves)
    kept = [name for name, query in changed.QUERIES.items() if query == before.QUERIES[name]]
    assert kept == ["open_orders"]
    assert steps(judge, shop, *moves) < steps(judge, shop) / 5


DOUBLED = [f"a{n}(x) AS (SELECT 1 FROM a{n - 1}, a{n - 1})" for n in range(1, 60)]  # noqa: S608


@pytest.mark.parametrize(
    "query",
    [
        "ATTACH DATABASE ':memory:' AS other",
        "ATTACH DATABASE '/tmp/x.db' AS other",
        "DETACH DATABASE main",
        "PRAGMA query_only = OFF",
        "PRAGMA table_info(items)",
        "VACUUM",
        "VACUUM INTO '/tmp/x.db'",
        "BEGIN",
        "ANALYZE",
        "EXPLAIN SELECT 1",
        "EXPLAIN QUERY PLAN SELECT 1",
        "DELETE FROM items",
        "UPDATE items SET quantity = 0",
        "INSERT INTO items SELECT * FROM items",
        "WITH n AS (SELECT 1) DELETE FROM items",
        "WITH n AS (SELECT 1) INSERT INTO items SELECT 1, 1, 1, 1, 1",
        "CREATE TABLE t (x)",
        "CREATE TEMP TABLE t AS SELECT * FROM items",
        "CREATE VIEW v AS SELECT * FROM items",
        "CREATE TRIGGER t AFTER INSERT ON items BEGIN SELECT 1; END",
        "CREATE INDEX late ON items (product)",
        "DROP TABLE items",
        "ALTER TABLE items ADD COLUMN x",
        "SELECT 1; DELETE FROM items",
        "SELECT id FROM products; SELECT id FROM products",
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n",
        "WITH n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n",
        "SELECT count(*) FROM items AS a, items AS b, items AS c, items AS d",
        "SELECT a.id FROM items AS a, items AS b",
        f"WITH a0(x) AS (SELECT 1), {', '.join(DOUBLED)} SELECT count(*) FROM a59",  # noqa: S608
        "SELECT load_extension('x')",
        "SELECT random()",
        "SELECT randomblob(10)",
        "SELECT zeroblob(1000000000)",
        "SELECT hex(name) FROM products",
        "SELECT replace(name, 'a', name || name) FROM products",
        "SELECT printf('%1000000000d', 1)",
        "SELECT group_concat(name) FROM products, items",
        "SELECT date('now')",
        "SELECT datetime()",
        "SELECT strftime('%s', 'now')",
        "SELECT julianday('now')",
        "SELECT CURRENT_TIMESTAMP",
        "SELECT CURRENT_DATE",
        "SELECT sqlite_version()",
        "SELECT sqlite_compileoption_get(1)",
        "SELECT changes(), total_changes(), last_insert_rowid()",
        "SELECT sql FROM sqlite_master",
        "SELECT name FROM sqlite_schema",
        "SELECT name FROM sqlite_temp_master",
        "SELECT count(*) FROM sqlite_master",
        "SELECT * FROM pragma_table_info('items')",
        "SELECT * FROM pragma_database_list",
        "SELECT * FROM dbstat",
        "SELECT * FROM sqlite_stmt",
        "SELECT * FROM json_each('[1]')",
        "SELECT readfile('/etc/passwd')",
        "SELECT fts3_tokenizer('simple')",
        "SELECT :nobody",
        "SELECT ?",
        "SELECT 1, 2, 3 FROM nothing",
        "SELECT" + " 1 +" * 1_000 + " 1",
        "SELECT ((" * 1_000,
        "SELECT id FROM products",
        "SELECT '1'",
        "",
        "SELECT '\ud800'",
        "SELECT 1\0",
        "SELECT 1" + " " * 10_000,
        None,
        True,
        7,
        ["SELECT 1"],
        {"sql": "SELECT 1"},
    ],
)
def test_a_hostile_query_is_wrong(judge: ModuleType, query: object) -> None:
    with pytest.raises(judge.Wrong, match=re.compile("[a-z]")):
        figures(judge, small_shop(judge), with_query("spent_by_customer", query))


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1",
        "CREATE TABLE t (x)",
        "CREATE TRIGGER t AFTER INSERT ON items BEGIN SELECT 1; END",
        "CREATE VIEW v AS SELECT 1",
        "CREATE VIRTUAL TABLE t USING fts5(x)",
        "CREATE INDEX i ON sqlite_master (name)",
        "CREATE INDEX temp.i ON items (product)",
        "CREATE INDEX i ON items (product); DROP TABLE items",
        "CREATE INDEX i ON items (random())",
        "CREATE INDEX i ON items (hex(price))",
        "CREATE INDEX i ON items (product) WHERE (SELECT 1)",
        "CREATE INDEX i ON items (nothing)",
        "CREATE UNIQUE INDEX i ON items (product)",
        "CREATE INDEX",
        "DROP TABLE items",
        "INSERT INTO sqlite_master VALUES ('index', 'i', 'items', 0, '')",
        "REINDEX",
        "PRAGMA writable_schema = ON",
        "CREATE INDEX i ON items (product) -- \ud800",
        "CREATE INDEX i ON items (product)" + " " * 1_000,
        "",
        None,
        1,
        ["CREATE INDEX i ON items (product)"],
    ],
)
def test_a_hostile_index_is_wrong(judge: ModuleType, statement: object) -> None:
    with pytest.raises(judge.Wrong, match=re.compile("[a-z]")):
        figures(judge, small_shop(judge), with_indexes(statement))


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "SELECT 1",
        {},
        {"indexes": [], "queries": {}},
        {"indexes": [], "queries": []},
        {"indexes": {}, "queries": candidate(NAME).QUERIES},
        {"indexes": "CREATE INDEX i ON items (product)", "queries": candidate(NAME).QUERIES},
        candidate(NAME).answer({}) | {"steps": 0},
        with_query("another", "SELECT 1"),
        with_indexes(*(f"CREATE INDEX i{n} ON items (product)" for n in range(13))),
    ],
)
def test_an_answer_of_another_shape_is_wrong(judge: ModuleType, answer: object) -> None:
    with pytest.raises(judge.Wrong, match=re.compile("[a-z]")):
        figures(judge, small_shop(judge), answer)


def test_another_conversation_is_wrong(judge: ModuleType) -> None:
    shop = small_shop(judge)
    said = transcript_of(judge.converse(shop), candidate(NAME).answer)
    for transcript in (None, [], said * 2, [["", said[0][1]]]):
        with pytest.raises(judge.Wrong):
            judge.check(shop, transcript)


@pytest.mark.parametrize(
    ("name", "search", "replace"),
    [
        ("best_sellers", "DESC, i.product", "DESC, i.product DESC"),
        ("open_orders", "o.day, o.id\n", "o.day DESC, o.id\n"),
        ("running_total", "ORDER BY o.day\n", "ORDER BY o.day DESC\n"),
        ("well_reviewed", "(SELECT sum(r.stars)", "1.0 * (SELECT sum(r.stars)"),
        ("never_sold", "SELECT p.id", "SELECT p.id || ''"),
        ("last_orders", "o.day DESC, o.id DESC", "o.day, o.id"),
        ("orders_of_country", "FROM orders AS o", "FROM orders AS o JOIN products"),
    ],
)
def test_other_rows_types_and_orders_are_wrong(
    judge: ModuleType, name: str, search: str, replace: str
) -> None:
    query = candidate(NAME).QUERIES[name]
    assert search in query
    shop = judge.instance(SEED, "public", 0)
    with pytest.raises(judge.Wrong, match=name):
        figures(judge, shop, with_query(name, query.replace(search, replace, 1)))


def test_rows_without_an_order_may_come_in_any(judge: ModuleType) -> None:
    query = candidate(NAME).QUERIES["spent_by_customer"] + " ORDER BY c.name, c.id DESC"
    assert figures(judge, small_shop(judge), with_query("spent_by_customer", query))


def test_making_an_index_costs_steps(judge: ModuleType) -> None:
    shop = small_shop(judge)
    found = figures(judge, shop, with_indexes("CREATE INDEX i ON customers (name)"))
    assert found["index_steps"] > SMALL["customers"] / 1000
    assert found["steps"] > steps(judge, shop)


def test_every_question_has_rows_somewhere(judge: ModuleType) -> None:
    found = dict.fromkeys(judge.QUESTIONS, 0)
    for index in range(4):
        shop = judge.instance(bytes([index]) * 32, "public", index)
        chance = judge.random_of(bytes.fromhex(shop["seed"]))
        data = judge.rows_of(shop["rows"], chance)
        for name, (right, draw, _) in judge.QUESTIONS.items():
            found[name] += sum(len(right(data, **draw(chance))) for _ in range(judge.ASKED))
    assert min(found.values()) > 20, found
