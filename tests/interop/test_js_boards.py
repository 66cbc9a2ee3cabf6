"""Leaderboards, written a second time from docs/protocol.md alone, agree with ours."""

import json
import random
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any, Final

from protocol.board import Board, board_of
from protocol.encoding import encode
from protocol.records import MAIN_NET
from tests.interop.board_worlds import CLASSES, MANIFESTS, RandomWorld
from tests.interop.javascript import FOLDER, node_program

WORLDS: Final = 320


def computed(world: RandomWorld) -> Board:
    records = [record for record in world.records if record.net == MAIN_NET]
    return board_of(records, world.manifest, world.hardware_class)


def asked(world: RandomWorld) -> dict[str, Any]:
    """Return what the other client reads of a world."""
    return {
        "records": [record.wire.hex() for record in world.records],
        "task": world.manifest.id.hex(),
        "class": world.hardware_class,
        "manifest": encode(world.manifest.to_value()).hex(),
    }


def plain(value: Any) -> Any:
    """Return a value of a record as JSON has it, with bytes in hex."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def answers(worlds: list[RandomWorld], path: Path) -> list[dict[str, Any]]:
    """Return what the other client computes of all these worlds."""
    path.write_text(json.dumps([asked(world) for world in worlds]))
    command = [node_program(), str(FOLDER / "client" / "board.mjs"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_js_computes_the_same_leaderboards_from_random_records(tmp_path: Path) -> None:
    chance = random.Random(3)
    manifests = list(MANIFESTS.values())
    worlds = [
        RandomWorld(
            manifests[number % len(manifests)],
            CLASSES[number // len(manifests) % len(CLASSES)],
            random.Random(chance.random()),
        ).fill(chance.choice([0, 1, 5, 15, 20, 25, 30]))
        for number in range(WORLDS)
    ]
    seen: Counter[str] = Counter()
    found = answers(worlds, tmp_path / "worlds.json")
    for number, (world, answer) in enumerate(zip(worlds, found, strict=True)):
        board = computed(world)
        expected = {
            "rows": [plain(row.to_value()) for row in board.rows],
            "board_digest": board.board_digest.hex(),
            "set_digest": board.set_digest.hex(),
        }
        assert answer == expected, f"world {number}"
        for row in answer["rows"]:
            seen.update(row["flags"])
            seen.update(name for name, value in row.items() if value)
            seen["no rank"] += row["rank"] is None
    rare = ["contended", "implausible", "tie", "no rank", "gain_rerun", "adopted"]
    rare += ["confirmed", "smaller", "refuted", "unsupported"]
    assert min(seen[name] for name in rare) > 5, f"else the worlds show too little: {seen}"
