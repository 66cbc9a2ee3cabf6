"""The allow-list of torch's and numpy's names is what the reviewed rules make of both."""

import importlib
import json
import tomllib
from typing import Any

import pytest
import torch

from agent.source.allowed import MODULES
from agent.source.public_names import KNOWN, TAKEN
from tools import allow_list
from tools.allow_list import RULES, TARGET, attributes_of, kinds

KEPT: dict[str, Any] = json.loads(TARGET.read_text("utf-8"))
REVIEWED: dict[str, Any] = tomllib.loads(RULES.read_text("utf-8"))


def require_pinned() -> None:
    """Skip where other versions are installed than those that the list is about."""
    if (found := allow_list.versions()) != KEPT["versions"]:
        pytest.skip(f"the allow-list is about {KEPT['versions']}, not {found}")


def test_the_list_is_about_the_pinned_versions() -> None:
    pinned = dict(
        line.split(";")[0].strip().split("==")
        for line in (allow_list.ROOT / "constraints.txt").read_text().splitlines()
        if line.startswith(("torch==", "numpy=="))
    )
    assert {one: KEPT["versions"][one] for one in pinned} == pinned


def test_the_list_is_what_the_rules_make_of_the_installed_versions() -> None:
    require_pinned()
    made = allow_list.allow_list()
    assert made == KEPT, "run `python -m tools.allow_list` and read the diff"
    assert TARGET.read_text("utf-8") == allow_list.text_of(made)


def test_every_attribute_within_reach_was_sorted() -> None:
    require_pinned()
    free = frozenset(REVIEWED["attributes"]["free"]["names"].split())
    reached = {name for kind in kinds(KEPT["modules"]) for name in attributes_of(kind)}
    assert reached - KNOWN - TAKEN - free == set()
    assert not free & (KNOWN | TAKEN)


def test_a_new_method_would_be_in_the_diff() -> None:
    class Newer(torch.Tensor):
        def load_from_address(self) -> None: ...

    assert attributes_of(Newer) - attributes_of(torch.Tensor) == {"load_from_address"}


def test_no_attribute_is_in_two_tables() -> None:
    assert frozenset() == KNOWN & TAKEN


@pytest.mark.parametrize("why", REVIEWED["denied"])
def test_what_is_denied_is_there_and_on_no_list(why: str) -> None:
    """A rule that fits nothing is a typing error, or about a name that is gone."""
    require_pinned()
    for path, patterns in REVIEWED["denied"][why].items():
        module = importlib.import_module(path)
        for pattern in patterns.split():
            names = allow_list.matching(getattr(module, "__all__", dir(module)), pattern)
            assert names, f"{path}: {pattern}"
            assert not names & MODULES[path]


def test_no_module_is_handed_out_by_a_name_of_the_list() -> None:
    require_pinned()
    for path, names in KEPT["modules"].items():
        module = importlib.import_module(path)
        found = [getattr(module, name) for name in names]
        assert [value for value in found if isinstance(value, type(json))] == []


@pytest.mark.parametrize(
    "name",
    [
        *("torch.load", "torch.save", "torch.from_file", "torch.hub", "torch.ops", "torch.jit"),
        *("torch.classes", "torch.UntypedStorage", "torch.get_device_module", "torch.fork"),
        *(
            "torch.set_default_tensor_type",
            "torch.PyTorchFileWriter",
            "torch.CompilationUnit",
            "torch.ScriptFunction",
        ),
        *("numpy.load", "numpy.save", "numpy.savez", "numpy.fromfile", "numpy.memmap"),
        *("numpy.loadtxt", "numpy.genfromtxt", "numpy.ctypeslib", "numpy.lib", "numpy.bmat"),
        *("numpy.f2py", "numpy.testing", "numpy.random.PCG64", "torch.nn.ParameterDict"),
    ],
)
def test_what_reaches_further_than_arithmetic_is_on_no_list(name: str) -> None:
    path, _, last = name.rpartition(".")
    assert last not in MODULES[path]
