"""A download of one file that can be resumed, and keeps the file only if its hash is right.

Until the file is complete and checked, the downloaded part is in another file next to the target.
If the server's ETag changes meanwhile, the download starts again. The source may be a URL or a
folder.
"""

import asyncio
import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

import aiohttp

from protocol.errors import ArnodeError
from trainer.language_model.text.token_cache import file_digest
from trainer.measuring.kind import Progress

ATTEMPTS: Final = 6  # in a row without a new byte
PAUSE_S: Final = 1.0  # after the first failure; doubled after each further one
_CHUNK_BYTES = 1 << 20
_SHOWN_EVERY_S = 2.0
_RATE_OF_S = 10.0  # the period from which the remaining time is estimated
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=60)
MIRROR_HINT: Final = "try again later, or set ARNODE_DATA_URL to a mirror or a folder with the file"


class _Interrupted(Exception):  # noqa: N818 -- an event: another attempt may go on
    """The transfer ended before the file was complete."""


class _Changed(Exception):  # noqa: N818 -- likewise
    """The file on the server has changed since the first part of it was downloaded."""


async def download(
    source: str,
    target: Path,
    *,
    sha256: bytes | None,
    progress: Progress,
    clock: Callable[[], float] = time.monotonic,
    pause_s: float = PAUSE_S,
) -> bytes:
    """Download the file at a URL or path to `target`, and return its sha256.

    With `sha256`, an existing target is checked, and downloaded again if it differs. Without it,
    any complete file is kept. Raises ArnodeError if the file is unavailable, has another hash, or
    the disk is full.
    """
    part, pace = _Part(target), _Pace(target.name, progress, clock)
    try:
        kept = await asyncio.to_thread(part.find_target, sha256)
        if kept is not None:
            return kept
        if sha256 is None and not part.tag:  # a part of another file would not be noticed
            part.discard()
        for _ in range(2):  # a transfer may be damaged once
            if "://" in source:
                await _fetch(source, part, pace, pause_s)
            else:
                await asyncio.to_thread(part.copy, Path(source))
            found = await asyncio.to_thread(file_digest, part.path)
            if sha256 in (None, found):
                part.finish()
                return found
            part.discard()
    except OSError as error:
        raise _disk_fault(error, target) from error
    raise ArnodeError(
        f"{source} is not the file that it should be: its sha256 begins with {found.hex()[:12]},"
        f" not {(sha256 or b'').hex()[:12]}",
        "nothing was kept; the server's file has changed or is damaged",
    )


async def _fetch(url: str, part: "_Part", pace: "_Pace", pause_s: float) -> None:
    """Retry until the file is complete; give up after `ATTEMPTS` failures without progress."""
    failures = 0
    async with aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=True) as session:
        while True:
            before = part.size
            try:
                await _fetch_once(session, url, part, pace)
            except _Changed:
                part.discard()
                why = "the file on the server keeps changing"
            except (_Interrupted, aiohttp.ClientError, TimeoutError) as fault:
                why = str(fault) or type(fault).__name__
            else:
                return
            failures = 0 if part.size > before else failures + 1
            if failures >= ATTEMPTS:
                raise ArnodeError(f"cannot fetch {url}: {why}", MIRROR_HINT)
            await asyncio.sleep(pause_s * 2 ** max(0, failures - 1))


