"""The models that a server lists, on this machine or elsewhere: a short, free request.

The request is `GET …/models` of the OpenAI API, or Ollama's `GET /api/tags`; never through a proxy.
"""

import json
import time
import urllib.request
from http.client import HTTPException
from typing import Any, Final
from urllib.parse import urlsplit

from agent.worker.key_watch import KeyWatch

OLLAMA_URL: Final = "http://127.0.0.1:11434/v1"
LOOK_S: Final = 1.5
_MOST_BYTES: Final = 1 << 20
_MOST_MODELS: Final = 100
_MAX_NAME: Final = 120


def models_at(
    url: str,
    *,
    key: str | None = None,
    watch: KeyWatch | None = None,
    timeout_s: float = LOOK_S,
) -> list[str] | None:
    """Return the models that an OpenAI-compatible server lists; None without a valid answer.

    An answer is invalid if its model names reveal an API key. `watch` detects the keys to look for;
    by default that is only `key`, which is sent to the server.
    """
    match _fetched(f"{url.rstrip('/')}/models", key, timeout_s):
        case {"data": list() as listed}:
            names = _names(listed, "id")
            watch = watch or KeyWatch([] if key is None else [key])
            return None if watch.reveals(*names) else names
    return None


def ollama_models(url: str = OLLAMA_URL, *, timeout_s: float = LOOK_S) -> list[str] | None:
    """Return the models of an Ollama server, the latest first; None without a server."""
    parts = urlsplit(url)
    match _fetched(f"{parts.scheme}://{parts.netloc}/api/tags", None, timeout_s):
        case {"models": list() as listed}:
            return _names(listed, "name")
    return None


def _fetched(url: str, key: str | None, timeout_s: float) -> Any:
    headers = {"Accept": "application/json"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    # No redirects, so that the key is sent to no other server.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 (http or https: checked by the settings)
        ends_s = time.monotonic() + timeout_s
        with opener.open(request, timeout=timeout_s) as response:
            body = bytearray()
            while (chunk := response.read1(_MOST_BYTES)) and len(body) <= _MOST_BYTES:
                body += chunk
                if time.monotonic() > ends_s:
                    return None
            return json.loads(body)
    except (OSError, HTTPException, ValueError, RecursionError):
        return None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _names(listed: list[Any], field: str) -> list[str]:
    names = [one.get(field) for one in listed[:_MOST_MODELS] if isinstance(one, dict)]
    return [name for name in names if isinstance(name, str) and 0 < len(name) <= _MAX_NAME]
