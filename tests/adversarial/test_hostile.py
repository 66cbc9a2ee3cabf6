"""Sources that attack the machine: contained, each with its outcome, and the next run is clean.

The fast form of the table: what is refused and then goes on honestly shares a
run with others of its group, and the run that must be clean comes after all of them. The soak
plays each source alone, in all its variants.
"""

from collections.abc import Iterator
from itertools import groupby

import pytest

from tests.adversarial.attacks import HOSTILE, Attack, Host, hostile_host, run_attacks
from tests.adversarial.bench import Bench
from tests.adversarial.hostile_table import ATTACKS

FAST = [attack for attack in ATTACKS if attack.is_fast]
GROUPS = {
    group: list(attacks)
    for group, attacks in groupby(
        sorted((attack for attack in FAST if attack.group), key=lambda attack: str(attack.group)),
        key=lambda attack: str(attack.group),
    )
}
ALONE = [attack for attack in FAST if not attack.group and not attack.with_processes]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, bench: Bench) -> Iterator[Host]:
    with hostile_host(tmp_path_factory.mktemp("home"), bench.runner) as host:
        yield host


def play(attacks: list[Attack], bench: Bench, host: Host) -> list[str]:
    results = bench.loop.run(run_attacks(bench.runner, bench.honest, attacks, host))
    assert bench.watch.left_behind == []
    return [f"{result.name}: {result.fault}" for result in results if not result.contained]


@pytest.mark.parametrize("group", GROUPS)
def test_refused_attacks_go_on_honestly(group: str, bench: Bench, host: Host) -> None:
    assert play(GROUPS[group], bench, host) == []


@pytest.mark.parametrize("attack", ALONE, ids=lambda attack: attack.label)
def test_an_attack_is_contained(attack: Attack, bench: Bench, host: Host) -> None:
    faults = play([attack], bench, host)
    assert faults == []


def test_after_all_of_them_the_next_run_is_clean(bench: Bench) -> None:
    bench.check_that_the_next_run_is_clean()


@pytest.mark.parametrize(
    "attack",
    [attack for attack in ATTACKS if attack.with_processes],
    ids=lambda attack: attack.label,
)
def test_processes_end_with_their_sandbox(
    attack: Attack, bench_with_processes: Bench, host: Host
) -> None:
    assert play([attack], bench_with_processes, host) == []


def test_every_hostile_source_is_in_the_table_and_in_the_fast_form() -> None:
    sources = {path.stem for path in HOSTILE.glob("*.txt")} - {"preamble"}
    assert {attack.name for attack in ATTACKS} == sources
    assert sources == {attack.name for attack in FAST}
