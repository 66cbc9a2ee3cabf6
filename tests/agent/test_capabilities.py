"""The lint marks what does more than arithmetic, and leaves honest training code alone."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.source.capabilities import beyond, findings
from protocol.source import Source

ROOT = Path(__file__).parents[2]
TASKS = ROOT / "trainer" / "tasks"
TINY = Source.of({"train.py": (TASKS / "tiny" / "train.py").read_bytes()})
MOVES = tomllib.loads((TASKS / "tiny" / "moves.toml").read_text())["move"]
SCRIPT = (ROOT / "tests" / "tasks" / "seconds" / "train.py").read_text()
IMPORTS = "import torch, numpy as np, random, contextlib, prepare\nfrom torch import nn\n"


def of(text: str) -> Source:
    return Source.of({"train.py": text.encode()})


def marks(text: str) -> set[str]:
    return {finding.what for finding in findings(of(text))}


TRICKS = {
    "import os\nos.system('id')": "module",
    "import os as math2\nmath2.fork()": "module",
    "import os\ny = [os]": "module",
    "import subprocess": "import",
    "from os import *": "import",
    "from torch import *": "import",
    "from os import system as zeros": "import",
    "from . import secrets": "import",
    "import math, socket": "import",
    "import torch.hub": "import",
    "from torch import hub as nn2": "import",
    "from torch.utils import cpp_extension": "import",
    "from torch.utils.cpp_extension import load_inline": "import",
    "from torch._C import _cuda_init": "import",
    "from contextlib import sys as s": "import",
    "from random import _os": "import",
    "import torch.distributed as d": "import",
    "from multiprocessing import Pool": "import",
    "import pickle": "import",
    "from torch.utils.data import os": "import",
    "from torch.utils.data.datapipes.iter import FileOpener": "import",
    "import urllib.request": "import",
    "try:\n    import requests\nexcept ImportError:\n    pass": "import",
    "def f():\n    import importlib": "import",
    "import trainer.harness.session": "harness",
    "from prepare import session": "harness",
    "from numpy import load as l": "import",
    "eval('1')": "builtin",
    "f = exec": "builtin",
    "list(map(eval, x))": "builtin",
    "compile('1', '', 'exec')": "builtin",
    "[c := compile]": "builtin",
    "open('/etc/passwd').read()": "builtin",
    "input()": "builtin",
    "breakpoint()": "builtin",
    "__import__('os').system('id')": "attribute",
    "__builtins__['eval']": "reflection",
    "globals()['x'] = 1": "builtin",
    "locals()": "builtin",
    "vars(torch)": "builtin",
    "@eval\ndef f(): ...": "builtin",
    "getattr(torch, name)": "reflection",
    "getattr(x, '__' + 'class__')": "reflection",
    "getattr(x, '__class__')": "reflection",
    "getattr(*pair)": "reflection",
    "g = getattr": "reflection",
    "from functools import reduce\nreduce(getattr, path, torch)": "reflection",
    "setattr(x, name, 1)": "reflection",
    "setattr(torch, 'manual_seed', f)": "harness",
    "getattr(torch, 'hub')": "module",
    "getattr(np, 'load')": "module",
    "().__class__.__bases__[0].__subclasses__()": "reflection",
    "f.__globals__['x']": "reflection",
    "x.__dict__": "reflection",
    "f.__code__ = g.__code__": "reflection",
    "x.__class__ = Y": "reflection",
    "super().__getattribute__('x')": "reflection",
    "__loader__.load_module": "attribute",
    "print(__doc__)": "reflection",
    "def f():\n    'How to go on'\nprint(f.__doc__)": "reflection",
    "(lambda: (yield))().gi_frame.f_back": "attribute",
    "e.with_traceback(None).tb_frame": "attribute",
    "int.mro()": "attribute",
    "'{0.__class__}'.format(x)": "reflection",
    "'{0.a[b]}'.format(x)": "reflection",
    "'{:{a.b}}'.format(x)": "reflection",
    "template.format(x)": "reflection",
    "f = str.format": "reflection",
    "'%s' % '__subclasses__'": "reflection",
    "b'__globals__'.decode()": "reflection",
    "f'{x.__class__}'": "reflection",
    "match x:\n    case object(__class__=c): pass": "reflection",
    "class M:\n    __match_args__ = (name,)": "reflection",
    "import gc\ngc.get_objects()": "module",
    "import typing\ntyping.get_type_hints(x)": "module",
    "from dataclasses import make_dataclass": "import",
    "torch.serialization.os.system('id')": "module",
    "torch.os": "module",
    "torch.nn.modules.module.os": "module",
    "nn.modules.module.torch.hub.list": "module",
    "torch.hub.sys": "module",
    "torch._C._cuda_init()": "module",
    "torch.ops.load_library('x.so')": "module",
    "torch.utils.collect_env.run('id')": "module",
    "torch.jit.script(f)": "module",
    "torch.package.PackageImporter": "module",
    "torch.multiprocessing.spawn(f)": "module",
    "torch.cuda.jiterator.x": "module",
    "t = torch\nt.hub.x": "module",
    "t = torch\nu = t\nu.fx.x": "module",
    "[torch][0]": "module",
    "def f(t=torch): ...": "module",
    "(t := torch)": "module",
    "a = b = torch": "module",
    "match torch:\n    case object(hub=h): pass": "module",
    "[nn][0].modules.module.torch.hub.list('x')": "module",
    "np.ctypeslib.load_library": "module",
    "np.lib.format": "module",
    "random._os.getcwd()": "module",
    "contextlib.os": "module",
    "self.model._os": "attribute",
    "x.subprocess.run(['id'])": "attribute",
    "prepare.sys": "harness",
    "prepare.session.channel": "harness",
    "prepare.evaluate_bpb = f": "harness",
    "torch.manual_seed = f": "harness",
    "nn.Module.forward = f": "harness",
    "del torch.nn": "harness",
    "from prepare import Tokenizer\nTokenizer.encode = f": "harness",
    "np.load('x.npy')": "module",
    "np.save('x', y)": "module",
    "y.tofile('x')": "attribute",
    "np.fromfile('x')": "module",
    "np.memmap('x')": "module",
    "torch.load('x.pt')": "module",
    "torch.save(x, 'x.pt')": "module",
    "n = np\nn.genfromtxt('x')": "module",
    "torch.from_file('x')": "module",
    "tensor.dump('x')": "attribute",
    "x = (": "uninspectable",
    "x = '\0'": "uninspectable",
}


def test_what_does_not_parse_is_marked_where_it_ceases_to() -> None:
    (mark,) = findings(Source.of({"train.py": b"x = 1\ny = (2\n"}))
    assert (mark.line, mark.what) == (2, "uninspectable")
    assert mark.text == "not Python that can be parsed: '(' was never closed"


@pytest.mark.parametrize("text", TRICKS)
def test_tricks_are_marked(text: str) -> None:
    assert TRICKS[text] in marks(IMPORTS + text + "\n")


@pytest.mark.parametrize(
    "text",
    [
        "super().__init__()",
        "if __name__ == '__main__':\n    main()",
        "__all__ = ['Model']",
        "print('{:.3f} {name!r}'.format(loss, name=1))",
        "def forward(self, input, compile=False):\n    return input if compile else -input",
        "model = torch.compile(model, mode='max-autotune')",
        "model.eval()\nmodel.load_state_dict(model.state_dict())",
        "torch.backends.cuda.matmul.allow_tf32 = True",
        "getattr(x, 'grad', None)\nhasattr(nn, 'RMSNorm')\nsetattr(self, 'rate', 1)",
        "from torch.utils.checkpoint import checkpoint",
        "from torch.nn.attention import sdpa_kernel",
        "F = nn.functional\nF.relu(x)",
        "torch.cuda.synchronize()\ntorch.cuda.max_memory_allocated()",
        "class O(torch.optim.Optimizer):\n    @torch.no_grad()\n    def step(self): ...",
        "class F2(torch.autograd.Function):\n    @staticmethod\n    def forward(ctx, x): return x",
        "import gc\ngc.collect(); gc.freeze()",
        "x.cpu().numpy().mean()",
        "x.chunk(2)[0].select(0, 1).copy_(y)\nrandom.shuffle(z)\nnp.random.default_rng(1)",
        "'a note on __class__'",
        "with contextlib.suppress(ValueError):\n    raise SystemExit",
        "type(x).__name__ + torch.__version__",
        "prepare.make_dataloader(prepare.Tokenizer.from_directory(), 1, prepare.MAX_SEQ_LEN)",
    ],
)
def test_honest_code_is_clean(text: str) -> None:
    assert findings(of(IMPORTS + text + "\n")) == ()


def test_the_tasks_baselines_and_a_script_of_autoresearchs_shape_are_clean() -> None:
    for path in TASKS.glob("*/train.py"):
        assert findings(of(path.read_text())) == ()
    assert findings(of(SCRIPT)) == ()


@pytest.mark.parametrize("move", MOVES, ids=[move["name"] for move in MOVES])
def test_every_listed_move_is_clean(move: dict[str, list[dict[str, str]]]) -> None:
    text = TINY["train.py"].decode()
    for edit in move["edit"]:
        search, replace = edit["search"].removeprefix("\n"), edit["replace"].removeprefix("\n")
        assert text.count(search) == 1
        text = text.replace(search, replace)
    assert findings(of(text)) == ()


def test_what_the_baseline_does_is_no_mark_of_the_patch() -> None:
    baseline = of('import os\nimport json\nos.environ["A"] = "1"\nX = 1\n')
    known = findings(baseline)
    assert [finding.text for finding in known] == [
        "import json",
        "os.environ['A'] = '1'",
    ]

    def new(text: str) -> list[tuple[int, str]]:
        patched = of(baseline["train.py"].decode() + text)
        return [(mark.line, mark.text) for mark in beyond(findings(patched), known)]

    assert new("X = 2\n") == []
    assert new("os.environ['LD_PRELOAD'] = 'x.so'\n") == [(5, "os.environ['LD_PRELOAD'] = 'x.so'")]
    assert new("os.system('id')\n") == [(5, "os.system('id')")]
    assert new("y = [os]\n") == [(5, "os")]
    # The same once more, and the same with another value, are not what the baseline does.
    assert new("os.environ['A'] = '1'\n") == [(5, "os.environ['A'] = '1'")]
    changed = baseline["train.py"].decode().replace('"1"', '"/tmp/x.so"')
    assert [mark.text for mark in beyond(findings(of(changed)), known)] == [
        "os.environ['A'] = '/tmp/x.so'"
    ]


def test_modules_of_the_source_itself_are_its_own_affair() -> None:
    files = {"train.py": b"import model\nfrom model import GPT\nGPT(model._SIZE)\n"}
    assert marks(files["train.py"].decode()) == {"import"}
    assert findings(Source.of({**files, "model.py": b"_SIZE = 1\n", "notes.txt": b"eval("})) == ()
    reached = Source.of(
        {**files, "model.py": b"import ssl\n", "train.py": b"import model\nmodel.ssl\n"}
    )
    assert [(mark.path, mark.what) for mark in findings(reached)] == [
        ("model.py", "import"),
        ("train.py", "module"),
    ]
    inside = Source.of(
        {**files, "model.py": b"X = 1\n", "train.py": b"import model\nmodel.__dict__\n"}
    )
    assert [mark.what for mark in findings(inside)] == ["reflection"]


PIECES = [
    "import os", "from a.b import c as d", "torch.x.y", "x = x.a", "getattr(a, b)", "f'{a!r:{b}}'",
    "match a:\n    case B(c=d, e=1): pass", "class A(B, metaclass=C): x: int = 1", "del a.b, c[0]",
    "async def f(*a, b=1, **c):\n    async with a as b: await c", "lambda *, a: (yield)",
    "a = b = c", "a.b += 1", "'{'.format(a)", "'{!x}'.format()", "@a.b\ndef f(): global g",
    "try:\n    pass\nexcept* A as b:\n    raise c from d", "from . import a",  "import a.b, d as e",
    "while a: break\nelse: b", "[a for b in c if d async for e in f]", "(a := b)", "x[a:b, ...]",
    "getattr(a, 'b', *c, **d)", "b'__class__'", "__a__ = __b__", "a" + ".b" * 200,
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=6).map("\n".join) | st.text())
@example("x = " + "-" * 500 + "1")
@example("eval(" * 60 + ")" * 60)
@example("f'" + "{x}" * 5000 + "'")
@example("os" + ".a" * 900)
def test_the_lint_answers_for_every_text(text: str) -> None:
    found = findings(Source.of({"train.py": text.encode("utf-8", "surrogatepass")}))
    assert all(finding.line >= 1 and finding.text for finding in found)
    assert beyond(found, found) == ()
