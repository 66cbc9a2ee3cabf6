"""The values of hyperparameters in experiments: those changed, and those of the base."""

import zlib
from dataclasses import replace
from typing import Any

import pytest

from node.home.home import Home
from node.reporting.hyperparameters import hyperparameters_document
from node.reporting.open_home import BoardCache, OpenHome
from node.reporting.queries import OfHyperparameters
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.errors import UsageError
from protocol.record_kinds import Diff, Origin
from protocol.source import Source
from tests.node.examples import BASELINE, KEY, patch_body, result_body, run
from tests.node.line_writers import BASE_NANO, with_baseline


def source(number: int) -> Source:
    return Source.of({"train.py": b"LEARNING_RATE = %d.5\n" % number})


def tried(
    store: Store,
    base: Source,
    tree: Source,
    changes: dict[str, tuple[str, str]],
    *,
    stage: str = "screen",
    proposer: str = "search",
    metric_nano: int | None = BASE_NANO,
) -> None:
    """Record an experiment whose patch changed these constants."""
    lines = [f"-{name} = {old}\n+{name} = {new}\n" for name, (old, new) in changes.items()]
    text = "--- a/train.py\n+++ b/train.py\n@@ -1 +1 @@\n" + "".join(lines)
    body: Any = patch_body(base, tree, title=", ".join(changes) or "code")
    ready = replace(
        body, origin=Origin(proposer=proposer), diff=Diff(zlib=zlib.compress(text.encode()))
    )
    patch = store.append_own(KEY, ready, ts_ms=1_700_000_000_000)
    runs = (run(metric_nano),)
    result: Any = result_body(stage, runs, base=base, source=tree, patch=patch.id)
    store.append_own(KEY, result, ts_ms=1_700_000_000_000)


def document(home: Home, store: Store, name: str | None = None) -> Any:
    at = OpenHome(home=home, net="main", store=store, blobs=Blobs(home.blobs), boards=BoardCache())
    return hyperparameters_document(at, OfHyperparameters(name=name))


@pytest.fixture
def varied(home: Home, store: Store) -> Store:
    """Two kept patches, one on the other, and experiments on each of the three sources."""
    with_baseline(home, store)
    tried(store, BASELINE, source(1), {"DEPTH": ("4", "8")}, stage="keep")
    tried(store, source(1), source(2), {"LR": ("1e-3", "2e-3")}, stage="keep")
    tried(store, source(2), source(3), {"MODE": ('"a"', '"b"'), "DEPTH": ("8", "2**4")})
    tried(store, BASELINE, source(4), {"LR": ("1e-3", "5e-3")})
    tried(store, source(2), source(5), {})
    return store


def test_values_that_a_patch_left_alone_are_those_of_its_base(home: Home, varied: Store) -> None:
    found = document(home, varied)
    assert found["values"] == {
        "DEPTH": [8.0, 8.0, 16.0, 4.0],
        "LR": [0.001, 0.002, 0.002, 0.005],
        "MODE": ['"a"', '"a"', '"b"', '"a"'],
    }
    assert found["experiments"]["decision"] == ["kept", "kept", "discarded", "discarded"]
    assert found["experiments"]["metric"] == [1.5] * 4
    counts = {one["name"]: one["count"] for one in found["hyperparameters"]}
    assert counts == {"DEPTH": 2, "LR": 2, "MODE": 1}
    assert found["total"] == 4


def test_one_hyperparameter_has_the_experiments_that_changed_it(home: Home, varied: Store) -> None:
    found = document(home, varied, "LR")
    assert found["values"] == {"LR": [0.002, 0.005]}
    assert found["total"] == len(found["experiments"]["id"]) == 2
    assert document(home, varied, "NONE")["experiments"]["id"] == []


def test_promotion_trials_and_moves_are_left_out(home: Home, varied: Store) -> None:
    tried(varied, BASELINE, source(2), {"LR": ("1e-3", "2e-3")}, stage="confirm")
    tried(varied, BASELINE, source(6), {"LR": ("1e-3", "9")}, stage="keep", proposer="branch")
    assert document(home, varied, "LR")["values"] == {"LR": [0.002, 0.005]}


def test_a_value_that_no_patch_tells_is_unknown(home: Home, varied: Store) -> None:
    tried(varied, source(8), source(9), {"DECAY": ("0", "1")})  # the base is a peer's
    values = document(home, varied)["values"]
    assert values["DECAY"] == [None] * 4 + [1.0]
    assert values["LR"][-1] is None


def test_a_home_without_a_line_has_no_values(home: Home, store: Store) -> None:
    with pytest.raises(UsageError, match="nothing has been measured"):
        document(home, store)
