"""Pictures of the page in the documents: `ARNODE_PICTURES=write` makes them again."""

import io
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from node.home.home import Home
from node.store.store import Store
from tests.node.examples import HARDWARE_CLASS
from tests.web.page.demo import demo_link
from tests.web.page.example_store import fill_example
from tests.web.page.served import PROPOSERS, ServedHome
from tests.web.page.test_reading import pretend_status
from tests.web.page.visitor import Visitor

ROOT = Path(__file__).parents[3]
PICTURES = ROOT / "docs/pictures"
VIEWS = {"overview": ("overview", 1180)}
"""The route and the height in pixels of each picture, by its name."""
DEMO_VIEWS = {"experiments": ("light", 760), "insights/parallel": ("dark", 760)}
"""The colours and the height in pixels of each picture of the demo, by its route."""
SCHEMES = ("light", "dark")
WIDTH = 1280
MOST_BYTES = 120_000
COLOURS = 200
AT_WORK: Any = {
    "title": "WARMDOWN_RATIO → 0.45",
    "stage": "screen",
    "text": "first run",
    "seconds": 41.0,
    "also_running": 0,
    "paused": False,
    "until": None,
    "runs": [
        {
            "title": "WARMDOWN_RATIO → 0.45",
            "stage": "screen",
            "text": "first run",
            "seconds": 41.0,
            "curve": [(step, 1.4 + 3.1 / (1 + step / 12)) for step in range(4, 320, 4)],
        }
    ],
    "next": [{"title": "MATRIX_LR → 0.052", "stage": "screen", "text": "first run"}],
    "evidence": None,
    "messages": ["kept  1.4605  +1.5 sd"],
    "device": {
        "class": HARDWARE_CLASS,
        "load": 0.9,
        "memory_bytes": 6 << 30,
        "memory_total_bytes": 16 << 30,
    },
    "runs_done": 402,
    "runs_per_hour": 39.0,
    "counted_share": 0.91,
}


@pytest.mark.soak
def test_pictures_of_the_documents_are_made_and_small(chromium: Any, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    with Store.open(home) as store:
        fill_example(home, store)
    with ServedHome(home) as served:
        served.now = {"now": AT_WORK}
        for scheme in SCHEMES:
            for name, data in _pictures(chromium, served, scheme):
                _keep(f"{name}-{scheme}", data)


@pytest.mark.soak
def test_pictures_of_the_recorded_night_are_made_and_small(chromium: Any, tmp_path: Path) -> None:
    context = chromium.new_context(viewport={"width": WIDTH, "height": 900})
    with demo_link(tmp_path / "home") as link, Visitor(context, link) as visitor:
        for route, (scheme, height) in DEMO_VIEWS.items():
            visitor.page.set_viewport_size({"width": WIDTH, "height": height})
            visitor.page.emulate_media(color_scheme=scheme)
            visitor.go(route)
            visitor.page.wait_for_timeout(500)
            _keep(f"{route.split('/')[-1]}-{scheme}", _compressed(visitor.page.screenshot()))
        assert visitor.faults == []
    context.close()


def _keep(name: str, data: bytes) -> None:
    """Check the size of a picture, and write it if this is asked for."""
    place = PICTURES / f"{name}.png"
    assert len(data) <= MOST_BYTES, place
    if os.environ.get("ARNODE_PICTURES") == "write":
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(data)
    assert place.stat().st_size <= MOST_BYTES


def _pictures(chromium: Any, served: ServedHome, scheme: str) -> list[tuple[str, bytes]]:
    context = chromium.new_context(viewport={"width": WIDTH, "height": 900}, color_scheme=scheme)
    made = []
    with Visitor(context, served.link()) as visitor:
        pretend_status(visitor, line={"proposers": [*PROPOSERS[:1]], "planner": None})
        for name, (route, height) in VIEWS.items():
            visitor.page.set_viewport_size({"width": WIDTH, "height": height})
            visitor.go("network")
            visitor.go(route)
            visitor.page.wait_for_timeout(500)
            made.append((name, _compressed(visitor.page.screenshot())))
        assert visitor.faults == []
    context.close()
    return made


def _compressed(data: bytes) -> bytes:
    small = Image.open(io.BytesIO(data)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    out = io.BytesIO()
    small.save(out, "PNG", optimize=True)
    return out.getvalue()
