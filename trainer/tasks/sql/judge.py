"""A shop's database made from a seed, and what a candidate's indexes and queries cost on it.

The candidate is told how large the tables are and answers with text: CREATE INDEX statements, and a
SELECT for each question. It never sees the data, so that no answer can be written into the text.

That SQL runs here, in a process that holds no code of the candidate, no key and nothing worth
reading: an in-memory database of generated rows. It is contained all the same: an authorizer that
knows what is needed and refuses the rest (no other table, no PRAGMA, no ATTACH, no recursion, a
short list of functions), ceilings on lengths, memory and steps, and nothing that writes but CREATE
INDEX. What the questions ask for is worked out from the rows in Python, never by SQL.

The metric is the number of steps of SQLite's virtual machine, of indexes and questions together:
a progress handler that is called for every single one counts them.
"""

import re
import sqlite3
from collections import Counter
from operator import itemgetter

from judging import Wrong, random_of

ASKED = 4  # how often each question is asked, with other parameters each time

MAX_INDEXES = 12
MAX_INDEX_CHARS = 400
MAX_QUERY_CHARS = 3_000
MAX_STEPS = 10_000_000
MAX_MEMORY_BYTES = 256_000_000  # nested WITH can double a query with every line
MAX_VALUE_BYTES = 2_000  # of a text or a row: no string grows by doubling itself

LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: MAX_VALUE_BYTES,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 4 * MAX_QUERY_CHARS,
    sqlite3.SQLITE_LIMIT_COLUMN: 64,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 64,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 16,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 16,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 64,
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 16,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 0,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}

SCHEMA = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, country TEXT, joined INTEGER);
CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT, category TEXT, price INTEGER);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, day INTEGER, status TEXT);
CREATE TABLE items (id INTEGER PRIMARY KEY, order_id INTEGER, product INTEGER,
                    quantity INTEGER, price INTEGER);
CREATE TABLE reviews (id INTEGER PRIMARY KEY, product INTEGER, customer INTEGER,
                      stars INTEGER, day INTEGER);
"""
TABLES = ("customers", "products", "orders", "items", "reviews")

# No clock, no chance, nothing that makes large values, nothing that reads beyond its arguments.
FUNCTIONS = frozenset(
    [
        "abs",
        "avg",
        "coalesce",
        "count",
        "cume_dist",
        "dense_rank",
        "first_value",
        "glob",
        "ifnull",
        "iif",
        "instr",
        "lag",
        "last_value",
        "lead",
        "length",
        "like",
        "lower",
        "ltrim",
        "max",
        "min",
        "nth_value",
        "ntile",
        "nullif",
        "percent_rank",
        "rank",
        "round",
        "row_number",
        "rtrim",
        "sign",
        "substr",
        "substring",
        "sum",
        "total",
        "trim",
        "typeof",
        "upper",
    ]
)

COUNTRIES = ("AT", "BE", "CH", "CZ", "DE", "DK", "ES", "FR", "IT", "NL", "PL", "SE")
CATEGORIES = ("books", "garden", "kitchen", "music", "sports", "toys")
STATUSES = ("paid", "sent", "done", "open", "returned")
STATUS_WEIGHTS = (10, 15, 60, 6, 9)
DAYS = 360
FIRST_NAMES = ("Ada", "Ben", "Cleo", "Dora", "Emil", "Finn", "Greta", "Hugo", "Ines", "Jonas")
LAST_NAMES = ("Berg", "Dahl", "Falk", "Holm", "Lind", "Moser", "Novak", "Rossi", "Weber", "Zeman")
ADJECTIVES = ("blue", "small", "solid", "light", "round", "quiet", "plain", "bright")
NOUNS = ("lamp", "chair", "drum", "spade", "kettle", "puzzle", "atlas", "racket")


# What is made


def instance(seed, split, index):
    """Return a shop's size and the seed of its rows; every other one is larger by half."""
    customers = 150 if index % 2 == 0 else 225
    return {
        "seed": f"{random_of(seed).getrandbits(128):032x}",
        "rows": {
            "customers": customers,
            "products": customers // 2,
            "orders": 4 * customers,
            "items": 10 * customers,
            "reviews": 4 * customers,
        },
    }


