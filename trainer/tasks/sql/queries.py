"""Indexes, and a query for each question. What the questions mean is in program.md."""

INDEXES = [
    # CREATE INDEX statements
]

QUERIES = {
    "orders_of_country": """
        SELECT o.id, o.day
        FROM orders AS o
        WHERE o.customer IN (
            SELECT c.id FROM customers AS c WHERE c.country = :country
        )
        AND o.day BETWEEN :since AND :until
    """,
    "spent_by_customer": """
        SELECT c.id, (
            SELECT coalesce(sum(i.quantity * i.price), 0)
            FROM items AS i
            JOIN orders AS o ON o.id = i.order_id
            WHERE o.customer = c.id
        )
        FROM customers AS c
        WHERE c.country = :country
    """,
    "never_sold": """
        SELECT p.id
        FROM products AS p
        WHERE p.category = :category
        AND (SELECT count(*) FROM items AS i WHERE i.product = p.id) = 0
    """,
    "last_orders": """
        SELECT c.id, (
            SELECT o.id
            FROM orders AS o
            WHERE o.customer = c.id
            ORDER BY o.day DESC, o.id DESC
            LIMIT 1
        )
        FROM customers AS c
        WHERE c.country = :country
        AND (SELECT count(*) FROM orders AS o WHERE o.customer = c.id) > 0
    """,
    "best_sellers": """
        SELECT i.product, sum(i.quantity)
        FROM items AS i
        WHERE (SELECT o.day FROM orders AS o WHERE o.id = i.order_id) BETWEEN :since AND :until
        GROUP BY i.product
        ORDER BY sum(i.quantity) DESC, i.product
        LIMIT 10
    """,
    "open_orders": """
        SELECT o.id, o.day, o.customer
        FROM orders AS o
        WHERE o.status = 'open' AND o.day < :day
        ORDER BY o.day, o.id
    """,
    "running_total": """
        SELECT o.day, count(*), (
            SELECT count(*)
            FROM orders AS earlier
            WHERE earlier.day BETWEEN :since AND o.day
        )
        FROM orders AS o
        WHERE o.day BETWEEN :since AND :until
        GROUP BY o.day
        ORDER BY o.day
    """,
    "well_reviewed": """
        SELECT p.id,
            (SELECT count(*) FROM reviews AS r WHERE r.product = p.id),
            (SELECT sum(r.stars) FROM reviews AS r WHERE r.product = p.id)
        FROM products AS p
        WHERE p.category = :category
        AND (SELECT count(*) FROM reviews AS r WHERE r.product = p.id) >= 3
        AND (SELECT sum(r.stars) FROM reviews AS r WHERE r.product = p.id)
            >= 3 * (SELECT count(*) FROM reviews AS r WHERE r.product = p.id)
    """,
}


def answer(shop):
    """Return the indexes and the queries for a shop whose tables have `shop["rows"]` rows."""
    return {"indexes": INDEXES, "queries": QUERIES}
