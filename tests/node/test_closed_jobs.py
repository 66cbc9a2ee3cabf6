"""Finished jobs are read once, and their cache agrees with the store."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.home.home import Home
from node.line.baseline import BaselineStep
from node.line.reference_runs import ReferenceRunStep
from node.store.jobs import LineKey
from node.store.store import Store
from tests.node.examples import LINE

OTHER = LineKey(task=b"o" * 32, hardware_class=LINE.hardware_class)


def queue(store: Store, number: int, *, line: LineKey = LINE) -> int:
    return store.jobs.open_job(
        line, ReferenceRunStep(tree=bytes([number]) * 32), created_ms=number
    ).id


def ids(store: Store, after: int = 0) -> list[int]:
    return [job.id for job in store.jobs.closed_jobs(LINE, ReferenceRunStep, after=after)]


def test_a_finished_job_is_decoded_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[object] = []
    real = ReferenceRunStep.from_value
    monkeypatch.setattr(
        ReferenceRunStep, "from_value", lambda value: read.append(value) or real(value)
    )
    for number in range(5):
        store.jobs.close_job(queue(store, number))
        for _ in range(3):
            assert len(ids(store)) == number + 1
    assert len(read) == 5


def test_jobs_that_end_out_of_turn_stand_in_their_order(store: Store) -> None:
    first, second, third = (queue(store, number) for number in range(3))
    elsewhere = queue(store, 9, line=OTHER)
    assert ids(store) == []
    store.jobs.close_job(third)
    store.jobs.close_job(elsewhere)
    assert ids(store) == [third]
    store.jobs.close_job(first)
    assert ids(store) == [first, third]
    assert ids(store, after=first) == [third]
    store.jobs.close_job(second)
    assert ids(store, after=first) == [second, third]


def test_several_kinds_are_reported_in_one_order(store: Store) -> None:
    reference_run = queue(store, 1)
    baseline = store.jobs.open_job(LINE, BaselineStep(tree=b"b" * 32), created_ms=1).id
    later = queue(store, 2)
    for job_id in (later, baseline, reference_run):
        store.jobs.close_job(job_id)
    found = store.jobs.closed_jobs(LINE, ReferenceRunStep, BaselineStep)
    assert [job.id for job in found] == [reference_run, baseline, later]


def test_what_is_taken_back_was_never_finished(store: Store) -> None:
    kept, undone = queue(store, 1), queue(store, 2)
    store.jobs.close_job(kept)
    assert ids(store) == [kept]

    @store.transaction()
    def fail_after_closing() -> None:
        store.jobs.close_job(undone)
        assert ids(store) == [kept, undone]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_closing()
    assert ids(store) == [kept]


def test_a_finished_job_that_is_changed_is_read_again(store: Store) -> None:
    store.jobs.close_job(queue(store, 1))
    (job,) = store.jobs.closed_jobs(LINE, ReferenceRunStep)
    store.jobs.update_step(job, replace(job.step, tree=b"z" * 32))
    (again,) = store.jobs.closed_jobs(LINE, ReferenceRunStep)
    assert again.step.tree == b"z" * 32


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=10
)
@given(
    moves=st.lists(
        st.sampled_from(["open", "close the first", "close the last", "look"]), max_size=12
    )
)
def test_what_is_known_is_what_the_store_holds(home: Home, store: Store, moves: list[str]) -> None:
    waiting = [job.id for job in store.jobs.open_jobs(LINE, ReferenceRunStep)]
    for move in moves:
        if move == "open":
            waiting.append(queue(store, len(waiting) % 250))
        elif move == "look":
            ids(store)
        elif waiting:
            store.jobs.close_job(waiting.pop(0 if move == "close the first" else -1))
    with Store.open_read_only(home) as reader:
        assert ids(store) == ids(reader)
