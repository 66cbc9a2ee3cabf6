"""Several proposals for one slot, each prompt with the ones before; a reviewer chooses one."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from agent.completion import CompletionFault, ModelCost
from agent.model.reviewed import ReviewedProposer
from agent.model.reviewer import in_drawn_order
from agent.proposal import Context, NoProposal, Proposal
from tests.agent.contexts import TINY, context, crash
from tests.agent.scripted import SPENT, Model, proposer, replacing
from tests.agent.test_reviewer import reviewer

DEEPER = replacing(("LAYERS = 2", "LAYERS = 3"), title="Deeper")
WIDER = replacing(("WIDTH = 64", "WIDTH = 96"), title="Wider")
HEADS = replacing(("HEADS = 4", "HEADS = 8"), title="More heads")
AWAY = CompletionFault(kind="unreachable", detail="refused", cost=ModelCost(calls=1))


@dataclass(kw_only=True)
class ReviewedBench:
    """A reviewed proposer, with scripted models; `said` has the messages for people."""

    writer: Model
    judge: Model
    said: list[str] = field(default_factory=list)
    now_s: float = 0.0

    def __post_init__(self) -> None:
        self.proposer = ReviewedProposer(
            proposer(self.writer),
            reviewer(self.judge),
            say=self.said.append,
            clock_s=lambda: self.now_s,
        )

    def propose(self, **changes: Any) -> Proposal | NoProposal:
        return asyncio.run(self.proposer.propose(context(**changes)))

    def proposed(self, **changes: Any) -> Proposal:
        found = self.propose(**changes)
        assert isinstance(found, Proposal), found
        return found


def number_of(title: str, *titles: str, given: Context | None = None) -> int:
    """Return the number under which a reviewer sees the first of these titles."""
    return in_drawn_order(titles, seed=(given or context()).seed).index(title) + 1  # type: ignore[arg-type]


@pytest.mark.parametrize("title", ["Deeper", "Wider", "More heads"])
def test_the_chosen_one_has_the_slot_and_bears_the_cost_of_all(title: str) -> None:
    number = number_of(title, "Deeper", "Wider", "More heads")
    bench = ReviewedBench(
        writer=Model(DEEPER, WIDER, HEADS), judge=Model(f"CHOICE: {number}\nWHY: It is new.")
    )
    made = bench.proposed()
    assert made.title == title
    assert made.cost == SPENT + SPENT + SPENT + SPENT
    (said,) = bench.said
    assert said.startswith(f"the reviewer some/judge chose `{title}` of llm (some/model)")
    assert said.endswith(": It is new.")
    assert all(f"`{other}`" in said for other in ("Deeper", "Wider", "More heads"))


def test_each_is_shown_the_titles_of_those_before() -> None:
    bench = ReviewedBench(writer=Model(DEEPER, WIDER, HEADS), judge=Model("CHOICE: 1"))
    bench.propose()
    reported = [
        asked.messages[1].content.partition("# Proposed already")[2] for asked in bench.writer.asked
    ]
    assert reported[0] == ""
    assert ("| Deeper" in reported[1], "| Wider" in reported[1]) == (True, False)
    assert ("| Deeper" in reported[2], "| Wider" in reported[2]) == (True, True)


def test_the_same_program_twice_goes_back_to_the_model() -> None:
    again = replacing(("LAYERS = 2", "LAYERS = 3"), title="Three layers")
    bench = ReviewedBench(writer=Model(DEEPER, again, WIDER, HEADS), judge=Model("CHOICE: 1"))
    assert bench.proposed().cost.calls == 5
    assert "was run or proposed before" in bench.writer.asked[2].messages[-1].content


@pytest.mark.parametrize("answer", ["All are fine.", "CHOICE: 7", AWAY])
def test_without_a_word_of_the_reviewer_the_first_has_the_slot(
    answer: str | CompletionFault,
) -> None:
    bench = ReviewedBench(writer=Model(DEEPER, WIDER, HEADS), judge=Model(answer))
    made = bench.proposed()
    assert made.title == "Deeper"
    assert made.cost.calls == 4
    (said,) = bench.said
    assert said.endswith("; the first proposal is run instead")


def test_while_the_reviewer_is_left_alone_one_is_written_and_it_is_said_once() -> None:
    bench = ReviewedBench(
        writer=Model(*[DEEPER, WIDER, HEADS] * 4), judge=Model(AWAY, AWAY, "CHOICE: 1")
    )
    calls = []
    for bench.now_s in (0, 59, 61, 182):
        bench.writer.asked.clear()
        bench.writer._answers[:] = [DEEPER, WIDER, HEADS]
        bench.proposed()
        calls.append(len(bench.writer.asked))
    assert calls == [3, 1, 3, 3]
    assert len(bench.judge.asked) == 3
    assert [said.partition(" chose ")[1] for said in bench.said] == ["", " chose "]


def test_of_two_that_came_one_is_chosen() -> None:
    number = number_of("Wider", "Deeper", "Wider")
    bench = ReviewedBench(writer=Model(DEEPER, WIDER, AWAY), judge=Model(f"CHOICE: {number}"))
    made = bench.proposed()
    assert made.title == "Wider"
    assert made.cost == SPENT + SPENT + AWAY.cost + SPENT
    assert "1 to 2" in bench.judge.last_message


def test_one_alone_is_not_reviewed_and_bears_what_was_asked_in_vain() -> None:
    bench = ReviewedBench(writer=Model(DEEPER, AWAY), judge=Model())
    made = bench.proposed()
    assert made.title == "Deeper"
    assert made.cost == SPENT + AWAY.cost
    assert bench.said == []


def test_who_has_nothing_says_why() -> None:
    found = ReviewedBench(writer=Model(AWAY), judge=Model()).propose()
    assert isinstance(found, NoProposal)
    assert found.reason == "unreachable: refused"


def test_a_repair_is_not_reviewed() -> None:
    broken = TINY.replacing("train.py", TINY["train.py"].replace(b"HEADS = 4", b"HEADS = 0"))
    hint = replacing(("HEADS = 0", "HEADS = 2"))
    bench = ReviewedBench(writer=Model(hint), judge=Model())
    assert bench.proposed(crash=crash(broken)).key == "repair:1:llm:deeper"
    assert bench.judge.asked == []
