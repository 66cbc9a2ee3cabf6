"""Makes docs/house.svg: the rooms of the code by floor, and the two ways through them.

    python docs/house.py

A room is a folder of Python modules, or a loose one. It stands one floor above the highest room
that it imports, as the imports in the code say. A way is a list of functions, each of which hands
on to the next; the picture shows the rooms that it passes, in their order.
"""

import html
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

import grimp

TARGET = Path(__file__).with_name("house.svg")
PACKAGES: Final = ("agent", "bootstrap", "node", "protocol", "trainer")
WAYS: Final[Mapping[str, Sequence[str]]] = {
    "experiment → record → board": (
        "agent.hyperparameters.proposer.BuiltInSearch.propose",
        "node.loop.ideas.Ideas.take",
        "node.loop.agenda.Agenda.next_run",
        "node.loop.research.Research.run",
        "trainer.runner.Runner.run",
        "trainer.measuring.training.Training",
        "trainer.language_model.stages.Stages.run",
        "trainer.sandbox.sandbox.Sandbox",
        "trainer.language_model.stages.Stages.score",
        "node.line.line_context.LineContext.advance",
        "node.line.experiment.ExperimentStep.advance",
        "node.line.record_writer.RecordWriter.result",
        "node.store.store.Store.append_own",
        "protocol.records.sign_record",
        "node.store.boards.Boards.get",
        "protocol.board.board_of",
        "node.commands.leaderboard.leaderboard",
    ),
    "gossip → candidate → adopt": (
        "node.network.gossip.GuardedPubsub",
        "node.network.core_link.CoreLink",
        "node.peering.network_link.NetworkLink",
        "node.peering.service.Peering",
        "node.peering.ingest.Ingest",
        "node.store.intake.Intake.ingest",
        "protocol.records.parse_record",
        "node.loop.whole_trees.WholeTrees.catch_up",
        "node.source_review.adoption.examine",
        "agent.source.inspector",
        "node.line.line_writer.LineWriter.open_job",
        "node.loop.research.Research.run",
        "trainer.runner.Runner.run",
        "node.line.catch_up.CatchUpStep.conclude",
        "node.line.line_writer.LineWriter.move_to",
        "node.line.record_writer.RecordWriter.adoption",
        "node.store.store.Store.append_own",
    ),
}
_FACES: Final = {"agent", "node", "trainer"}  # they import nothing, and name only the folder
_COLOURS: Final = ("#2563eb", "#c2410c")
_WIDTH, _HEIGHT, _GAP, _LEFT, _TOP, _FLOOR = 156, 34, 14, 96, 84, 62


def room_of(module: str) -> str:
    """Return the room that a module, or a name in one, stands in; a loose module is its own."""
    parts = module.split(".")
    return parts[0] if parts[0] in ("bootstrap", "protocol") else ".".join(parts[:2])


def rooms_and_imports() -> Mapping[str, set[str]]:
    """Return the rooms that each room imports."""
    graph = grimp.build_graph(*PACKAGES)
    imported: dict[str, set[str]] = defaultdict(set)
    for module in graph.modules - _FACES:
        here, others = room_of(module), graph.find_modules_directly_imported_by(module) - _FACES
        imported[here] |= {room_of(other) for other in others} - {here}
    return dict(imported)


def floors_of(imported: Mapping[str, set[str]]) -> Mapping[str, int]:
    """Return the floor of each room, the ground being 1. Raises ValueError for a circle."""
    floors: dict[str, int] = {}

    def floor(room: str, above: tuple[str, ...]) -> int:
        if room in above:
            raise ValueError(f"rooms import each other: {' → '.join((*above, room))}")
        if room not in floors:
            below = (floor(other, (*above, room)) for other in sorted(imported[room]))
            floors[room] = 1 + max(below, default=0)
        return floors[room]

    for room in sorted(imported):
        floor(room, ())
    return floors


def rooms_on(way: str) -> list[str]:
    """Return the rooms that a way passes, in their order."""
    return [room for room, _ in groupby(WAYS[way], key=room_of)]


def picture() -> str:
    """Return the picture as SVG."""
    floors = floors_of(rooms_and_imports())
    levels: dict[int, list[str]] = defaultdict(list)
    for room, floor in sorted(floors.items()):
        levels[floor].append(room)
    highest, widest = max(levels), max(map(len, levels.values()))
    places = {
        room: (_LEFT + number * (_WIDTH + _GAP), _TOP + (highest - floor) * _FLOOR)
        for floor, rooms in levels.items()
        for number, room in enumerate(rooms)
    }
    width, height = _LEFT + widest * (_WIDTH + _GAP) + 20, _TOP + highest * _FLOOR + 12
    font = 'font-family="ui-sans-serif, system-ui, sans-serif" font-size="12"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {font}>',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for floor in levels:
        y = _TOP + (highest - floor) * _FLOOR + _HEIGHT / 2 + 4
        lines.append(f'<text x="14" y="{y}" fill="#6b7280">floor {floor}</text>')
    for room, (x, y) in places.items():
        lines.append(
            f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="4" fill="#f3f4f6"'
            ' stroke="#9ca3af"/>'
            f'<text x="{x + 8}" y="{y + 21}" fill="#111827">{html.escape(room)}</text>'
        )
    for number, way in enumerate(WAYS):
        lines += _drawn(way, places, number)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _drawn(way: str, places: Mapping[str, tuple[int, int]], number: int) -> list[str]:
    """Return a way's line, from room to room, with the number of each stop next to its room."""
    colour, aside = _COLOURS[number], number * 10
    stops = [places[room] for room in rooms_on(way)]
    points = " ".join(f"{x + _WIDTH - 24 + aside},{y + 8 + aside}" for x, y in stops)
    heading = f'x="14" y="{26 + 20 * number}" fill="{colour}" font-weight="600"'
    line = f'fill="none" stroke="{colour}" stroke-width="1.5" opacity="0.55"'
    lines = [
        f"<text {heading}>{html.escape(way)}</text>",
        f'<polyline points="{points}" {line}/>',
    ]
    passed: dict[tuple[int, int], list[str]] = defaultdict(list)
    for count, stop in enumerate(stops, 1):
        passed[stop].append(str(count))
    for (x, y), counts in passed.items():
        lines.append(
            f'<text x="{x + 8 + number * 62}" y="{y + _HEIGHT + 13}" fill="{colour}" '
            f'font-size="11">{" ".join(counts)}</text>'
        )
    return lines


def main() -> None:
    """Write the picture."""
    TARGET.write_text(picture())


if __name__ == "__main__":
    main()
