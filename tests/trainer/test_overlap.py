"""The stages of two runs in a row that may overlap on a device."""

import asyncio
import threading
from collections.abc import Callable, Iterable

import pytest

from tests.trainer.counting import counted
from tests.trainer.runners import brief, runner_of
from trainer.language_model.data import TaskData
from trainer.language_model.scoring import ScoredRows
from trainer.language_model.secret_splits import SecretSplits
from trainer.measuring.outcome import RunOutcome
from trainer.measuring.timeline import Part, Stage
from trainer.task_folder.task import Task


def two_runs(
    task: Task, data: TaskData, *, on_second_trained: Callable[[], None] = lambda: None
) -> list[RunOutcome]:
    """Return two runs, the second started as soon as it may train."""

    async def measure() -> list[RunOutcome]:
        runner = runner_of(task, data)
        try:
            trained = asyncio.Event()
            first = asyncio.create_task(runner.run(task.source, 1, on_trained=trained.set))
            await trained.wait()
            second = await runner.run(task.source, 2, on_trained=on_second_trained)
            return [await first, second]
        finally:
            await runner.close()

    return asyncio.run(measure())


def spans(stages: Iterable[Stage], *wanted: tuple[Part, str]) -> list[tuple[int, int]]:
    return [(one.start_ms, one.end_ms) for one in stages if (one.part, one.name) in wanted]


def overlap_ms(some: list[tuple[int, int]], others: list[tuple[int, int]]) -> int:
    return sum(
        max(0, min(end, its_end) - max(start, its_start))
        for start, end in some
        for its_start, its_end in others
    )


SCORING: tuple[tuple[Part, str], ...] = (
    ("score", "load"), ("score", "score"), ("audit", "load"), ("audit", "score"),
)  # fmt: skip


@pytest.mark.soak
def test_with_a_clock_nothing_stands_next_to_training_and_building_stands_next_to_scoring(
    seconds_task: Task, seconds_data: TaskData
) -> None:
    first, second = two_runs(seconds_task, seconds_data)
    assert (first.status, second.status) == ("ok", "ok")
    scoring = spans(first.stages, *SCORING)
    assert scoring
    assert overlap_ms(spans(second.stages, ("train", "train")), scoring) == 0
    assert overlap_ms(spans(second.stages, ("train", "export")), scoring) == 0
    assert overlap_ms(spans(second.stages, ("train", "build")), scoring) > 0
    found = counted([*first.stages, *second.stages])
    assert found is not None
    assert found.gaps_ms[0] >= sum(end - start for start, end in scoring)


@pytest.mark.soak
def test_with_a_budget_of_tokens_training_stands_next_to_scoring(
    short_task: Task, short_data: TaskData, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_second_trained, draw = threading.Event(), SecretSplits.draw

    def drawn_late(splits: SecretSplits, key: bytes | None) -> ScoredRows:
        """Draw the scored rows only after the second run is trained, even on a slow machine."""
        assert is_second_trained.wait(300), "the second run waits for the scoring of the first"
        return draw(splits, key)

    monkeypatch.setattr(SecretSplits, "draw", drawn_late)
    first, second = two_runs(brief(short_task), short_data, on_second_trained=is_second_trained.set)
    assert (first.status, second.status) == ("ok", "ok")
    [(_, trained_ms)] = spans(second.stages, ("train", "train"))
    assert all(trained_ms <= start_ms for start_ms, _ in spans(first.stages, *SCORING))
