"""Programs that cheat an imported evaluator, which calls them by value: none gains anything.

The evaluator is as those that people bring along: it takes the program's word for nothing that it
can recompute, and is otherwise careless. It comes in two ways: one calls in its own process, the
other starts a child that imports the program and leaves a pickle. An honest program can score 1.0.
"""

from typing import Final

BEST: Final = 1.0
HONEST: Final = """\
def pack(limits):
    return [[0.25, 0.2], [0.75, 0.2]], 0.4


LEVEL = 1
"""
# Segments `[centre, radius]` in the unit interval that do not overlap: lengths of 1.0 together.
_CHECKED: Final = """\
def score_of(segments, claimed, limits):
    segments = np.array(segments)
    if segments.ndim != 2 or segments.shape[1] != 2:
        raise ValueError(f"wrong shape {segments.shape}")
    for centre, radius in segments:
        if radius < 0:
            raise ValueError("a negative radius")
        if centre - radius < limits[0] - 1e-9 or centre + radius > limits[1] + 1e-9:
            raise ValueError("outside")
    for at, (centre, radius) in enumerate(segments):
        for other, theirs in segments[:at]:
            if abs(centre - other) < radius + theirs - 1e-9:
                raise ValueError("an overlap")
    total = 2 * float(np.sum(segments[:, 1]))
    if abs(total / 2 - claimed) > 1e-6:
        print(f"claimed {claimed}, found {total / 2}")
    return total
"""
_OPENING: Final = """\
import importlib.util
import pickle
import subprocess
import sys
import tempfile

import numpy as np

from judging import random_of


def instance(seed, split, index):
    return {"seed": random_of(seed).randrange(1 << 31)}


"""
IN_PROCESS: Final = f"""{_OPENING}{_CHECKED}

def evaluate(instance, path, vary):
    spec = importlib.util.spec_from_file_location("program", path)
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    limits = [0.0, 1.0]
    segments, claimed = program.pack(limits)
    return {{"score": score_of(segments, claimed, limits), "level": float(program.LEVEL)}}
"""
BY_CHILD: Final = f"""{_OPENING}{_CHECKED}

SCRIPT = '''
import pickle, sys
sys.path.insert(0, FOLDER)
try:
    import solve
    segments, claimed = solve.pack([0.0, 1.0])
    told = {{"segments": segments, "claimed": claimed, "level": float(solve.LEVEL)}}
except Exception as fault:
    told = {{"error": str(fault)}}
with open(sys.argv[1], "wb") as file:
    pickle.dump(told, file)
'''


def evaluate(instance, path, vary):
    script, results = tempfile.mkdtemp() + "/run.py", "/tmp/results.pickle"
    with open(script, "w") as file:
        file.write(SCRIPT.replace("FOLDER", repr(path.rpartition("/")[0])))
    subprocess.run([sys.executable, script, results], check=False, timeout=10)
    with open(results, "rb") as file:
        told = pickle.load(file)
    if "error" in told:
        raise ValueError(told["error"])
    score = score_of(told["segments"], told["claimed"], [0.0, 1.0])
    return {{"score": score, "level": told["level"]}}
"""
_AS_PACKED: Final = "def pack(limits):\n    return {}, 9.0\nLEVEL = 1\n"
_FORGING: Final = """\
import gc, struct
import msgpack
from trainer.program.harness import crossing, module
from trainer.sandbox.inside.channel import Channel

LEVEL = 1
channel = next(one for one in gc.get_objects() if isinstance(one, Channel))


def pack(limits):
{}
"""

