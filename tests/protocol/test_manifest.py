"""A task's id is the hash of everything that its scores depend on."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from protocol.encoding import Value, decode, encode
from protocol.errors import Rejected
from protocol.manifest import MetricSpec, TaskManifest
from tests.protocol.examples import BASELINE, MANIFEST, PROGRAM_MANIFEST


def _map(manifest: TaskManifest) -> dict[str, Value]:
    value = manifest.to_value()
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize("manifest", [MANIFEST, PROGRAM_MANIFEST], ids=lambda entry: entry.name)
def test_a_manifest_survives_its_encoding(manifest: TaskManifest) -> None:
    value = decode(manifest.encoded)
    assert not isinstance(value, Rejected)
    assert TaskManifest.from_value(value) == manifest


def test_the_id_is_the_hash_of_the_encoding() -> None:
    assert MANIFEST.id == hashlib.sha256(encode(MANIFEST.to_value())).digest()


def test_the_baseline_tree_is_that_of_its_files() -> None:
    assert MANIFEST.baseline_tree == BASELINE.tree


@pytest.mark.parametrize(
    "change",
    [
        {"name": "tiny-long"},
        {"version": 2},
        {"files": (("train.py", bytes(32)),)},
        {"metric": replace(MANIFEST.metric, direction="max")},
        {"budget": replace(MANIFEST.budget, amount=1)},
        {"limits": replace(MANIFEST.limits, max_source_growth_bytes=0)},
        {"noise_floor_nano": 1},
        {"audit": replace(MANIFEST.audit, tau_nano=1)},
        {"data": ()},
        {"tokenizer": bytes(32)},
        {"vocabulary_size": 2},
        {"context": 1},
        {"scored_rows": 1},
        {"evaluator": "lm-bpb/2"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_field_is_part_of_the_id(change: Any) -> None:
    changed = replace(MANIFEST, **change)
    assert changed.id != MANIFEST.id
    assert TaskManifest.from_value(changed.to_value()) == changed


def test_fields_of_a_later_version_stay_part_of_the_id() -> None:
    metric = MANIFEST.metric.to_value()
    assert isinstance(metric, dict)
    for later in (
        {**_map(MANIFEST), "zz": 1},
        {**_map(MANIFEST), "metric": {**metric, "zz": 1}},
    ):
        manifest = TaskManifest.from_value(later)
        assert isinstance(manifest, TaskManifest)
        assert manifest.id == hashlib.sha256(encode(later)).digest() != MANIFEST.id
        assert manifest.to_value() == later
        assert replace(manifest, received=None) == MANIFEST


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"name": "../x"}, "name: does not match [a-z0-9-]{1,48}"),
        ({"name": ""}, "name: does not match [a-z0-9-]{1,48}"),
        ({"version": 0}, "version: 0 is not in 1 … 9007199254740991"),
        ({"kind": "Game"}, "kind: does not match [a-z0-9_-]{1,32}"),
        ({"files": ()}, "files: 0 items where 1 … 8 are allowed"),
        ({"files": (("b", bytes(32)), ("a", bytes(32)))},
         "files: not sorted by name, or a duplicate name"),
        ({"data": (("a", bytes(32)), ("a", bytes(32)))},
         "data: not sorted by name, or a duplicate name"),
        ({"files": (("a", bytes(31)),)}, "files: [0]: 31 bytes where 32 … 32 are allowed"),
        ({"noise_floor_nano": -1}, "noise_floor: -1 is not in 0 … 9007199254740991"),
        ({"tokenizer": None},
         "a language-model task needs tokenizer, vocabulary, context and scored_rows"),
        ({"scored_rows": 0},
         "a language-model task needs tokenizer, vocabulary, context and scored_rows"),
        ({"kind": "program"},
         "a program task has no tokenizer, vocabulary, context or scored_rows"),
        ({"evaluator": "lm-bpb"}, "evaluator: does not match [a-z0-9._-]{1,48}/[a-z0-9]{1,64}"),
    ],
)  # fmt: skip
def test_a_broken_manifest_is_rejected_with_its_field(change: Any, reason: str) -> None:
    assert TaskManifest.from_value(replace(MANIFEST, **change).to_value()) == Rejected(reason)


@pytest.mark.parametrize("names", [("sh", "cc"), ("sh", "sh")])
def test_toolchains_are_sorted_and_named_once(names: tuple[str, ...]) -> None:
    assert PROGRAM_MANIFEST.program is not None
    program = replace(PROGRAM_MANIFEST.program, toolchains=names)
    answer = TaskManifest.from_value(replace(PROGRAM_MANIFEST, program=program).to_value())
    assert answer == Rejected("program: toolchains: not sorted, or a duplicate")


def test_parts_are_checked_like_the_whole() -> None:
    for entry in ("metric", "budget", "limits", "audit"):
        value = _map(MANIFEST)
        part = value[entry]
        assert isinstance(part, dict)
        for name in part:
            answer = TaskManifest.from_value({**value, entry: {**part, name: -1}})
            assert isinstance(answer, Rejected), (entry, name)
            assert answer.reason.startswith(f"{entry}: {name}: ")
    assert MetricSpec.from_value([]) == Rejected("not a map")


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"module": "lib/sort.py"}, "needs exactly one of run, entry and module"),
        ({"vary": "argument seed"}, "vary: needs a module"),
        ({"run": None, "module": "lib/sort.py"}, "module: not possible with model budgets"),
        (
            {"run": None, "module": "lib/sort.py", "llm": None, "interactive": True},
            "module: not possible with interactive",
        ),
        (
            {"judge_files": (("b", bytes(32)), ("a", bytes(32)))},
            "judge_files: not sorted by name, or a duplicate name",
        ),
    ],
)
def test_a_module_stands_for_itself(changed: dict[str, Any], fault: str) -> None:
    assert PROGRAM_MANIFEST.program is not None
    program = replace(PROGRAM_MANIFEST.program, **changed)
    answer = TaskManifest.from_value(replace(PROGRAM_MANIFEST, program=program).to_value())
    assert answer == Rejected(f"program: {fault}")


@pytest.mark.parametrize(("vary", "scoring"), [(None, "public"), ("argument seed", "judged")])
def test_an_evaluator_that_asks_the_same_of_all_is_marked_and_ranked(
    vary: str | None, scoring: str
) -> None:
    assert PROGRAM_MANIFEST.program is not None
    program = replace(PROGRAM_MANIFEST.program, run=None, module="lib/sort.py", llm=None, vary=vary)
    manifest = replace(PROGRAM_MANIFEST, program=program)
    assert (manifest.scoring, manifest.is_ranked) == (scoring, True)
