"""A model's answer is stored, and repeated for the same request at the same place of a run."""

import asyncio
from dataclasses import dataclass, field

from trainer.measuring.models import (
    KeptModels,
    ModelAnswer,
    ModelFault,
    ModelMessage,
    ModelOutcome,
    ModelQuestion,
    stepped,
)


@dataclass
class Slow:
    """A model whose answers take seconds, by a clock that only it and sleeping tasks advance."""

    takes_s: float = 1.0
    now_s: float = 100.0
    asked: int = 0
    waits_s: list[float] = field(default_factory=list)
    fault: ModelFault | None = None

    async def ask(self, question: ModelQuestion) -> ModelOutcome:
        self.asked += 1
        await asyncio.sleep(0)
        self.now_s += self.takes_s
        return self.fault or ModelAnswer(text=str(self.asked), tokens_in=1, tokens_out=1)

    async def sleep(self, wait_s: float) -> None:
        self.waits_s.append(wait_s)
        self.now_s += wait_s

    def kept(self) -> KeptModels:
        return KeptModels(self, clock_s=lambda: self.now_s, sleep=self.sleep)


def question(text: str = "hi", seed: int = 1) -> ModelQuestion:
    message = ModelMessage(role="user", content=text)
    return ModelQuestion(
        model="small", messages=(message,), parameters="{}", most_tokens=9, seed=seed
    )


def test_a_kept_answer_takes_as_long_as_the_first_and_asks_nobody() -> None:
    slow = Slow(takes_s=1.3)

    async def twice() -> list[float]:
        kept, took = slow.kept(), []
        for _ in range(2):
            began_s = slow.now_s
            await kept.ask(question(), run_seed=1, turn=0)
            took.append(slow.now_s - began_s)
        return took

    first_s, again_s = asyncio.run(twice())
    assert slow.asked == 1
    assert abs(first_s - again_s) < 1e-9
    assert 1.3 <= first_s < 1.3 * 2**0.25


def test_who_asks_at_the_same_time_waits_for_one_answer() -> None:
    slow = Slow()

    async def at_once() -> list[ModelOutcome]:
        kept = slow.kept()
        asked = [kept.ask(question(), run_seed=1, turn=0) for _ in range(3)]
        return await asyncio.gather(*asked)

    assert len(set(asyncio.run(at_once()))) == 1
    assert slow.asked == 1


def test_another_place_turn_run_or_question_is_asked_again() -> None:
    slow = Slow()

    async def all_of_them() -> None:
        kept = slow.kept()
        for _ in range(2):
            await kept.ask(question(), run_seed=1, turn=0)
            await kept.ask(question(), run_seed=1, turn=1)
            await kept.ask(question(), run_seed=2, turn=0)
            await kept.ask(question(seed=2), run_seed=1, turn=0)
            await kept.ask(question("ho"), run_seed=1, turn=0)

    asyncio.run(all_of_them())
    assert slow.asked == 5


def test_a_fault_is_not_kept() -> None:
    slow = Slow(fault=ModelFault(detail="away", is_askers=False))

    async def twice() -> None:
        kept = slow.kept()
        for _ in range(2):
            await kept.ask(question(), run_seed=1, turn=0)

    asyncio.run(twice())
    assert slow.asked == 2


def test_answers_of_old_runs_are_forgotten() -> None:
    slow = Slow()

    async def many() -> None:
        kept = slow.kept()
        for seed in (*range(20), 0):
            await kept.ask(question(), run_seed=seed, turn=0)

    asyncio.run(many())
    assert slow.asked == 21


def test_times_that_are_alike_are_the_same() -> None:
    assert stepped(0.0) == 0.0
    assert stepped(1.0) == 1.0
    assert stepped(1.01) == stepped(1.18)
    assert stepped(0.0011) >= 0.0011