def converse(instance):
    """Tell the sizes of the tables and what will be asked. The rows stay here."""
    yield message_of(instance)


def message_of(instance):
    """Return all that a candidate is told of an instance."""
    return {"rows": instance["rows"], "questions": sorted(QUESTIONS), "asked": ASKED}


def rows_of(sizes, chance):
    """Return the rows of each table, as tuples in the order of its columns."""

    def name(firsts, lasts):
        return f"{chance.choice(firsts)} {chance.choice(lasts)}"

    customers = [
        (
            number,
            name(FIRST_NAMES, LAST_NAMES),
            chance.choice(COUNTRIES),
            chance.randrange(DAYS),
        )
        for number in range(1, sizes["customers"] + 1)
    ]
    products = [
        (
            number,
            name(ADJECTIVES, NOUNS),
            chance.choice(CATEGORIES),
            chance.randrange(199, 9_999),
        )
        for number in range(1, sizes["products"] + 1)
    ]
    # A few customers and products are met often, some never.
    buyers = chance.sample(range(1, len(customers) + 1), len(customers) * 9 // 10)
    wanted = chance.sample(range(1, len(products) + 1), len(products) * 3 // 4)
    orders = [
        (
            number,
            buyers[int(len(buyers) * chance.random() ** 1.5)],
            chance.randrange(DAYS),
            chance.choices(STATUSES, STATUS_WEIGHTS)[0],
        )
        for number in range(1, sizes["orders"] + 1)
    ]
    items = [
        (
            number,
            1 + chance.randrange(len(orders)),
            wanted[int(len(wanted) * chance.random() ** 2)],
            chance.randrange(1, 6),
            chance.randrange(199, 9_999),
        )
        for number in range(1, sizes["items"] + 1)
    ]
    reviews = [
        (
            number,
            1 + int(len(products) * chance.random() ** 2),
            1 + chance.randrange(len(customers)),
            chance.randrange(1, 6),
            chance.randrange(DAYS),
        )
        for number in range(1, sizes["reviews"] + 1)
    ]
    return dict(zip(TABLES, (customers, products, orders, items, reviews), strict=True))


def draw_country(chance):
    return {"country": chance.choice(COUNTRIES)}


def draw_category(chance):
    return {"category": chance.choice(CATEGORIES)}


def draw_days(chance):
    since = chance.randrange(DAYS - 30)
    return {"since": since, "until": since + chance.randrange(10, 30)}


def draw_day(chance):
    return {"day": chance.randrange(DAYS // 2, DAYS)}


# What is right


def orders_of_country(data, country, since, until):
    """Orders (id, day) of customers of a country within some days."""
    there = {row[0] for row in data["customers"] if row[2] == country}
    return [
        (number, day)
        for number, customer, day, _ in data["orders"]
        if customer in there and since <= day <= until
    ]


def spent_by_customer(data, country):
    """What each customer of a country has spent: (customer, sum), 0 for none."""
    buyer = {row[0]: row[1] for row in data["orders"]}
    spent = {row[0]: 0 for row in data["customers"] if row[2] == country}
    for _, order, _, quantity, price in data["items"]:
        if buyer[order] in spent:
            spent[buyer[order]] += quantity * price
    return list(spent.items())


def never_sold(data, category):
    """Products (id) of a category that no order holds."""
    sold = {row[2] for row in data["items"]}
    return [
        (number,) for number, _, of, _ in data["products"] if of == category and number not in sold
    ]


def last_orders(data, country):
    """Each customer's last order, of one day the highest id, in a country: (customer, order)."""
    there = {row[0] for row in data["customers"] if row[2] == country}
    last = {}
    for number, customer, day, _ in data["orders"]:
        if customer in there:
            last[customer] = max(last.get(customer, (-1, -1)), (day, number))
    return [(customer, order) for customer, (_, order) in last.items()]


def best_sellers(data, since, until):
    """The ten products sold most within some days: (product, quantity), most first, then by id."""
    at = {row[0] for row in data["orders"] if since <= row[2] <= until}
    sold = Counter()
    for _, order, product, quantity, _ in data["items"]:
        if order in at:
            sold[product] += quantity
    return sorted(sold.items(), key=lambda item: (-item[1], item[0]))[:10]


def open_orders(data, day):
    """Orders (id, day, customer) still open on a day, the oldest first, then by id."""
    rows = [row for row in data["orders"] if row[3] == "open" and row[2] < day]
    return [(row[0], row[2], row[1]) for row in sorted(rows, key=itemgetter(2, 0))]


def running_total(data, since, until):
    """For each day with orders: (day, orders on it, orders since the first), by day."""
    counts = Counter(row[2] for row in data["orders"] if since <= row[2] <= until)
    so_far, rows = 0, []
    for day in sorted(counts):
        so_far += counts[day]
        rows.append((day, counts[day], so_far))
    return rows


def well_reviewed(data, category):
    """Products of a category with three reviews or more, of at least three stars on average:
    (product, reviews, stars in all)."""
    of_category = {row[0] for row in data["products"] if row[2] == category}
    stars = {}
    for _, product, _, count, _ in data["reviews"]:
        if product in of_category:
            stars.setdefault(product, []).append(count)
    return [
        (product, len(counts), sum(counts))
        for product, counts in stars.items()
        if len(counts) >= 3 and sum(counts) >= 3 * len(counts)
    ]


# name: (what is right, a draw of parameters, whether the order of rows counts)
QUESTIONS = {
    "orders_of_country": (
        orders_of_country,
        lambda chance: draw_country(chance) | draw_days(chance),
        False,
    ),
    "spent_by_customer": (spent_by_customer, draw_country, False),
    "never_sold": (never_sold, draw_category, False),
    "last_orders": (last_orders, draw_country, False),
    "best_sellers": (best_sellers, draw_days, True),
    "open_orders": (open_orders, draw_day, True),
    "running_total": (running_total, draw_days, True),
    "well_reviewed": (well_reviewed, draw_category, False),
}


# What was answered


def check(instance, transcript):
    """Make the rows again, run the candidate's SQL on them and count the steps of it."""
    indexes, queries = parts_of(transcript, message_of(instance))
    chance = random_of(bytes.fromhex(instance["seed"]))
    data = rows_of(instance["rows"], chance)
    asked = [(name, draw(chance)) for name, (_, draw, _) in QUESTIONS.items() for _ in range(ASKED)]
    shop = Shop(data)
    try:
        for number, statement in enumerate(indexes, start=1):
            shop.create_index(statement, f"index {number}")
        index_steps = shop.steps
        shop.close_for_writing()
        rows = 0
        for name, parameters in asked:
            right, _, is_ordered = QUESTIONS[name]
            expected = right(data, **parameters)
            found = shop.ask(queries[name], parameters, name, most=len(expected))
            compare(name, expected, found, is_ordered=is_ordered)
            rows += len(expected)
    finally:
        shop.close()
    return {
        "steps": shop.steps / 1000,
        "index_steps": index_steps / 1000,
        "answer_rows": rows / 1000,  # each of them takes a step at least
    }


def parts_of(transcript, message):
    """Return the statements and the queries of the only reply, as text of bounded length."""
    if not isinstance(transcript, list) or len(transcript) != 1:
        raise Wrong("there is one message and one reply to it")
    said, reply = transcript[0]
    if said != message:
        raise Wrong("that is not what was asked")
    if not isinstance(reply, dict) or set(reply) != {"indexes", "queries"}:
        raise Wrong('the reply is {"indexes": [...], "queries": {...}}')
    indexes, queries = reply["indexes"], reply["queries"]
    if not isinstance(indexes, list) or len(indexes) > MAX_INDEXES:
        raise Wrong(f"indexes is a list of at most {MAX_INDEXES} statements")
    if not isinstance(queries, dict) or set(queries) != set(QUESTIONS):
        raise Wrong("queries holds one SELECT for each question and nothing else")
    for statement in indexes:
        refuse_odd_text(statement, MAX_INDEX_CHARS, "an index")
    for name, query in queries.items():
        refuse_odd_text(query, MAX_QUERY_CHARS, name)
    return indexes, queries


def refuse_odd_text(text, most, called):
    """Refuse what is no text, is too long, or cannot be written as UTF-8."""
    if type(text) is not str:
        raise Wrong(f"{called} is no text")
    if len(text) > most:
        raise Wrong(f"{called} has more than {most} characters")
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise Wrong(f"{called} holds a character that SQL cannot have")


def compare(name, expected, found, *, is_ordered):
    """Refuse rows that are not the expected ones: values, their types, and the order if asked."""
    if is_ordered:
        same = typed(expected) == typed(found)
    else:
        same = Counter(typed(expected)) == Counter(typed(found))
    if not same:
        raise Wrong(f"{name} returns other rows than it should")


def typed(rows):
    """Return rows in which 1, 1.0 and '1' differ."""
    return [tuple((type(value).__name__, value) for value in row) for row in rows]


class Shop:
    """The database, and what a candidate's SQL may do to it.

    Whoever closes it for writing first makes all indexes.
    """

    def __init__(self, data):
        self.steps = 0
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._connection.executescript(SCHEMA)
        for table, rows in data.items():
            places = ", ".join("?" * len(rows[0]))
            self._connection.executemany(f"INSERT INTO {table} VALUES ({places})", rows)  # noqa: S608
        # Without statistics the planner goes by the schema alone, for every instance alike.
        self._connection.execute(f"PRAGMA hard_heap_limit = {MAX_MEMORY_BYTES}")
        self._connection.execute("PRAGMA temp_store = MEMORY")
        for limit, value in LIMITS.items():
            self._connection.setlimit(limit, value)

    def close(self):
        self._connection.close()

    def create_index(self, statement, called):
        """Run one CREATE INDEX."""
        if not re.match(r"\s*create\s+(unique\s+)?index\b", statement, re.IGNORECASE):
            raise Wrong(f"{called} is no CREATE INDEX")
        self._run(statement, {}, called, self._may_index, most=0)

    def close_for_writing(self):
        self._connection.execute("PRAGMA query_only = ON")

    def ask(self, query, parameters, called, *, most):
        """Return the rows of a SELECT; more than `most` are too many."""
        if not re.match(r"(\s|--[^\n]*\n)*(select|with)\b", query, re.IGNORECASE):
            raise Wrong(f"{called} is no SELECT")
        return self._run(query, parameters, called, self._may_read, most=most)

    def _run(self, sql, parameters, called, authorizer, *, most):
        self._connection.set_authorizer(authorizer)
        self._connection.set_progress_handler(self._count, 1)
        try:
            cursor = self._connection.execute(sql, parameters)
            rows = cursor.fetchmany(most + 1)
            cursor.close()
        except (sqlite3.Error, sqlite3.Warning, MemoryError, ValueError, OverflowError) as error:
            if self.steps > MAX_STEPS:
                raise Wrong(f"more than {MAX_STEPS:,} steps in all") from error
            raise Wrong(f"{called}: {str(error) or 'out of memory'}"[:200]) from error
        finally:
            self._connection.set_progress_handler(None, 0)
            self._connection.set_authorizer(None)
        if len(rows) > most:
            raise Wrong(f"{called} returns more rows than it should")
        return rows

    def _count(self):
        self.steps += 1
        return self.steps > MAX_STEPS

    @staticmethod
    def _may_read(action, first, second, database, trigger):
        allowed = (
            action == sqlite3.SQLITE_SELECT
            or (action == sqlite3.SQLITE_READ and first in TABLES and database == "main")
            or (action == sqlite3.SQLITE_FUNCTION and str(second).lower() in FUNCTIONS)
        )
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    @staticmethod
    def _may_index(action, first, second, database, trigger):
        # CREATE INDEX writes its own row into the schema and fills itself by REINDEX.
        allowed = (
            (action == sqlite3.SQLITE_CREATE_INDEX and second in TABLES and database == "main")
            or (action == sqlite3.SQLITE_REINDEX and database == "main")
            or (action == sqlite3.SQLITE_READ and first in (*TABLES, "sqlite_master"))
            or (action == sqlite3.SQLITE_INSERT and first == "sqlite_master")
            or (action == sqlite3.SQLITE_FUNCTION and str(second).lower() in FUNCTIONS)
        )
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY
