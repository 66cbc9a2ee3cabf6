"""Downloads over real sockets, from a server that cuts, damages, changes and refuses."""

import asyncio
import errno
import hashlib
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from protocol.errors import ArnodeError
from trainer.language_model.text import download as module
from trainer.language_model.text.download import ATTEMPTS, download

CONTENT = os.urandom(3_000_000)
SHA256 = hashlib.sha256(CONTENT).digest()
OTHER = os.urandom(3_000_000)


class Server:
    """A server of one file.

    `faults` are used one per request. An int is the number of bytes before the connection is cut; a
    str is a status to answer with.
    """

    def __init__(self) -> None:
        self.content, self.tag = CONTENT, '"one"'
        self.faults: list[int | str] = []
        self.ranges: list[str | None] = []
        self.has_ranges = True

    async def answer(self, request: web.Request) -> web.StreamResponse:
        asked = request.headers.get("Range")
        self.ranges.append(asked)
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, str):
            return web.Response(status=int(fault))
        start, status, headers = 0, 200, {"ETag": self.tag} if self.tag else {}
        is_same = request.headers.get("If-Range", self.tag) == self.tag
        if asked and self.has_ranges and is_same:
            start, status = int(asked.removeprefix("bytes=").removesuffix("-")), 206
            size = len(self.content)
            if start >= size:
                return web.Response(status=416, headers={"Content-Range": f"bytes */{size}"})
            headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = len(self.content) - start
        await response.prepare(request)
        if fault is None:
            await response.write(self.content[start:])
        else:
            await response.write(self.content[start : start + fault])
            await asyncio.sleep(0.05)  # what was written is in transit
            assert request.transport is not None
            request.transport.abort()
        return response


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "shards" / "one.parquet"


