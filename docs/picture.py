"""Makes docs/arnode.png: the page of a real node, taken while it works on `tiny`.

    PYTHONPATH=. .venv/bin/python docs/picture.py [--minutes 3]

It takes Chromium. The node works on a home that is thrown away. The picture
is of the last moment that shows most: a verified head that has moved, and a trial under way.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Page, sync_playwright

TARGET: Final = Path(__file__).with_name("arnode.png")
SIZE: Final[Any] = {"width": 1200, "height": 860}
LOOK_EVERY_S: Final = 2.0


@contextmanager
def node(home: Path, minutes: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a node while the block lasts; three promotion trials fit, so that its head may move."""
    often = {"ARNODE_PROMOTION_TRIAL_HOURS": str(minutes / 60 / 3)}
    words = _words("start", "--for", f"{minutes}m")
    process = subprocess.Popen(words, env=_environment(home) | often, stdout=sys.stderr)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def asked(home: Path, *words: str) -> str:
    """Return what a command prints."""
    done = subprocess.run(
        _words(*words), env=_environment(home), capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def worth(now: dict[str, Any] | None, line: dict[str, Any] | None) -> int:
    """Say how much there is to see: the later of two equally rich moments is taken."""
    if now is None or line is None or line["head"] is None:
        return -1
    evidence = now["evidence"]
    return 2 * int(line["head"]["runs"] > 2) + int(bool(evidence and evidence["pairs"]))


def look(page: Page, home: Path, working: "subprocess.Popen[bytes]") -> None:
    """Keep the best moment so far on the disk, until the node ends."""
    best = 0
    while working.poll() is None:
        time.sleep(LOOK_EVERY_S)
        status = asked(home, "status", "--json")
        if not status or not json.loads(status)["running"]:
            continue  # it ends: the page has nobody to ask
        line = next(iter(json.loads(status)["lines"]), None)
        now = page.evaluate(
            "async () => (await (await fetch('api/v1/now', {headers: {Authorization:"
            " `Bearer ${sessionStorage.getItem('arnode.token')}`}})).json()).now"
        )
        if (points := worth(now, line)) >= best:
            best = points
            page.screenshot(path=TARGET)


def main() -> None:
    """Make the picture."""
    parser = argparse.ArgumentParser(description="Make docs/arnode.png from a real run on `tiny`.")
    parser.add_argument("--minutes", type=int, default=3)
    minutes: int = parser.parse_args().minutes
    chromium = shutil.which("chromium") or sys.exit("it takes Chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        home = Path(folder) / "home"
        with node(home, minutes) as working:
            while not (link := asked(home, "view", "--no-browser") if _runs(home) else ""):
                time.sleep(LOOK_EVERY_S)
            browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page(viewport=SIZE, color_scheme="light")
            page.goto(link)
            look(page, home, working)
            browser.close()
    print(f"{TARGET} is made", file=sys.stderr)


def _runs(home: Path) -> bool:
    told = asked(home, "status", "--json")
    return bool(told) and bool(json.loads(told)["running"])


def _words(*words: str) -> list[str]:
    return [sys.executable, "-m", "node", *words]


def _environment(home: Path) -> dict[str, str]:
    return {**os.environ, "ARNODE_HOME": str(home)}


if __name__ == "__main__":
    main()
