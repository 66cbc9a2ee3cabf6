"""Tags of experiments and the constants that patches changed: stored, filtered and sorted."""

import json
import zlib
from dataclasses import replace
from typing import Any

import pytest

from node.home.home import Home
from node.running.answers import answers_of
from node.store.experiment_filter import Filter, SortOrder
from node.store.salvage import salvage
from node.store.store import Store
from node.store.tags import MOST_TAGS, STAR
from protocol.errors import UsageError
from protocol.record_kinds import Diff
from protocol.records import Record
from tests.node.examples import BASELINE, BETTER, KEY, LINE, patch_body, result_body, run
from tests.node.line_writers import with_baseline
from tests.node.test_commands import arnode
from tests.node.test_live import node_of
from tests.node.test_page_api import answer, ask

HOSTILE_VALUE = '"<script>window.__hurt=1</script>"'


def experiment(store: Store, changes: str, title: str = "a change") -> Record:
    """Record an experiment of a patch with this diff."""
    diff = Diff(zlib=zlib.compress(f"--- a/train.py\n+++ b/train.py\n@@\n{changes}".encode()))
    now_ms = len(store.records.own()) + 1
    patch = store.append_own(
        KEY, replace(patch_body(BASELINE, BETTER, title=title), diff=diff), ts_ms=now_ms
    )
    body = result_body("screen", (run(),), source=BETTER, patch=patch.id)
    return store.append_own(KEY, body, ts_ms=now_ms)


def titles(store: Store, wanted: Filter, by: str = "ts", *, is_rising: bool = True) -> list[str]:
    _, found = store.experiments.page(wanted, order=SortOrder(by=by, is_rising=is_rising), limit=-1)
    return [one.title for one in found]


def test_experiments_are_sorted_by_the_new_value_of_a_constant(store: Store) -> None:
    for new in ("9", "1e1", '"auto"', "-3"):
        experiment(store, f"-RATE = 1\n+RATE = {new}\n", title=new)
    experiment(store, "-SIZE = 1\n+SIZE = 2\n", title="none")
    assert titles(store, Filter(), "RATE") == ["-3", "9", "1e1", '"auto"', "none"]
    assert titles(store, Filter(), "RATE", is_rising=False) == ["1e1", "9", "-3", '"auto"', "none"]


def test_the_changed_constants_are_derived_again(store: Store) -> None:
    made = experiment(store, f"-RATE = 1\n+RATE = {HOSTILE_VALUE}\n")
    entry = store.experiments.find(made.id)
    assert entry is not None
    assert entry.patch is not None
    wanted = {entry.patch: {"RATE": ("1", HOSTILE_VALUE)}}
    assert store.experiments.constants.of([entry.patch]) == wanted
    store.rebuild()
    assert store.experiments.constants.of([entry.patch]) == wanted
    assert store.experiments.counts("constant", Filter()) == {"RATE": 1}


def test_a_diff_that_is_no_diff_changes_nothing(store: Store) -> None:
    many = "".join(f"-A{one} = 1\n+A{one} = 2\n" for one in range(500))
    experiment(store, many)
    assert len(store.experiments.counts("constant", Filter())) == 100
    broken = replace(patch_body(BASELINE, BETTER), diff=Diff(zlib=b"no zlib"))
    patch = store.append_own(KEY, broken, ts_ms=1)
    store.append_own(KEY, result_body("screen", (run(),), patch=patch.id), ts_ms=2)
    assert store.experiments.constants.of([patch.id]) == {}


def test_experiments_are_found_by_tag_time_and_id(store: Store) -> None:
    one, other = (experiment(store, "", title=title) for title in ("one", "other"))
    store.tags.change(one.id, add=["good", STAR])
    assert titles(store, Filter(tags=("good",))) == ["one"]
    assert titles(store, Filter(tags=(STAR, "good"))) == ["one"]
    assert titles(store, Filter(tags=("goo", STAR))) == []
    assert titles(store, Filter(words=other.id.hex()[:9].upper())) == ["other"]
    assert titles(store, Filter(since_ms=other.ts_ms)) == ["other"]
    assert store.experiments.counts("tag", Filter()) == {"good": 1, STAR: 1}