def served(server: Server, ask: Callable[[str], Awaitable[Any]]) -> Any:
    """Return the result of a request to the server that runs at a URL."""

    async def talk() -> Any:
        app = web.Application()
        app.router.add_get("/one.parquet", server.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            host, port = runner.addresses[0][:2]
            return await ask(f"http://{host}:{port}/one.parquet")
        finally:
            await runner.cleanup()

    return asyncio.run(talk())


def fetched(server: Server, target: Path, **options: Any) -> bytes:
    given = {"sha256": SHA256, "progress": lambda _what, _share: None, "pause_s": 0.001, **options}
    found: bytes = served(server, lambda url: download(url, target, **given))
    return found


def left(target: Path) -> set[str]:
    return {path.name for path in target.parent.iterdir()}


def test_a_file_comes_whole_and_is_asked_for_once(server: Server, target: Path) -> None:
    assert fetched(server, target) == SHA256
    assert target.read_bytes() == CONTENT
    assert left(target) == {"one.parquet"}
    assert fetched(server, target) == SHA256
    assert server.ranges == [None]


@pytest.mark.parametrize("tag", ['"one"', "", 'W/"one"'])
def test_what_has_come_is_not_fetched_again(server: Server, target: Path, tag: str) -> None:
    server.tag, server.faults = tag, [1_000_000, 700_000]
    assert fetched(server, target) == SHA256
    assert target.read_bytes() == CONTENT
    starts = [int(asked.split("=")[1][:-1]) for asked in server.ranges if asked]
    assert 0 < starts[0] <= 1_000_000 < starts[1] <= 1_700_000


def test_a_killed_download_goes_on_where_it_stopped(server: Server, target: Path) -> None:
    server.faults = [1_000_000, *["503"] * ATTEMPTS]
    with pytest.raises(ArnodeError, match="answers 503"):
        fetched(server, target)
    assert left(target) == {"one.parquet.part", "one.parquet.etag"}
    assert fetched(server, target) == SHA256
    assert server.ranges[-1] is not None


def test_all_but_the_last_step_done_is_no_reason_to_fetch_anything(
    server: Server, target: Path
) -> None:
    target.parent.mkdir()
    target.with_name("one.parquet.part").write_bytes(CONTENT)
    assert fetched(server, target) == SHA256
    assert left(target) == {"one.parquet"}


def test_a_file_that_changed_meanwhile_is_fetched_from_its_beginning(
    server: Server, target: Path
) -> None:
    server.content, server.tag, server.faults = OTHER, '"other"', [1_000_000, *["503"] * ATTEMPTS]
    with pytest.raises(ArnodeError):
        fetched(server, target)
    server.content, server.tag = CONTENT, '"one"'
    assert fetched(server, target) == SHA256
    assert target.read_bytes() == CONTENT


def test_a_changed_file_without_a_name_is_found_by_its_hash(server: Server, target: Path) -> None:
    target.parent.mkdir()
    target.with_name("one.parquet.part").write_bytes(OTHER[:1_000_000])
    server.tag = ""
    assert fetched(server, target) == SHA256
    assert target.read_bytes() == CONTENT


def test_more_than_there_is_begins_again(server: Server, target: Path) -> None:
    target.parent.mkdir()
    target.with_name("one.parquet.part").write_bytes(CONTENT + b"more")
    assert fetched(server, target) == SHA256


def test_a_server_without_ranges_sends_all_of_it_again(server: Server, target: Path) -> None:
    server.has_ranges, server.faults = False, [1_000_000]
    assert fetched(server, target) == SHA256
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("content", [OTHER, CONTENT[:-1], CONTENT[:500] + b"\0" + CONTENT[501:]])
def test_another_file_than_the_hash_says_is_not_kept(
    server: Server, target: Path, content: bytes
) -> None:
    server.content = content
    with pytest.raises(ArnodeError, match="is not the file that it should be") as caught:
        fetched(server, target)
    assert SHA256.hex()[:12] in caught.value.message
    assert left(target) == set()
    assert len(server.ranges) == 2  # one transmission error is possible


def test_a_damaged_file_of_before_is_fetched_again(server: Server, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(CONTENT[:-1])
    assert fetched(server, target) == SHA256
    assert target.read_bytes() == CONTENT


def test_without_a_hash_what_comes_is_reported(server: Server, target: Path) -> None:
    server.content = OTHER
    assert fetched(server, target, sha256=None) == hashlib.sha256(OTHER).digest()


def test_what_nothing_can_check_is_fetched_from_its_beginning(server: Server, target: Path) -> None:
    """Neither a hash nor an ETag could show that the beginning belongs to another file."""
    target.parent.mkdir()
    target.with_name("one.parquet.part").write_bytes(OTHER[:1_000_000])
    server.tag = ""
    assert fetched(server, target, sha256=None) == SHA256


@pytest.mark.parametrize("status", ["404", "403"])
def test_what_is_not_there_is_said_at_once(server: Server, target: Path, status: str) -> None:
    server.faults = [status]
    with pytest.raises(ArnodeError, match=f"answers {status}") as caught:
        fetched(server, target)
    assert "ARNODE_DATA_URL" in str(caught.value.hint)
    assert len(server.ranges) == 1


def test_nobody_listening_ends_after_some_attempts(target: Path) -> None:
    with pytest.raises(ArnodeError, match="cannot fetch"):
        asyncio.run(
            download(
                "http://127.0.0.1:9/one.parquet",
                target,
                sha256=SHA256,
                progress=lambda _what, _share: None,
                pause_s=0.001,
            )
        )


def test_a_folder_serves_as_well(tmp_path: Path, target: Path) -> None:
    kept = tmp_path / "kept.parquet"
    kept.write_bytes(CONTENT)

    def copy(path: Path) -> bytes:
        return asyncio.run(download(str(path), target, sha256=SHA256, progress=print))

    assert copy(kept) == SHA256
    target.unlink()
    kept.write_bytes(OTHER)
    with pytest.raises(ArnodeError, match="is not the file"):
        copy(kept)
    with pytest.raises(ArnodeError, match="cannot be read"):
        copy(tmp_path / "nothing")


def test_a_full_disk_is_said_and_what_has_come_is_kept(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_part: object, _size: int, *, tag: str) -> None:
        raise OSError(errno.ENOSPC, f"no space left {tag}")

    server.faults = [1_000_000, *["503"] * ATTEMPTS]
    with pytest.raises(ArnodeError):
        fetched(server, target)
    with monkeypatch.context() as patched:
        patched.setattr(module._Part, "open", full)
        with pytest.raises(ArnodeError, match=r"the disk is full: .* MB are free"):
            fetched(server, target)
    assert fetched(server, target) == SHA256
    assert server.ranges[-1] is not None


def test_progress_reports_bytes_and_the_time_that_is_left(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CHUNK_BYTES", 100_000)
    seconds = iter(range(10_000))
    progress_calls: list[tuple[str, float]] = []

    def on_progress(what: str, share: float) -> None:
        progress_calls.append((what, share))

    fetched(server, target, progress=on_progress, clock=lambda: float(next(seconds)))
    assert "left" not in progress_calls[0][0]
    shares = [share for _, share in progress_calls]
    assert shares == sorted(shares)
    assert progress_calls[-1] == ("one.parquet: 3 of 3 MB, 0 s left", 1.0)
    middle = re.fullmatch(
        r"one\.parquet: \d of 3 MB, (\d+) s left", progress_calls[len(progress_calls) // 2][0]
    )
    assert middle is not None
    assert 0 < int(middle[1]) < 60


def test_progress_reports_minutes_and_nothing_that_nobody_knows() -> None:
    progress_calls: list[tuple[str, float]] = []
    seconds = iter([0.0, 10.0, 0.0])

    def pace(name: str, total: int | None) -> module._Pace:
        begun = module._Pace(name, lambda *said: progress_calls.append(said), lambda: next(seconds))
        begun.begin(total)
        return begun

    slow = pace("two", 10**8)
    slow.at(0)
    slow.at(4_761_905)
    pace("x", None).at(0)
    assert progress_calls[1:] == [
        ("two: 5 of 100 MB, 3 min 20 s left", pytest.approx(0.0476, abs=1e-4)),
        ("x: 0 MB", 0.0),
    ]
