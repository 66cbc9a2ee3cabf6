"""Error responses: problem details for HTTP (RFC 9457), with an additional hint."""

from typing import Final, TypedDict

import msgspec
from aiohttp import web

from protocol.errors import (
    ArnodeError,
    ConfigurationError,
    NotRunningError,
    SafetyError,
    UsageError,
)

CONTENT_TYPE: Final = "application/problem+json"
_STATUS: Final[tuple[tuple[type[ArnodeError], int], ...]] = (
    (UsageError, 400),
    (SafetyError, 403),
    (NotRunningError, 409),
    (ConfigurationError, 409),
)
_TITLES: Final = {
    400: "that makes no sense here",
    401: "no token, or one that is none",
    403: "not allowed",
    404: "nothing of that name",
    405: "not what can be done with it",
    408: "too slow",
    409: "not as things are",
    413: "too much at once",
    415: "not JSON",
    417: "nothing else can be expected",
    421: "another host is meant",
    429: "too many at once",
    500: "this failed here",
    503: "too many at once",
}


class Problem(TypedDict):
    """An error and how to fix it."""

    type: str
    title: str
    status: int
    detail: str
    hint: str


class HttpFault(Exception):  # noqa: N818 -- it is an answer
    """An exception that ends a request with a problem of this HTTP status."""

    def __init__(self, status: int, detail: str, hint: str = "") -> None:
        super().__init__(detail)
        self.status, self.detail, self.hint = status, detail, hint


def problem(status: int, detail: str, hint: str = "") -> web.Response:
    """Return an error response."""
    document: Problem = {
        "type": "about:blank",
        "title": _TITLES.get(status, "it was refused"),
        "status": status,
        "detail": detail,
        "hint": hint,
    }
    return web.Response(
        status=status, body=msgspec.json.encode(document), content_type=CONTENT_TYPE
    )


def problem_of(fault: ArnodeError) -> web.Response:
    """Return the error response for an arnode error."""
    status = next((status for kind, status in _STATUS if isinstance(fault, kind)), 409)
    return problem(status, fault.message, fault.hint)
