"""Tasks of any kind: the runner measures one without text like any other."""

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from protocol.errors import ConfigurationError
from protocol.source import Source
from trainer import task_kinds as kinds
from trainer.language_model.data import TaskData
from trainer.language_model.kind import LanguageModel
from trainer.measuring.cost import StageCosts
from trainer.measuring.host_load import HostLoad, LaneWork
from trainer.measuring.kind import NotThereYet, Request, Scores, TaskKind
from trainer.measuring.metering import RunFailed
from trainer.measuring.outcome import BaselineCost, Meter
from trainer.runner import Runner
from trainer.task_folder.task import Task
from trainer.task_kinds import KINDS, kind_of


@dataclass(kw_only=True)
class Lengths:
    """Runs without a program: a source's product is its file, and shorter is better."""

    watch: None = None
    baseline_cost: BaselineCost | None = None
    budget_tokens: int = 1
    metric_tolerance: float = 0.0
    asked: list[str] = field(default_factory=list)
    work: LaneWork = field(default_factory=LaneWork)

    async def run(self, request: Request, meter: Meter) -> bytes:
        self.asked.append("run")
        if self.asked == ["run", "score", "completed", "run"]:
            raise NotThereYet
        meter.cost = StageCosts(train_s=1.0)
        return request.source["train.py"]

    async def score(self, request: Request, product: bytes, meter: Meter) -> Scores:
        self.asked.append("score")
        if not product:
            raise RunFailed("rejected", "nothing was made")
        meter.has_rows = True
        if self.baseline_cost is None:
            self.baseline_cost = BaselineCost(cost=meter.cost, product=product)
        return Scores(
            answers=[len(product), request.incumbent],
            public_nano=len(product),
            secret_nano=len(product) + 1,
            audit=None,
        )

    async def judged(self, evidence: bytes, meter: Meter) -> Scores:
        raise RunFailed("rejected", "nothing is shown")

    async def grown(self) -> None:
        self.asked.append("grown")

    async def completed(self) -> None:
        self.asked.append("completed")

    def expect_no_more(self) -> None:
        self.asked.append("expect no more")

    async def close(self) -> None:
        self.asked.append("close")


class Measured(LanguageModel):
    """A kind of task that measures the length of its sources."""

    def __init__(self, lengths: Lengths) -> None:
        self._lengths = lengths

    def measuring(self, *_: object, **__: object) -> Lengths:  # type: ignore[override]
        return self._lengths


def runner_of_lengths(
    monkeypatch: pytest.MonkeyPatch, task: Task, data: TaskData
) -> tuple[Runner, Lengths]:
    lengths = Lengths()
    monkeypatch.setattr(HostLoad, "share", lambda _load: 0.0)  # else the baseline is scored again
    monkeypatch.setattr(kinds, "KINDS", {task.manifest.kind: Measured(lengths)})
    return Runner(task, data, audit_key=bytes(32), patience_s=0.0), lengths


def test_the_runner_measures_what_its_kind_runs_and_scores(
    monkeypatch: pytest.MonkeyPatch, short_task: Task, short_data: TaskData
) -> None:
    runner, lengths = runner_of_lengths(monkeypatch, short_task, short_data)
    source = Source.of({"train.py": b"x = 1"})

    async def measure() -> None:
        first = await runner.calibrate(1)
        size = len(short_task.source["train.py"])
        assert (first.status, first.metric_nano, first.secret_nano) == ("ok", size, size + 1)
        outcome = await runner.run(source, 2, incumbent="whatever its kind answers with")
        assert (outcome.metric_nano, outcome.answers) == (5, [5, "whatever its kind answers with"])
        empty = await runner.run(Source.of({"train.py": b""}), 3)
        assert (empty.status, empty.metric_nano, empty.answers) == ("rejected", None, None)
        await runner.close()

    asyncio.run(measure())
    again = ["run", "score", "completed", "run", "grown", "run", "score"]  # it waited for its data
    assert lengths.asked == [*again, "completed", "run", "score", "close"]


def test_a_task_of_a_kind_that_is_not_here_is_refused(short_task: Task) -> None:
    manifest = replace(short_task.manifest, kind="chess")
    with pytest.raises(ConfigurationError, match="unknown kind 'chess'") as caught:
        kind_of(manifest)
    assert "use one of: language-model" in caught.value.hint


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_the_harness_of_a_kind_is_one_that_sandboxes_show(kind: TaskKind) -> None:
    from trainer.sandbox.visible import HARNESSES, SHOWN_CODE

    assert kind.harness in HARNESSES
    assert (SHOWN_CODE[kind.harness] / "boot.py").is_file()
