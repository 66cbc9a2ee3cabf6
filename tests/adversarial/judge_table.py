"""Hostile judges in untrusted tasks, each with the required result.

`judges/*.txt` is attack code, kept from linters by its name; `preamble.txt` stands before each, an
honest judge that attacks when it is loaded, when it makes and when it checks behind it. These come
to nothing. What ends a run or refuses a task is in `ENDING`, each at one of these moments.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

JUDGES = Path(__file__).parent / "judges"
COMING_TO_NOTHING = sorted(
    path.stem for path in JUDGES.glob("*.txt") if path.stem not in ("preamble", "honest")
)
Moment = Literal["loading", "making", "checking"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """A judge that spoils its own task: `code` runs at a moment; `says` is the reason."""

    name: str
    moment: Moment
    code: str
    says: str


_LOADED = "its judge cannot be loaded"
_MADE = "its judge did not make instance 0"
_NO_END = "the judge did not finish checking it"
_CHECKED = "instance 1 is answered wrong: "
_FRAME = "(9).to_bytes(8, 'big')"
_UNREADABLE = f"{_CHECKED}the judge returned no verdict"
_HANGS = "while True:\n    pass"
_BOMB = "import time\nwhile True:\n    os.fork() or time.sleep(600)"
_MEMORY = "kept = []\nwhile True:\n    kept.append(bytearray(b'x') * (8 << 20))"
_FILLS = "with open('full', 'wb') as file:\n    while True:\n        file.write(bytes(1 << 20))"
_FLOOD = "while True:\n    print('x' * (1 << 20))"
_LEAVES = "import time\nos.fork() or time.sleep(600)\nos._exit(0)"


def _said(name: str, figures: str) -> Ending:
    """Return a judge that says such figures."""
    code = f"return {{'error': {figures}}}"
    return Ending(name=name, moment="checking", code=code, says=_CHECKED)


def _forged(name: str, frame: str, says: str, moment: Moment = "checking") -> Ending:
    """Return a judge that writes a frame by hand to whatever is open, and ends."""
    code = (
        f"for number in range(3, 64):\n    try:\n        os.write(number, {frame})\n"
        "    except OSError:\n        pass\nos._exit(0)"
    )
    return Ending(name=name, moment=moment, code=code, says=says)


ENDING: tuple[Ending, ...] = (
    # For ever
    Ending(name="hangs when loaded", moment="loading", code=_HANGS, says=_LOADED),
    Ending(name="hangs when it makes", moment="making", code=_HANGS, says=_MADE),
    Ending(name="hangs when it checks", moment="checking", code=_HANGS, says=_NO_END),
    Ending(name="waits", moment="checking", code="import time\ntime.sleep(600)", says=_NO_END),
    # All that there is
    Ending(name="starts without end when loaded", moment="loading", code=_BOMB, says=_LOADED),
    Ending(name="starts without end", moment="checking", code=_BOMB, says="PermissionError"),
    Ending(name="takes all memory when loaded", moment="loading", code=_MEMORY, says=_LOADED),
    Ending(name="takes all memory", moment="checking", code=_MEMORY, says="ran out of memory"),
    Ending(name="fills the disk when loaded", moment="loading", code=_FILLS, says=_LOADED),
    Ending(name="fills the disk", moment="checking", code=_FILLS, says="Error"),
    Ending(name="floods its log when loaded", moment="loading", code=_FLOOD, says=_LOADED),
    Ending(name="floods its log", moment="checking", code=_FLOOD, says=_NO_END),
    Ending(name="leaves when loaded", moment="loading", code=_LEAVES, says=_LOADED),
    # What is no figure
    _said("nan", "float('nan')"),
    _said("infinite", "float('inf')"),
    _said("a word", "'-1'* 1000 + 'x'"),
    _said("nothing", "None"),
    _said("a million digits", "10 ** 1_000_000"),
    Ending(
        name="huge",
        moment="checking",
        code="return {'error': -1e300}",
        says="choose a larger unit",
    ),
    Ending(
        name="another figure",
        moment="checking",
        code="return {'errors': 0.0}",
        says="did not return 'error'",
    ),
    # Frames
    _forged("no verdict", "b'Y' + (9).to_bytes(8, 'big') + b'{' * 9", _UNREADABLE),
    _forged("another tag", "b'S' + (0).to_bytes(8, 'big')", _NO_END),
    _forged("a frame without end", "b'Y' + (1 << 62).to_bytes(8, 'big')", _NO_END),
    _forged("half a frame", "b'Y' + (9).to_bytes(8, 'big') + b'{'", _NO_END),
    _forged("no instance", "b'I' + (1 << 40).to_bytes(8, 'big')", _MADE, "making"),
    # It may have ended before it is seen to be ready.
    _forged("ready at once", "b'S' + (0).to_bytes(8, 'big')", f"{_MADE}|{_LOADED}", "loading"),
    # Instances
    Ending(name="no end of it", moment="making", code="return 'x' * (1 << 28)", says=_MADE),
    Ending(
        name="deep",
        moment="making",
        code="deep = []\nfor _ in range(100_000):\n    deep = [deep]\nreturn deep",
        says=_MADE,
    ),
    Ending(
        name="another each time",
        moment="making",
        code="return {'numbers': [os.getpid()]}",
        says="makes different instances from the same seed",
    ),
)