async def _fetch_once(
    session: aiohttp.ClientSession, url: str, part: "_Part", pace: "_Pace"
) -> None:
    have, headers = part.size, {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if part.tag:
            headers["If-Range"] = part.tag
    async with session.get(url, headers=headers) as response:
        if response.status == 416:  # the server has no bytes after those that are here
            if response.headers.get("Content-Range") == f"bytes */{have}":
                return
            raise _Changed
        if 400 <= response.status < 500 and response.status not in (408, 429):
            raise ArnodeError(f"{url}: the server answers {response.status}", MIRROR_HINT)
        if response.status not in (200, 206):
            raise _Interrupted(f"the server answers {response.status}")
        if response.status == 206:
            expected = f"bytes {have}-"
            if not response.headers.get("Content-Range", "").startswith(expected):
                raise _Changed
        else:
            have = 0
        length = response.content_length
        total = None if length is None else have + length
        pace.begin(total)
        with part.open(have, tag=response.headers.get("ETag", "")) as file:
            async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                await asyncio.to_thread(file.write, chunk)
                have += len(chunk)
                pace.at(have)
        if total is not None and have < total:
            raise _Interrupted(f"the transfer ended after {have} of {total} bytes")
        pace.at(have, is_last=True)


class _Part:
    """The beginning of a file that is being downloaded, on disk, and the ETag of the whole file."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self.path = target.with_name(target.name + ".part")
        self._tag_path = target.with_name(target.name + ".etag")

    def find_target(self, sha256: bytes | None) -> bytes | None:
        """Return the target's sha256, None if it is missing; delete it if the sha256 is wrong."""
        self._target.parent.mkdir(parents=True, exist_ok=True)
        if not self._target.exists():
            return None
        found = file_digest(self._target)
        if sha256 in (None, found):
            return found
        self._target.unlink()
        return None

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def tag(self) -> str:
        """The file's ETag; empty if the server sent none, or only a weak one."""
        tag = self._tag_path.read_text() if self._tag_path.exists() else ""
        return "" if tag.startswith("W/") else tag

    def open(self, size: int, *, tag: str) -> BinaryIO:
        """Open the partial file for writing; the next write goes after its first `size` bytes."""
        self._tag_path.write_text(tag)
        file = self.path.open("r+b" if size else "wb")
        file.seek(size)
        return file

    def copy(self, source: Path) -> None:
        try:
            opened = source.open("rb")
        except OSError as error:
            raise unreadable(source, error) from error
        with opened, self.path.open("wb") as file:
            while chunk := opened.read(_CHUNK_BYTES):
                file.write(chunk)

    def finish(self) -> None:
        """Sync the complete file to disk, and rename it to the target."""
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        self.path.replace(self._target)
        self._tag_path.unlink(missing_ok=True)

    def discard(self) -> None:
        for path in (self.path, self._tag_path):
            path.unlink(missing_ok=True)


class _Pace:
    """Reports the progress and the remaining time of a transfer, every few seconds."""

    def __init__(self, name: str, progress: Progress, clock: Callable[[], float]) -> None:
        self._name, self._progress, self._clock = name, progress, clock

    def begin(self, total: int | None) -> None:
        """Begin a transfer; `total` is the file's size in bytes, if known."""
        self._total = total
        self._marks: list[tuple[float, int]] = []

    def at(self, done: int, *, is_last: bool = False) -> None:
        now_s = self._clock()
        if self._marks and now_s < self._marks[-1][0] + _SHOWN_EVERY_S and not is_last:
            return
        self._marks = [mark for mark in self._marks if mark[0] >= now_s - _RATE_OF_S]
        self._marks.append((now_s, done))
        then_s, before = self._marks[0]
        of = left = ""
        if self._total is not None:
            of = f" of {self._total / 1e6:.0f}"
            if done > before and now_s > then_s:
                remaining_s = (self._total - done) * (now_s - then_s) / (done - before)
                left = f", {_clock_text(remaining_s)} left"
        share = done / self._total if self._total else 0.0
        self._progress(f"{self._name}: {done / 1e6:.0f}{of} MB{left}", share)


def unreadable(path: Path, error: OSError) -> ArnodeError:
    """Return the error for a file that cannot be read from the folder used as a source."""
    return ArnodeError(
        f"{path} cannot be read: {error.strerror}",
        "ARNODE_DATA_URL names a folder that lacks this file, or the wrong one",
    )


def _disk_fault(error: OSError, target: Path) -> ArnodeError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        with suppress(OSError):
            free = os.statvfs(target.parent)
            return ArnodeError(
                f"the disk is full: {free.f_bavail * free.f_frsize / 1e6:.0f} MB are free for"
                f" {target}",
                "make room, or set `data_dir` to a larger disk; the downloaded part is kept",
            )
    return ArnodeError(
        f"{target} cannot be written: {error.strerror}", "fix the permissions or the disk"
    )


def _clock_text(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
