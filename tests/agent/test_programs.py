"""Features that programs may use beyond training code: plain work is fine, outside access not."""

import importlib
import io
import re
import sqlite3
import sys
import threading
import tomllib
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.source.allow_lists import PROGRAMS, TRAINING, allow_list
from agent.source.capabilities import findings, languages, unread
from agent.source.programs import KNOWN as PROGRAM_KNOWN
from agent.source.programs import MODULES
from agent.source.programs import TAKEN as PROGRAM_TAKEN
from agent.source.public_names import KNOWN, TAKEN, listed
from protocol.source import Source

ROOT = Path(__file__).parents[2]
WAYS = tomllib.loads((ROOT / "tests/adversarial/ways_around.toml").read_text())["way"]
HABITS = """
import bisect, collections, functools, heapq, itertools, json, os, random, re, sqlite3, string, sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from decimal import Decimal, getcontext
from fractions import Fraction
from io import StringIO

sys.setrecursionlimit(10_000)
getcontext().prec = 40
chance = random.Random(int(os.environ.get("ARNODE_SEED", "0")))
WORD = re.compile(r"(?P<name>[a-z]+)=(\\d+)", re.IGNORECASE)


@functools.lru_cache(maxsize=None)
def ways(n):
    return 1 if n < 2 else ways(n - 1) + ways(n - 2)


def rows(lines):
    base = sqlite3.connect(":memory:")
    base.execute("create table t (a, b)")
    base.executemany("insert into t values (?, ?)", [line.split(",") for line in lines])
    return base.execute("select a, sum(b) from t group by a").fetchall()


def main():
    order = collections.deque(sorted(json.load(sys.stdin)["items"]))
    heap = list(order)
    heapq.heapify(heap)
    for line in sys.stdin:
        found = WORD.search(line.strip())
        if found:
            print(found.group("name"), found.groups(), file=sys.stderr)
    data = sys.stdin.buffer.read()
    text = StringIO()
    text.write(string.ascii_letters + str(data.hex()))
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(ways, range(10)))
    share = Fraction(1, 3).limit_denominator(10) + sum(itertools.accumulate(both))
    when = (date(2024, 1, 1) + timedelta(days=3)).isoformat()
    sys.stdout.write(json.dumps([str(share), when, str(Decimal("1.5").quantize(Decimal(1)))]))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
"""
REVIEWED = tomllib.loads((ROOT / "tools/allow_list.toml").read_text())
HARMLESS = listed(REVIEWED["attributes"]["free"]["names"])
# Available from the standard library's values: figures, texts, and work on the value itself.
FREE = listed(
    """
    ASCII DEBUG DOTALL DataError DatabaseError Error Etiny Etop IntegrityError InterfaceError
    InternalError LOCALE MAX_DIGEST_SIZE MAX_KEY_SIZE NotSupportedError OperationalError
    PERSON_SIZE ProgrammingError SALT_SIZE TEMPLATE Warning acquire_lock bits_per_digit
    braceidpattern clock_seq_hi_variant clock_seq_low compare_networks compare_signal
    compare_total compare_total_mag create_window_function default_max_str_digits delimiter
    getName getlimit idpattern interrupt ipv4_mapped isDaemon isSet is_safe is_site_local
    item_separator itervaluerefs key_separator kwargs locked_lock logical_invert native_id
    new_child node notifyAll parents re readinto1 release_lock scope_id setDaemon setName
    set_authorizer set_exception set_progress_handler set_result set_running_or_notify_cancel
    set_trace_callback setinputsizes setlimit setoutputsize sixtofour sizeof_digit
    str_digits_check_threshold suboffsets teredo time_hi_version time_low time_mid to_sci_string
    utcfromtimestamp utcnow utctimetuple variant write_through
    """
)
# Objects available without a name: from a call, an attribute, a stream.
HAD = (
    *(io.BufferedReader, io.BufferedWriter, sqlite3.Connection, sqlite3.Cursor, memoryview),
    *(type(re.match("", "")), type(zlib.compressobj()), type(threading.Lock())),
)


def of(text: str) -> Source:
    return Source.of({"solve.py": text.encode()})


def marks(text: str) -> list[str]:
    return [mark.what for mark in findings(of(text), PROGRAMS)]


