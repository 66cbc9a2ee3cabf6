"""The sha256 of files before they are downloaded, as a folder or a server announces it.

Hubs that store large files by hash send the hash in `X-Linked-ETag`, with the redirect to the
content (huggingface_hub reads the same header). Other servers announce nothing.
"""

import asyncio
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from urllib.parse import urljoin, urlsplit

import aiohttp

from protocol.errors import ArnodeError
from trainer.language_model.text.download import ATTEMPTS, MIRROR_HINT, PAUSE_S, unreadable
from trainer.language_model.text.token_cache import file_digest

_HEADER: Final = "X-Linked-ETag"
_REDIRECTS = 5
_LATER = (408, 429, 500)  # retry these and all above 501; 501 means that HEAD is unsupported
_TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=30)


class _Busy(Exception):  # noqa: N818 -- an event: another attempt may get an answer
    """The server cannot answer at present, but may do so later."""


async def announced(
    source: str, names: Iterable[str], *, pause_s: float = PAUSE_S
) -> dict[str, bytes]:
    """Return the announced sha256 by file name; files without one are left out.

    `source` is a URL or a folder, whose files are hashed here. Raises ArnodeError if the server
    does not answer, or a file does not exist.
    """
    if "://" not in source:
        return {name: await asyncio.to_thread(_shown, Path(source) / name) for name in names}
    found: dict[str, bytes] = {}
    async with aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=True) as session:
        for name in names:
            digest = await _asked(session, f"{source.rstrip('/')}/{name}", pause_s)
            if digest is not None:
                found[name] = digest
    return found


def _shown(path: Path) -> bytes:
    try:
        return file_digest(path)
    except OSError as error:
        raise unreadable(path, error) from error


async def _asked(session: aiohttp.ClientSession, url: str, pause_s: float) -> bytes | None:
    why = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            await asyncio.sleep(pause_s * 2 ** (attempt - 1))
        try:
            return await _asked_once(session, url)
        except (_Busy, aiohttp.ClientError, TimeoutError) as fault:
            why = str(fault) or type(fault).__name__
    raise ArnodeError(f"cannot fetch {url}: {why}", MIRROR_HINT)


async def _asked_once(session: aiohttp.ClientSession, url: str) -> bytes | None:
    at = url
    for _ in range(_REDIRECTS):
        async with session.head(at, allow_redirects=False) as response:
            digest = _digest_in(response.headers.get(_HEADER, ""))
            if digest is not None:
                return digest
            if response.status == 404:
                raise ArnodeError(f"{url}: the server answers 404", MIRROR_HINT)
            if response.status in _LATER or response.status > 501:
                raise _Busy(f"the server answers {response.status}")
            target = urljoin(at, response.headers.get("Location", at))
        # Another host holds only the content, and its link may be valid only for a download.
        if target == at or urlsplit(target).netloc != urlsplit(at).netloc:
            return None
        at = target
    return None


def _digest_in(value: str) -> bytes | None:
    match = re.fullmatch(r'"?([0-9a-f]{64})"?', value.strip())
    return bytes.fromhex(match[1]) if match else None
