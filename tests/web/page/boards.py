"""A board with more rows than a test can have signed."""

from typing import Any

from tests.web.page.full_store import HOSTILE

ROWS = 100_000


def pretend_board(page: Any) -> None:
    """Answer for a board with more rows than a test can have signed."""

    def answer(route: Any) -> None:
        query = dict(pair.split("=") for pair in route.request.url.split("?")[1].split("&"))
        offset, limit = int(query["offset"]), int(query["limit"])
        rows = [board_row(number) for number in range(offset, min(ROWS, offset + limit))]
        reported = {"v": 1, "network": "main", "task": {"id": "0" * 64, "name": "tiny"}}
        reported |= {"class": "cpu-x86_64", "network_version": 2}
        reported |= {"set_digest": "0" * 64, "board_digest": "0" * 64}
        reported |= {"noise": 0.01, "scale": [0.0, 1.0], "open_reruns": {}}
        cost = {"pairs": 7.5, "most_pairs": 20, "time": None}
        reported |= {"why_unranked": None, "verify": cost, "verify_quick": cost}
        route.fulfill(
            json={**reported, "rows": rows, "imported": [], "total": ROWS, "offset": offset}
        )

    page.route("**/api/v1/boards/**", answer)


def board_row(number: int) -> dict[str, Any]:
    """Return a row as the API has it."""
    gain = (ROWS - number) / ROWS
    others = dict.fromkeys(("confirmed", "smaller", "refuted", "unsupported", "adopted"), 0)
    digits = f"{number:064x}"
    return {
        "rank": number + 1,
        "rank_last": number + 1,
        "tie": False,
        "tree": digits,
        "author": digits,
        "result": digits,
        "title": HOSTILE[0][:100],
        "metric": 1.5 - gain,
        "gain_anchor": gain,
        "gain_anchor_lower": gain / 2,
        "anchor_pairs": 4,
        "gain": gain,
        "gain_lower": gain / 2,
        "pairs": 4,
        "tries": 1,
        "others": {**others, "gain_anchor": None, "gain_anchor_lower": None, "anchor_pairs": 0},
        "here": None,
        "env": {},
        "flags": [HOSTILE[1][:24]],
        "unread": [],
    }
