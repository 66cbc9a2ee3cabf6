"""Bundles and reconciliation, written independently from docs/protocol.md, agree with ours."""

import dataclasses
import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from node.exchange.bundle import Bundle, write_bundle
from protocol.reconciliation import FRAME_LIMIT_BYTES, respond
from protocol.record_index import RecordIndex, key_of
from tests.interop.javascript import FOLDER, program
from tests.network.arena import run
from tests.protocol.examples import PATCH, RESULT, START_MS
from tests.protocol.worlds import KEYS, World

FILES = Path(__file__).parents[1] / "vectors"
SIGNATURES: Any = json.loads((FILES / "signatures.json").read_text("utf-8"))

Key = tuple[int, bytes]


@pytest.mark.soak
def test_other_libraries_agree_on_every_signature_that_holds(js_folder: Path) -> None:
    verdicts: dict[str, dict[str, bool]] = {}

    async def test() -> None:
        async with program(js_folder, "agreement.mjs") as js:
            await js.send(cases=SIGNATURES)
            for one in SIGNATURES:
                verdicts[one["name"]] = await js.fact("judged")

    run(test)
    for one in SIGNATURES:
        if one["fault"] in (None, "equation", "S"):
            agreed = dict.fromkeys(("node", "strict", "zip215"), one["fault"] is None)
            assert verdicts[one["name"]] == agreed, one["name"]
    disputed = [name for name, said in verdicts.items() if len(set(said.values())) > 1]
    assert len(disputed) > 20, "else the vectors hold nothing that needs a rule"


def test_js_reads_a_bundle_and_finds_what_was_changed(tmp_path: Path) -> None:
    world = World()
    patch = world.say(KEYS[0], PATCH)
    claim = world.say(KEYS[0], dataclasses.replace(RESULT, patch=patch.id))
    blobs = {hashlib.sha256(data).digest(): data for data in (b"", b"DEPTH = 2\n" * 1_000)}
    records = {one.id: one for one in (patch, claim)}
    path = tmp_path / "claim.bundle"
    write_bundle(path, Bundle(about=claim.id, records=records, blobs=blobs))
    altered = tmp_path / "altered.bundle"
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(altered, "w") as copy:
        for name in whole.namelist():
            data = whole.read(name)
            copy.writestr(name, data + b"#" if name.startswith("blobs/") else data)

    async def test() -> None:
        async with program(FOLDER, "offline.mjs", "bundle") as js:
            await js.send(paths=[str(path), str(altered)])
            assert await js.fact("whole") == {
                "about": claim.id.hex(),
                "records": {one.id.hex(): one.kind for one in records.values()},
                "blobs": {one.hex(): len(data) for one, data in blobs.items()},
            }
            assert "another hash" in (await js.fact("broken"))["why"]

    run(test)


def key(number: int) -> Key:
    """Return the time and id for a number; every third time is shared."""
    return START_MS + number // 3 * 3, hashlib.sha256(b"%d" % number).digest()


CASES = {
    "nothing and nothing": (range(0), range(0)),
    "nothing and something": (range(0), range(100)),
    "something and nothing": (range(100), range(0)),
    "a few": (range(20), range(10, 31)),
    "the same": (range(3000), range(3000)),
    "a gap on both sides": ([*range(700), *range(703, 3000)], [*range(1000), *range(1200, 3000)]),
    "nothing in common": (range(0, 3000, 2), range(1, 3000, 2)),
}


@pytest.mark.parametrize("limit_bytes", [4096, FRAME_LIMIT_BYTES])
@pytest.mark.parametrize(("ours", "theirs"), CASES.values(), ids=CASES)
def test_js_finds_the_difference_of_two_sets(
    ours: list[int], theirs: list[int], limit_bytes: int
) -> None:
    index = RecordIndex(sorted(key_of(*key(number)) for number in ours))

    async def test() -> None:
        async with program(FOLDER, "offline.mjs", "reconcile") as js:
            keys = [(ts_ms, identity.hex()) for ts_ms, identity in map(key, theirs)]
            await js.send(keys=keys, limit=limit_bytes)
            while (said := await js.receive())["fact"] == "asks":
                question = bytes.fromhex(said["message"])
                assert len(question) <= limit_bytes
                answer = respond(index, question, frame_limit_bytes=limit_bytes)
                assert isinstance(answer, bytes), answer
                await js.send(message=answer.hex())
            for name, numbers in (
                ("have", set(theirs) - set(ours)),
                ("need", set(ours) - set(theirs)),
            ):
                assert sorted(said[name]) == sorted(key(number)[1].hex() for number in numbers)

    run(test)