def test_what_programs_ordinarily_do_is_no_mark_for_them_and_one_for_training_code() -> None:
    assert findings(of(HABITS), PROGRAMS) == ()
    assert {"import", "module"} <= {mark.what for mark in findings(of(HABITS))}


def test_the_list_hangs_on_the_kind_and_an_unknown_kind_has_the_least() -> None:
    assert allow_list("program") is PROGRAMS
    assert allow_list("language-model") is allow_list("something-later") is TRAINING
    assert "re" in PROGRAMS.imports - TRAINING.imports
    assert not PROGRAMS.imports & listed("os prepare socket subprocess ctypes pickle importlib")


@pytest.mark.parametrize("way", WAYS, ids=[way["name"] for way in WAYS])
def test_a_way_around_is_one_for_programs_too(way: dict[str, str]) -> None:
    assert marks(way["source"])


@pytest.mark.parametrize(
    "text",
    [
        "import subprocess",
        "import socket",
        "import multiprocessing",
        "import importlib",
        "import ctypes",
        "import pickle",
        "import pathlib",
        "import urllib.request",
        "import asyncio",
        "from io import FileIO",
        "from io import open",
        "from types import FunctionType",
        "from operator import attrgetter",
        "from string import Formatter",
        "from typing import get_type_hints",
        "from random import SystemRandom",
        "open('answer')",
        "eval(input())",
        "import os\nos.environ['HOME']",
        "import os\nos.environ.get('LD_PRELOAD')",
        "import os\nprint(os.environ)",
        "import os\nos.system('id')",
        "import sys\nsys.modules",
        "import sys\nsys.stdout = None",
        "import sys\nx = sys.stdin.buffer.raw\ntype(x)('made', 'w')",
        "import sys\n\nclass A:\n    def detach(self): pass\n\nsys.stdin.detach()",
        "import sqlite3\nsqlite3.connect('made.db')",
        "import sqlite3\nbase = sqlite3.connect(':memory:')\nbase.enable_load_extension(True)",
    ],
)
def test_what_reaches_out_is_marked(text: str) -> None:
    assert marks(text)


def test_a_tensor_is_detached_where_nobody_speaks_of_streams() -> None:
    text = "import torch\nx = torch.ones(2).detach()\n"
    assert marks(text) == []
    assert marks("import sys\n" + text + "print(x, file=sys.stderr)\n") == ["attribute"]


def kinds() -> Iterator[type]:
    """Yield the standard library's classes that programs can get, directly or from values."""
    for path, names in MODULES.items():
        if path.split(".")[0] in sys.stdlib_module_names:
            module = importlib.import_module(path)
            values = [getattr(module, name, None) for name in names]
            yield from (value for value in values if isinstance(value, type))
    yield from HAD


def test_every_attribute_within_reach_of_programs_was_sorted() -> None:
    """Names that begin with an underscore only concern the value itself."""
    if sys.version_info[:2] != (3, 11):
        pytest.skip(f"the tables are about Python 3.11, not {sys.version.split()[0]}")
    tables = KNOWN | TAKEN | HARMLESS | PROGRAM_KNOWN | PROGRAM_TAKEN | FREE
    unsorted_names = {
        name: kind.__name__
        for kind in kinds()
        for name in dir(kind)
        if not name.startswith("_") and name not in tables
    }
    assert unsorted_names == {}


def test_no_name_of_programs_is_known_and_taken() -> None:
    assert frozenset() == PROGRAMS.known & PROGRAMS.taken
    assert frozenset() == PROGRAM_KNOWN & KNOWN


def test_files_in_other_languages_are_unread_with_any_author() -> None:
    baseline = Source.of({"solve.c": b"int main;\n", "main.py": b"X = 1\n", "ask.md": b"Ask.\n"})
    assert unread(baseline, baseline) == ()
    changed = Source.of({"solve.c": b"int b;\n", "main.py": b"X = 2\n", "ask.md": b"Beg.\n"})
    found = unread(changed, baseline)
    assert [(mark.path, mark.what, mark.text) for mark in found] == [
        ("ask.md", "unread", "unread: prose"),
        ("solve.c", "unread", "unread: C"),
    ]
    assert languages(found) == ("C", "prose")
    assert languages(unread(Source.of({"Makefile": b"", "a.zig": b""}), baseline)) == (
        ".zig",
        "Makefile",
    )