CHEATS: Final = {
    # Values that are not what they seem
    "texts for numbers": _AS_PACKED.format("[['0.5', '9']]"),
    "texts that numpy reads": _AS_PACKED.format("__import__('numpy').array([['0.5', '9']])"),
    "true for numbers": _AS_PACKED.format("[[True, True]]"),
    "not a number": _AS_PACKED.format("[[float('nan'), 9.0]]"),
    "infinity": _AS_PACKED.format("[[0.5, float('inf')]]"),
    "not a number in an array": _AS_PACKED.format(
        "__import__('numpy').array([[float('nan'), 9.0]])"
    ),
    "complex numbers": _AS_PACKED.format("[[0.5, 9j]]"),
    "a whole number beyond all floats": _AS_PACKED.format("[[0.5, 10**400]]"),
    "minus a radius": _AS_PACKED.format("[[0.5, -9.0]]"),
    "arrays of objects": """\
import numpy
class Sly:
    def __lt__(self, other): return False
    __gt__ = __lt__
    def __float__(self): return 9.0
    def __add__(self, other): return 9.0
    __radd__ = __sub__ = __rsub__ = __add__
def pack(limits):
    return numpy.array([[0.5, Sly()]], dtype=object), 9.0
LEVEL = 1
""",
    "a float that compares as it likes": """\
class Sly(float):
    def __lt__(self, other): return False
    __gt__ = __lt__
    def __add__(self, other): return 0.0
    __radd__ = __sub__ = __rsub__ = __add__
def pack(limits):
    return [[0.5, Sly(9.0)]], Sly(9.0)
LEVEL = Sly(9.0)
""",
    "a list that lies about what is in it": """\
class Sly(list):
    looked = 0
    def __iter__(self):
        Sly.looked += 1
        return iter([[0.5, 0.1]] if Sly.looked < 2 else [[0.5, 9.0]])
    def __len__(self): return 1
    def __getitem__(self, at): return [0.5, 9.0]
def pack(limits):
    return Sly([[0.5, 9.0]]), 9.0
LEVEL = 1
""",
    "a table that answers for everything": """\
class Sly(dict):
    def __getitem__(self, name): return 9.0
    def get(self, name, other=None): return 9.0
    def items(self): return [("score", 9.0)]
def pack(limits):
    return Sly(), Sly()
LEVEL = 1
""",
    "an array of a subclass": """\
import numpy
class Sly(numpy.ndarray):
    def __lt__(self, other): return False
    def __array_ufunc__(self, *args, **more): return 9.0
def pack(limits):
    return numpy.array([[0.5, 9.0]]).view(Sly), 9.0
LEVEL = 1
""",
    "an array that changes after it was given": """\
import threading, numpy
given = numpy.array([[0.5, 0.5]])
def change():
    while True:
        given[0, 1] = 9.0
def pack(limits):
    threading.Thread(target=change, daemon=True).start()
    return given, 0.5
LEVEL = 1
""",
    "a generator": """\
def pack(limits):
    yield [[0.5, 9.0]]
    yield 9.0
LEVEL = 1
""",
    "the class of what is given": """\
def pack(limits):
    return [[0.5, 9.0]].__class__, type(limits)
LEVEL = 1
""",
    "an object that unpickles": """\
class Sly:
    def __reduce__(self):
        return eval, ("[[0.5, 9.0]]",)
def pack(limits):
    return Sly(), 9.0
LEVEL = 1
""",
    # Size, depth and time
    "a value of a gigabyte": "def pack(limits):\n    return b'x' * 10**9, 9.0\nLEVEL = 1\n",
    "a value without bottom": """\
def pack(limits):
    deep = []
    for _ in range(100_000):
        deep = [deep]
    return deep, 9.0
LEVEL = 1
""",
    "a value in itself": """\
def pack(limits):
    inner = []
    inner.append(inner)
    return inner, 9.0
LEVEL = 1
""",
    "no answer": "def pack(limits):\n    while True:\n        pass\nLEVEL = 1\n",
    # Names
    "names of Python's own": """\
__class__ = __path__ = __spec__ = __loader__ = None
def __getattr__(name):
    return 9.0
def pack(limits):
    return [[0.5, 9.0]], 9.0
LEVEL = 1
""",
    "names of the stub": """\
def _stand_in(*_): return 9.0
stand_in = score_of = evaluate = _stand_in
np = sum = abs = enumerate = float = _stand_in
def pack(limits):
    return [[0.5, 9.0]], 9.0
LEVEL = 1
""",
    "names of Python's own, in bytes": _FORGING.format(
        """\
    return [[0.5, 0.1]], 9.0

def forged(module):
    names = ("__builtins__", "__name__", "__getattr__", "np", "score_of", "1 + 1", "evaluate")
    return {name: ["callable", []] for name in (*names, "pack")}

module._names = forged"""
    ),
    # Reaching for the evaluator
    "a patched evaluator": """\
import builtins, json, sys, types
for name in ("judge", "judging", "evaluator", "measure"):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].score_of = sys.modules[name].evaluate = lambda *_: {"score": 9.0}
import numpy
numpy.sum = lambda *_, **__: 9.0
builtins.abs = builtins.float = lambda *_: 9.0
json.dumps = lambda *_, **__: '{"figures": {"score": 9.0}}'
def pack(limits):
    return [[0.5, 0.1]], 0.1
LEVEL = 1
""",
    "its limits changed in place": """\
def pack(limits):
    limits[:] = [-100.0, 100.0]
    return [[0.0, 50.0]], 50.0
LEVEL = 1
""",
    "files where the evaluator looks": """\
import json, os, pickle
for folder in ("/tmp", "/job", "/dev/shm", os.getcwd()):
    for name in ("results.pickle", "metrics.json", "correct.json", "run.py.results"):
        told = {"segments": [[0.5, 9.0]], "claimed": 9.0, "level": 1.0, "score": 9.0}
        try:
            with open(f"{folder}/{name}", "wb") as file:
                file.write(pickle.dumps(told))
        except OSError:
            pass
def pack(limits):
    os._exit(0)
LEVEL = 1
""",
    "lines that look like figures": """\
import sys
for stream in (sys.stdout, sys.stderr):
    print('{"figures": {"score": 9.0}}\\nscore: 9.0\\nMETRIC score=9.0', file=stream, flush=True)
def pack(limits):
    sys.stdout.write('{"figures": {"score": 9.0}}')
    return [[0.5, 0.1]], 9.0
LEVEL = 1
""",
    "an early end": "import os\ndef pack(limits):\n    os._exit(0)\nLEVEL = 1\n",
    "an end that looks well": "def pack(limits):\n    raise SystemExit(0)\nLEVEL = 1\n",
    "an end while it is imported": "raise SystemExit(0)\n",
    "an exception of a forged class": """\
class Sly(Exception):
    __module__ = "judging"
    def __str__(self): return '{"figures": {"score": 9.0}}'
    def __eq__(self, other): return True
Sly.__name__ = Sly.__qualname__ = "StopIteration"
def pack(limits):
    raise Sly
LEVEL = 1
""",
    "children that outlive it": """\
import os, threading
def pack(limits):
    try:
        for _ in range(4):
            if not os.fork():
                while True:
                    pass
    except OSError:
        pass
    threading.Thread(target=lambda: [None for _ in iter(int, 1)], daemon=True).start()
    return [[0.5, 0.1]], 0.1
LEVEL = 1
""",
    # Bytes of its own on the channel
    "a verdict of its own": _FORGING.format(
        """\
    channel.send(b"Y", b'{"figures": {"score": 9.0, "level": 1.0}}')
    return [[0.5, 9.0]], 9.0"""
    ),
    "a reply to somebody else": _FORGING.format(
        """\
    told = crossing.packed(("value", [[[0.5, 9.0]], 9.0]))
    channel.send(b"P", struct.pack(">I", 7) + told)
    return [[0.5, 0.1]], 0.1"""
    ),
    "replies before they are asked for": _FORGING.format(
        """\
    for _ in range(100):
        channel.send(b"P", crossing.packed(("value", 9.0)))
    return [[0.5, 0.1]], 0.1"""
    ),
    "an answer of an unknown kind": _FORGING.format(
        """\
    channel.send(b"P", crossing.packed(("callable", [["x", 1, True]])))
    channel.send(b"P", crossing.packed({"value": 9.0}))"""
    ),
    "bytes that are no value": _FORGING.format(
        """\
    for raw in (b"", b"\\xc1", b"\\x92\\xa5value", b"\\xdd\\xff\\xff\\xff\\xff"):
        channel.send(b"P", raw)"""
    ),
    "an array of objects in bytes": _FORGING.format(
        """\
    forged = msgpack.ExtType(1, msgpack.packb(["|O", [1, 2], b"\\0" * 16]))
    channel.send(b"P", msgpack.packb(["value", [forged, 9.0]]))"""
    ),
    "an array larger than its bytes": _FORGING.format(
        """\
    forged = msgpack.ExtType(1, msgpack.packb(["<f8", [1 << 40, 2], b"\\0" * 16]))
    channel.send(b"P", msgpack.packb(["value", [forged, 9.0]]))"""
    ),
    "not a number in bytes": _FORGING.format(
        """\
    forged = ["value", [[[float("nan"), 9.0]], 9.0]]
    channel.send(b"P", msgpack.packb(forged))"""
    ),
    "a value that is nested in bytes": _FORGING.format(
        """\
    channel.send(b"P", b"\\x92\\xa5value" + b"\\x91" * 100_000 + b"\\xc0")"""
    ),
}
