"""Two programs in blocks: evidence of pairs, changed texts, a day's limits."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.home.config import Config
from node.home.home import Home
from node.on_demand.block import BlockEnd, Contender, left_of
from node.on_demand.kept_lines import kept_lines
from node.on_demand.programs import (
    BlockGain,
    BlockPair,
    Comparing,
    PairEvidence,
    ProgramComparison,
    fewest_pairs,
    known_after,
    task_at,
)
from node.on_demand.session import CommandSession
from node.proposing.budget import limit_reached
from node.store import model_calls
from node.store.model_calls import Charge, ModelCostLimits
from node.store.store import Store
from protocol.units import NANO
from tests.conftest import SHORT_TASK
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task

HERE = bytes(32)
HALF_AN_HOUR = 0.5
END = BlockEnd(tree=bytes([7]) * 32, experiments=5, own=3, usd_nano=20_000_000)
DAY_MS = 86_400_000


def pair(a: float, b: float, *, setting: bytes = HERE) -> BlockPair:
    gains = [BlockGain(end=END, gain_nano=round(gain * NANO), ran=True) for gain in (a, b)]
    return BlockPair(setting=setting, a=gains[0], b=gains[1], a_first=True, ms=60_000)


def evidence(*gains: tuple[float, float]) -> PairEvidence:
    return PairEvidence(tuple(pair(a, b) for a, b in gains), HALF_AN_HOUR)


def test_who_brings_more_in_every_pair_is_known_and_by_how_much_an_hour() -> None:
    found = evidence(*[(0.31, 0.1), (0.29, 0.11), (0.3, 0.09)] * 5)
    lower, upper = found.interval
    assert found.verdict == "a"
    assert found.difference == pytest.approx(0.4)
    assert 0 < lower < 0.4 < upper
    assert (found.gain_per_hour("a"), found.gain_per_hour("b")) == pytest.approx((0.6, 0.2))


def test_few_pairs_show_nothing_however_clear_they_are() -> None:
    clear = [(0.3, 0.1 + 0.001 * number) for number in range(fewest_pairs())]
    assert evidence(*clear[:-1]).verdict == "open"
    assert 8 <= fewest_pairs() <= 12
    assert evidence(*clear, *clear).verdict == "a"


def test_two_that_find_nothing_are_never_distinguished() -> None:
    assert evidence(*[(0.0, 0.0)] * 50).verdict == "open"
    assert evidence().verdict == "open"


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), max_size=25))
def test_the_two_are_treated_alike(gains: list[tuple[float, float]]) -> None:
    swapped = evidence(*[(b, a) for a, b in gains])
    turned = {"a": "b", "b": "a", "open": "open"}
    assert turned[evidence(*gains).verdict] == swapped.verdict


def test_equals_are_distinguished_by_chance_in_fewer_than_one_of_twenty() -> None:
    """Half of the blocks find nothing, the others what scatters by its own size, to 40 pairs."""
    chance = random.Random(1)

    def block() -> float:
        return chance.expovariate(10) if chance.random() < 0.5 else 0.0

    repetitions = 300
    ended = [known_after([block() - block() for _ in range(40)])[1] for _ in range(repetitions)]
    assert sum(verdict != "open" for verdict in ended) / repetitions < 0.05


def comparing(task: Task, *, bold: bytes = b"Be bold.") -> Comparing:
    sides = [
        Contender(name=name, agents=("small",), texts=(("short.md", text),))
        for name, text in (("bold.md", bold), ("timid.md", b"Be timid."))
    ]
    return Comparing(
        sides={"a": sides[0], "b": sides[1]}, task=task, folder="short", block_s=60.0, runs=3
    )


def test_what_was_played_before_is_there_again_if_nothing_changed(
    home: Home, tmp_path: Path
) -> None:
    task = load_task(SHORT_TASK, data_dir=home.data)
    command = CommandSession(home=home, config=Config(), task=task)
    first = comparing(task)
    kept = pair(0.3, 0.1, setting=first.setting)
    with kept_lines(tmp_path / "kept.jsonl", is_fresh=False) as lines:
        lines.append(kept)
        lines.append(pair(0.3, 0.1, setting=HERE))
    with kept_lines(tmp_path / "kept.jsonl", is_fresh=False) as lines:
        again = ProgramComparison(command, first, lines, tmp_path / "blocks")
        longer = replace(first, block_s=61.0)
        other = ProgramComparison(command, longer, lines, tmp_path / "blocks")
        assert again.evidence.pairs == (kept,)
        assert other.evidence.pairs == ()
    assert comparing(task, bold=b"Be bolder.").setting != first.setting


def test_another_head_is_the_baseline_of_a_task_of_its_own(home: Home, tmp_path: Path) -> None:
    task = load_task(SHORT_TASK, data_dir=home.data)
    assert task_at(home, task, str(SHORT_TASK), task.source, tmp_path) == (task, str(SHORT_TASK))
    path, text = task.source.files[0]
    head = task.source.replacing(path, text + b"# a head\n")
    made, folder = task_at(home, task, str(SHORT_TASK), head, tmp_path)
    assert (made.source.tree, made.name) == (head.tree, task.name)
    assert made.id != task.id
    assert load_task(folder, data_dir=home.data).id == made.id
    again, _ = task_at(home, task, str(SHORT_TASK), head, tmp_path)
    assert again.id == made.id


def spend(home: Home, *charges: Charge, is_visit: bool = False) -> None:
    with Store.open(home) as store:
        for charge in charges:
            number = model_calls.reserve(
                store.database,
                limits=ModelCostLimits(),
                model="small",
                most=charge,
                now_ms=DAY_MS,
                is_visit=is_visit,
            )
            assert isinstance(number, int)
            assert model_calls.settle(store.database, number, charge)


def test_homes_share_a_days_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.on_demand.block.clock_ms", lambda: DAY_MS)
    homes = [Home(tmp_path / name) for name in ("own", "a", "b", "unused")]
    spend(homes[0], Charge(tokens_in=10, tokens_out=5, usd_nano=100))
    spend(homes[1], *[Charge(tokens_in=100, tokens_out=50, usd_nano=1_000)] * 2, is_visit=True)
    limits = ModelCostLimits(usd_nano=2_500, tokens=None, calls=2, visits=50)
    left = left_of(limits, homes)
    assert left == ModelCostLimits(usd_nano=400, tokens=None, calls=0, visits=48)


def test_a_limit_is_met_when_another_question_like_the_largest_would_pass_it(home: Home) -> None:
    spend(
        home,
        Charge(tokens_in=10, tokens_out=5, usd_nano=100),
        Charge(tokens_in=100, tokens_out=50, usd_nano=900),
    )

    def met(**limits: int) -> str | None:
        with Store.open_read_only(home) as store:
            return limit_reached(store, ModelCostLimits(**limits), DAY_MS)

    assert met(usd_nano=1_900, tokens=315, calls=3) is None
    assert met(usd_nano=1_899) == "usd_per_day"
    assert met(tokens=314) == "tokens_per_day"
    assert met(calls=2) == "calls_per_day"
    assert met(visits=0) is None
