"""Makes docs/arnode.svg: the live view of a real node, taken while it works on `tiny`.

    python docs/picture.py [--minutes 7]

The node runs in this process on a home of its own that is thrown away. The picture is the last
moment that shows most: a verified head that has moved, and a checkpoint under way. It needs no
font from anywhere: rich's own export would load one from a host.
"""

import argparse
import asyncio
import html
import io
import re
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme

from agent.knobs.proposer import KnobsProposer
from node.home.home import Home
from node.line.open_task import find_task
from node.loop.session_plan import Goal
from node.running.live import draw
from node.running.node import Node, open_node
from node.running.program import run_node
from node.settings.config import Config
from node.settings.sandboxing import require_sandbox
from node.terminal.progress import reporting

TARGET = Path(__file__).with_name("arnode.svg")
WIDTH, HEIGHT = 100, 35
LOOK_EVERY_S = 1.0
FROM_SHARE = 0.6  # earlier there is too little to see

THEME = TerminalTheme(
    (13, 17, 23),
    (201, 209, 217),
    [
        (13, 17, 23), (248, 81, 73), (63, 185, 80), (210, 153, 34),
        (88, 166, 255), (188, 140, 255), (57, 197, 207), (201, 209, 217),
    ],
    [
        (125, 133, 144), (255, 123, 114), (86, 211, 100), (227, 179, 65),
        (121, 192, 255), (210, 168, 255), (86, 212, 221), (240, 246, 252),
    ],
)  # fmt: skip

# rich's template with fonts that the reader's machine has, and no window frame to load more for.
TEMPLATE = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
    <title>arnode at work on the task tiny</title>
    <style>
    .{unique_id}-matrix {{
        font-family: "DejaVu Sans Mono", Menlo, Consolas, "Liberation Mono", monospace;
        font-size: {char_height}px;
        line-height: {line_height}px;
    }}
    .{unique_id}-title {{
        font-size: 18px;
        font-weight: bold;
        font-family: sans-serif;
    }}
    {styles}
    </style>
    <defs>
    <clipPath id="{unique_id}-clip-terminal">
      <rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
    </clipPath>
    {lines}
    </defs>
    {chrome}
    <g transform="translate({terminal_x}, {terminal_y})"
       clip-path="url(#{unique_id}-clip-terminal)">
    {backgrounds}
    <g class="{unique_id}-matrix">
    {matrix}
    </g>
    </g>
</svg>
"""

_CELL = 20 * 0.61  # the width of a character in rich's SVG
_TEXT = re.compile(
    r'(?P<a><text class="arnode-r\d+" )x="(?P<x>[\d.]+)"(?P<b>[^>]*?)textLength="[\d.]+"'
    r"(?P<c>[^>]*>)(?P<text>[^<]*)</text>"
)


def picture_of(node: Node) -> str:
    """Return the live view of this moment as SVG."""
    console = Console(
        width=WIDTH,
        height=HEIGHT,
        record=True,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
    )
    console.print(draw(node))
    svg = console.export_svg(
        title="arnode start", theme=THEME, code_format=TEMPLATE, unique_id="arnode"
    )
    trimmed = _TEXT.sub(_without_outer_spaces, svg)
    return "\n".join(line.rstrip() for line in trimmed.splitlines()) + "\n"


def _without_outer_spaces(match: re.Match[str]) -> str:
    """Some renderers drop spaces at the edge of a text and stretch the rest: move it instead."""
    text = match["text"].replace("&#160;", " ")
    shown = text.strip(" ")
    if not shown:
        return ""
    x = float(match["x"]) + (len(text) - len(text.lstrip(" "))) * _CELL
    length = len(html.unescape(shown)) * _CELL
    content = shown.replace(" ", "&#160;")
    return f'{match["a"]}x="{x:g}"{match["b"]}textLength="{length:g}"{match["c"]}{content}</text>'


def worth(node: Node, share: float) -> int:
    """Say how much there is to see: the later of two equally rich moments is taken."""
    line, confirmation = node.books.ledger.line, node.research.activity.confirmation
    if line is None:
        return -1
    points = 4 if share >= FROM_SHARE else 0
    points += 2 if line.verified != node.session.task.source.tree else 0
    return points + (1 if confirmation and confirmation.pairs else 0)


async def look(node: Node, duration_s: float) -> None:
    """Keep the best moment so far on the disk."""
    best = -1
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        points = worth(node, node.research.activity.elapsed_s / duration_s)
        if points >= best:
            best = points
            TARGET.write_text(picture_of(node), encoding="utf-8")


async def work(home: Home, duration_s: float) -> None:
    """Run a node for so long, looking at it."""
    with reporting() as progress:
        task = find_task(home, name="tiny", text=None, progress=progress)
        goal = Goal(duration_s=duration_s)
        # Three checkpoints, so that a short session, too, shows a head that has moved.
        config = Config(checkpoint_hours=duration_s / 3600 / 3)
        async with open_node(
            home, config, task, goal, proposer=KnobsProposer(), progress=progress
        ) as node:
            looking = asyncio.create_task(look(node, duration_s))
            await run_node(node, handlers(node))
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking


def main() -> None:
    """Make the picture."""
    parser = argparse.ArgumentParser(description="Make docs/arnode.svg from a real run on `tiny`.")
    parser.add_argument("--minutes", type=float, default=7.0)
    minutes: float = parser.parse_args().minutes
    require_sandbox(Config())
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        with home.lock():
            asyncio.run(work(home, minutes * 60))
    print(f"{TARGET} is made", file=sys.stderr)


if __name__ == "__main__":
    main()
