"""The lint marks code that does more than arithmetic, and accepts honest training code."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.source.capabilities import beyond, findings
from protocol.source import Source

ROOT = Path(__file__).parents[2]
TASKS = ROOT / "trainer" / "tasks"
# Features of speedruns and forks of autoresearch that none of the scripts here uses.
HABITS = """
import os

os.environ["PYTORCH_ALLOC_CONF"] = "expandable_segments:True"
import gc, json, math, sys, time, warnings
from dataclasses import dataclass, asdict, field
from functools import lru_cache, partial
from typing import Optional

import numpy as np
import torch
import torch._dynamo as dynamo
import torch._inductor.config as config
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from torch.utils.data import DataLoader, TensorDataset

config.coordinate_descent_tuning = True
dynamo.config.recompile_limit = 64
torch.backends.cuda.matmul.allow_tf32 = bool(torch.cuda.is_available())
flex_attention = torch.compile(flex_attention, dynamic=False)


@dataclass
class Config:
    depth: int = 12
    betas: tuple = field(default_factory=lambda: (0.8, 0.95))
    teacher: Optional["Config"] = None


@torch.compile(dynamic=False, fullgraph=True)
def orthogonal(grad: Tensor, steps: int = 5) -> Tensor:
    x = grad.bfloat16() / (grad.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x


class Muon(torch.optim.Optimizer):
    def __init__(self, params, lr=0.02, momentum=0.95):
        super().__init__(params, dict(lr=lr, momentum=momentum))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if len(state) == 0:
                    state["momentum_buffer"] = torch.zeros_like(p.grad)
                state["momentum_buffer"].lerp_(p.grad, 1 - group["momentum"])
                p.add_(orthogonal(state["momentum_buffer"]).type_as(p), alpha=-group["lr"])
        torch._foreach_mul_([p.data for p in group["params"]], 0.99)


class GPT(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.transformer = nn.ModuleDict({"wte": nn.Embedding(64, 8), "h": nn.ModuleList()})
        self.register_buffer("window", torch.tensor(4), persistent=False)
        self.lambdas = nn.Parameter(torch.ones(config.depth))

    @property
    def device(self):
        return self.transformer.wte.weight.device

    def forward(self, input, target=None):
        x = F.rms_norm(self.transformer.wte(input), (8,))
        for block in self.transformer.h:
            x = block(x)
        logits = 15 * torch.tanh(x.float() @ self.transformer.wte.weight.T / 15)
        return F.cross_entropy(logits.view(-1, 64), target.view(-1), ignore_index=-1)


model = torch.compile(GPT(Config()), mode="max-autotune-no-cudagraphs")
raw = model._orig_mod if hasattr(model, "_orig_mod") else model
print(f"{sum(p.numel() for p in raw.parameters()):,} {asdict(raw.config)} {type(raw).__name__}")
print("{:>8} {name}".format(1, name=raw.__class__.__name__))
scaler = torch.amp.GradScaler("cuda", enabled=False)
schedule = torch.optim.lr_scheduler.LambdaLR(Muon(raw.parameters()), lambda step: 1 - step / 10)
with torch.autocast(device_type="cuda", dtype=torch.bfloat16), torch.inference_mode():
    torch.cuda.synchronize()
gc.collect(); gc.freeze(); gc.disable()
warnings.filterwarnings("ignore", category=UserWarning)
if hasattr(torch, "xpu") and torch.xpu.is_available():
    print(torch.xpu.get_device_name(0), torch.cuda.get_device_properties(0).clock_rate)
print(json.dumps({"loss": 2.5, "platform": sys.platform, "weights": np.array2string(np.ones(2))}))
if math.isnan(time.time()):
    exit(1)
"""
IMPORTS = "import torch, numpy as np, random, contextlib, prepare\nfrom torch import nn\n"


def of(text: str) -> Source:
    return Source.of({"train.py": text.encode()})


def marks(text: str) -> set[str]:
    return {finding.what for finding in findings(of(text))}


TRICKS = {
    "import os\nos.system('id')": "module",
    "import os as math2\nmath2.fork()": "module",
    "import sys\nsys.modules['os'].fork()": "module",
    "import sys\ntype(sys.stdout.detach().detach())('x', 'w')": "module",
    "from sys import path": "import",
    "import sys\nsys.platform = 'x'": "harness",
    "import json\njson.load(f)": "module",
    "import json\njson.decoder.scanner": "module",
    "import warnings\nwarnings.sys": "module",
    "import os\ny = [os]": "module",
    "import subprocess": "import",
    "import os": "import",
    "from os import environ": "import",
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
    "import trainer.language_model.harness.session": "harness",
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
    "torch.set_default_tensor_type('made.of.a.text')": "module",
    "np.r_['made_of_a_text']": "module",
    "np.bmat('made_of_a_text')": "module",
    "nn.ParameterDict()['__cla' + 'ss__'] = f": "module",
    "torch.get_device_module('cpu').x": "module",
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
    "import sys\nprint('x', file=sys.stderr.buffer)": "module",
    "import sys\nout = sys.stderr\nprint('x', file=out)": "module",
    "import sys\ndef print(*a, file): file.write(a)\nprint('x', file=sys.stderr)": "module",
    "import sys\nprint(sys.stderr)": "module",
    "import sys\nprint('x', **{'file': sys.stderr})": "module",
    "import sys\nf(file=sys.stderr)": "module",
    "import os\nos.system": "module",
    "import os\nx = os.name\nos.environ['LD_PRELOAD']": "module",
    "x = getattr(torch.backends, 'mps', None) or 1": "module",
    "x = [getattr(torch.backends, 'mps', None)]": "module",
    "getattr(torch, 'hub', None)": "module",
    "if getattr(torch, 'hub', None): pass": "module",
    "getattr(torch, 'backends', None).cuda.torch": "module",
    "m = getattr(torch, 'nn', None)\nm.modules.module": "module",
    "m = getattr(torch, 'nn', x)\nm.Linear": "module",
    "x = torch and torch.nn and 1 or nn": "module",
    "x.compile(**options)": "reflection",
    "torch.compile(f, **{'backend': g})": "reflection",
    "torch.compile(f, **{'back' + 'end': g})": "reflection",
    "torch.compile(f, **dict(pairs))": "reflection",
    "o: dict = {}\ntorch.compile(f, **o)": "reflection",
    "o = {'mode': mode}\ntorch.compile(f, **o)": "reflection",
    "o = {**p}\ntorch.compile(f, **o)": "reflection",
    "o = {}\no['dynamic'] += g\ntorch.compile(f, **o)": "reflection",
    "o = {}\nprint(o)\ntorch.compile(f, **o)": "reflection",
    "o = {}\nx.o = 1\ntorch.compile(f, **o)": "reflection",
    "class A:\n    o = {}\n    g = torch.compile(f, **o)": "reflection",
    "def c(f, **k):\n    return torch.compile(f, **k)\nc(g, backend=h)": "reflection",
    "def c(f, **k):\n    return torch.compile(f, **k)\nc(g, **options)": "reflection",
    "def c(f, **k):\n    return torch.compile(f, **k)\nprint(c)": "reflection",
    "class A:\n    def c(f, **k):\n        return torch.compile(f, **k)": "reflection",
    "def f(self):\n    getattr(self, f'mask_{x}')": "reflection",
    "class A:\n    def f(self):\n        getattr(x, f'mask_{x}')": "reflection",
    "class A:\n    def f(self):\n        getattr(self, f'{x}')": "reflection",
    "class A:\n    def f(self):\n        getattr(self, f'_{x}')": "reflection",
    "class A:\n    def f(self):\n        getattr(self, f'untyped_{x}')": "reflection",
    "class A:\n    def f(self):\n        getattr(self, f'form{x}')": "reflection",
    "class A:\n    def f(self):\n        getattr(self, f'comp{x}')": "reflection",
    "class A:\n    def f(self):\n        setattr(self, f'mask_{x}', 1)": "reflection",
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
        "options = {'dynamic': False}\ntorch.compile(f, **options)",
        "def f():\n    o = dict(fullgraph=True)\n    return torch.compile(g, **o), torch.sin(**o)",
        (
            "o = {}\nif torch.cuda.is_available():\n    o['mode'] = 'max-autotune'\n"
            "else:\n    o = {'backend': 'eager'}\no.update(dynamic=True)\n"
            "o.update({'fullgraph': True})\n"
            "model.compile(**o)"
        ),
        "torch.compile(f, **({'dynamic': False} if x else dict(options={'max_autotune': True})))",
        (
            "c = (lambda **k: torch.compile(**k)) if x else (lambda **k: lambda f: f)\n"
            "@c(dynamic=False, fullgraph=True)\ndef f(x): return x"
        ),
        (
            "def c(f=None, **k):\n    if f is None:\n        return lambda g: c(g, **k)\n"
            "    return torch.compile(f, **k)\nc(f, mode='default')"
        ),
        "class A(nn.Module):\n    def f(self, n):\n        return getattr(self, f'mask_{n}', None)",
        "if getattr(torch.backends, 'mps', None) and torch.backends.mps.is_available(): pass",
        "import sys\nprint('warning', file=sys.stderr, flush=True)",
        "import sys as s\nprint('loss', file=s.stdout)",
        "import os\nworkers = 0 if os.name == 'nt' else 4",
        "import os\nos.environ['TOKENIZERS_PARALLELISM'] = 'false'\nprint(os.name)",
        "mps = getattr(torch.backends, 'mps', None)\nok = mps is not None and mps.is_available()",
        "prepare.make_dataloader(prepare.Tokenizer.from_directory(), 1, prepare.MAX_SEQ_LEN)",
    ],
)
def test_honest_code_is_clean(text: str) -> None:
    assert findings(of(IMPORTS + text + "\n")) == ()


def edited(text: str, edits: list[dict[str, str]]) -> str:
    for edit in edits:
        search, replace = edit["search"].removeprefix("\n"), edit["replace"].removeprefix("\n")
        assert text.count(search) == 1
        text = text.replace(search, replace)
    return text


def family() -> Iterator[tuple[str, str]]:
    """Yield the scripts that a node gets: the tasks' own with each edit, and their forks."""
    for task in ("tiny", "nanochat"):
        baseline = (TASKS / task / "train.py").read_text()
        moves = {one["name"]: one for one in listed(task, "move")}
        yield task, baseline
        for one in (*moves.values(), *listed(task, "finding")):
            edits = one.get("edit") or moves[one["move"]]["edit"]
            yield f"{task} {one['name']}", edited(baseline, edits)
    for path in ("tools/gpu/autoresearch", "tests/tasks/seconds"):
        yield path, (ROOT / path / "train.py").read_text()
    for name in ("at_home", "karpathy"):
        yield name, (ROOT / "tests" / "tasks" / "forks" / f"{name}.py").read_text()


def listed(task: str, what: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads((TASKS / task / f"{what}s.toml").read_text())[what]
    return found


FAMILY = list(family())
# An unknown name from which one script downloads a kernel; the others use known names.
ASKED = ("'somebody/flash-attention-3'",)


@pytest.mark.parametrize(("name", "text"), FAMILY, ids=[name for name, _ in FAMILY])
def test_the_scripts_of_the_family_are_clean(name: str, text: str) -> None:
    found = tuple(mark.text for mark in findings(of(text)))
    assert found == (ASKED if name == "karpathy" else ())


def test_a_script_that_does_more_is_no_mark_where_it_is_the_baseline() -> None:
    script = of((ROOT / "tests" / "tasks" / "forks" / "win_rtx.py").read_text())
    found = findings(script)
    assert {"import platform", "import argparse"} < {mark.text for mark in found}
    assert beyond(found, found) == ()


def test_habits_of_scripts_that_are_not_here_are_clean() -> None:
    assert findings(of(HABITS)) == ()


def test_what_the_baseline_does_is_no_mark_of_the_patch() -> None:
    baseline = of('import os\nimport csv\nos.environ["A"] = "1"\nX = 1\n')
    known = findings(baseline)
    assert [finding.text for finding in known] == [
        "import os",
        "import csv",
        "os.environ['A'] = '1'",
    ]

    def new(text: str) -> list[tuple[int, str]]:
        patched = of(baseline["train.py"].decode() + text)
        return [(mark.line, mark.text) for mark in beyond(findings(patched), known)]

    assert new("X = 2\n") == []
    assert new("os.environ['LD_PRELOAD'] = 'x.so'\n") == [(5, "os.environ['LD_PRELOAD'] = 'x.so'")]
    assert new("os.system('id')\n") == [(5, "os.system('id')")]
    assert new("y = [os]\n") == [(5, "os")]
    # Repeating it, or using another value, is not what the baseline does.
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


def test_another_file_of_the_source_changes_nothing_that_is_followed() -> None:
    model = (
        b"import torch\nO = dict(dynamic=False)\ndef build(f):\n    return torch.compile(f, **O)\n"
    )
    for text, is_fine in {
        "model.build(f)": True,
        "model.O['backend'] = f": False,
        "from model import O as p\np['backend'] = f": False,
        "getattr(model, 'O')['backend'] = f": False,
        "model.dict = f": False,
    }.items():
        source = Source.of({"train.py": f"import model\n{text}\n".encode(), "model.py": model})
        assert bool(findings(source)) is not is_fine, text


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