def test_tags_outlive_a_restart_a_rebuild_and_a_damaged_store(home: Home) -> None:
    with Store.open(home) as store:
        made = experiment(store, "")
        assert store.tags.change(made.id, add=["b", "a"]) == ("a", "b")
        store.rebuild()
    salvage(home)
    with Store.open_read_only(home) as store:
        assert store.tags.of([made.id]) == {made.id: ("a", "b")}


@pytest.mark.parametrize("tag", ["", "A", "a b", "a\n", "<b>", "-a", "ä", "x" * 25])
def test_a_tag_is_a_short_word(store: Store, tag: str) -> None:
    made = experiment(store, "")
    with pytest.raises(UsageError, match="is not a tag"):
        store.tags.change(made.id, add=[tag])
    assert store.tags.of([made.id]) == {}


def test_an_experiment_has_few_tags(store: Store) -> None:
    made = experiment(store, "")
    names = [f"t{one}" for one in range(MOST_TAGS)]
    store.tags.change(made.id, add=names)
    with pytest.raises(UsageError, match="at most"):
        store.tags.change(made.id, add=["more"])
    assert len(store.tags.change(made.id, add=["more"], remove=["t0"])) == MOST_TAGS


def test_no_record_has_a_tag(store: Store) -> None:
    made = experiment(store, "")
    before = store.records.count()
    store.tags.change(made.id, add=["secret-plan"])
    assert store.records.count() == before
    assert not any(b"secret-plan" in one.wire for one in store.records.own())


def test_the_owner_tags_over_the_api_and_the_commands_show_it(
    home: Home, store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_baseline(home, store)
    node = node_of(home, store)
    wanted = store.experiments.listed(LINE)[0].id.hex()

    async def work(visitor: Any) -> Any:
        path = f"experiments/{wanted}/tags"
        return (
            await visitor.post(path, {"add": ["good", STAR]}),
            await visitor.post(path, {"remove": [STAR]}),
            await visitor.post(path, {"add": ["<b>"]}),
            await visitor.post(path, {"add": ["a\n"]}),
            await visitor.post("experiments/0000/tags", {"add": ["good"]}),
        )

    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    answers = answers_of(node)
    found = ask(home, work, answers=answers)
    assert [one.status for one in found] == [200, 200, 400, 400, 400], [one.text for one in found]
    assert found[1].json["tags"] == ["good"]
    (logged,) = json.loads(arnode(capsys, "log", "--json"))["experiments"]
    assert logged["tags"] == ["good"]
    assert "tags: good" in arnode(capsys, "show", wanted[:12])
    (row,) = answer(home, "experiments?tag=good").json["experiments"]
    assert row["id"] == wanted
    assert ask(home, work, answers=answers, right="read")[0].status == 403


def test_what_a_list_can_be_filtered_by_is_counted(home: Home, store: Store) -> None:
    with_baseline(home, store)
    made = experiment(store, f"-RATE = 1\n+RATE = {HOSTILE_VALUE}\n")
    store.tags.change(made.id, add=["good"])
    found = answer(home, "experiments/filters").json
    assert found["total"] == 2
    assert found["hyperparameters"] == [{"value": "RATE", "count": 1}]
    assert found["tags"] == [{"value": "good", "count": 1}]
    assert {one["value"]: one["count"] for one in found["decisions"]} == {
        "baseline": 1,
        "discarded": 1,
    }
    (row,) = answer(home, "experiments?sort=RATE&limit=1").json["experiments"]
    assert row["changes"] == {"RATE": ["1", HOSTILE_VALUE]}
    assert answer(home, "experiments?sort=rate").status == 400
    assert answer(home, "experiments?since=tomorrow").status == 400
    assert answer(home, "experiments?since=1d").status == 200
    assert answer(home, "experiments?tag=good").json["total"] == 1
    assert answer(home, "experiments?tag=good,star").json["total"] == 0
    assert answer(home, "experiments?tag=good,").status == 400
