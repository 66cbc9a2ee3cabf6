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
    400: "invalid request",
    401: "no valid token",
    403: "not allowed",
    404: "not found",
    405: "method not allowed",
    408: "the body did not arrive in time",
    409: "not possible in the present state",
    413: "the body is too large",
    415: "not JSON",
    417: "unsupported Expect header",
    421: "wrong host",
    429: "too many requests at once",
    500: "internal error",
    503: "too many requests at once",
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
        "title": _TITLES.get(status, "request refused"),
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
