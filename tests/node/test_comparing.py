"""`compare`: two sources on trial by hand, with scripted runs in place of the sandbox's."""

import asyncio
import contextlib
import itertools
import json
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from node.commands import measure
from node.home.config import Config
from node.home.home import Home
from node.line import open_task as session
from node.line.open_task import Session
from node.on_demand import measuring
from node.on_demand import session as on_demand
from node.store.store import Store
from protocol.errors import UsageError
from protocol.source import Source
from tests.node.examples import BASELINE, MANIFEST
from tests.node.line_writers import proposal_of
from tests.node.scripted import CRASHED, OUTCOME, Bench, ScriptedRunner, better
from trainer.measuring.outcome import RunOutcome

EARLY = replace(CRASHED, serve_ms=0)  # before anything was scored
CANDIDATE = proposal_of(BASELINE, "0.200").source


@dataclass(kw_only=True)
class Mishaps(ScriptedRunner):
    """Runs, some of which end as `at` maps their number; the first is 1."""

    at: Mapping[int, RunOutcome] = field(default_factory=dict)

    async def run(self, source: Source, seed: int, **rest: Any) -> RunOutcome:
        number = len(self.started) + 1
        outcome = await super().run(source, seed, **rest)
        return replace(self.at.get(number, outcome), seed=seed)


Compare = Callable[..., Result]


@pytest.fixture
def compare(home: Home, store: Store, monkeypatch: pytest.MonkeyPatch) -> Compare:
    """`arnode compare baseline CANDIDATE`: pairs run the base first, with seeds 0, 2, 4, …"""

    def run(
        *flags: str,
        at: Mapping[int, RunOutcome],
        gains: bool = True,
        words: tuple[str, str] = ("baseline", "candidate"),
    ) -> Result:
        outcomes = dict([better("0.200")]) if gains else {}
        bench = Bench(home=home, store=store, runner=Mishaps(at=at, outcomes=outcomes))

        @contextlib.asynccontextmanager
        async def opened(_bench: object, takes: Callable[[float], str]) -> AsyncIterator[Session]:
            print(takes(30.0), file=sys.stderr)
            yield bench.session()

        class CommandSession:
            home, task = bench.home, bench.session().task

            def prior_runs(self) -> int:
                return 0

        sources = {"baseline": BASELINE, "candidate": CANDIDATE, "head": BASELINE}
        monkeypatch.setattr(measure, "find_command_session", lambda _task, _text: CommandSession())
        monkeypatch.setattr(measure, "find_source", lambda _home, _task, name: sources[name])
        monkeypatch.setattr(measure, "calibrated_session", opened)
        monkeypatch.setattr(measuring, "random_seed", itertools.count().__next__)
        return CliRunner().invoke(measure.compare, [*words, *flags])

    return run


def test_a_gain_is_confirmed_and_shown_pair_by_pair(compare: Compare) -> None:
    ended = compare(at={})
    assert ended.exit_code == 0
    takes, first, *rest = ended.stderr.splitlines()
    assert takes == "about 6 min, at most 16 min"
    assert first == "  A         B         (secret split)"
    assert rest[0].startswith("  1.499997  1.479997  evidence ")
    assert rest[-1].endswith("evidence 100% " + "█" * 20)
    assert ended.stdout.startswith("confirmed: gain +0.019796, 95 % interval +0.0")
    assert f" {len(rest)} pairs in 0 s" in ended.stdout


def test_a_head_that_is_still_the_baseline_is_called_one(compare: Compare) -> None:
    said = "the verified head is still the baseline"
    assert said in compare(at={}, words=("head", "candidate")).stderr
    assert said not in compare(at={}).stderr
    fault = compare(at={}, words=("head", "baseline")).exception
    assert isinstance(fault, UsageError)
    assert fault.message == f"A and B are the same source: {said}"
    assert "`working`" in fault.hint


def test_nothing_gained_stays_unconfirmed(compare: Compare) -> None:
    ended = compare("--json", at={}, gains=False)
    assert ended.exit_code == 5
    document = json.loads(ended.stdout)
    assert document["verdict"] == "unconfirmed"
    assert (document["base"], document["candidate"]) == (BASELINE.tree.hex(), CANDIDATE.tree.hex())
    assert document["runs"] == 2 * len(document["pairs"])


def test_a_candidate_that_crashes_ends_it_with_what_was_measured(compare: Compare) -> None:
    """The reason is shown in full, which a record would cut, however its base ended."""
    reason = "x" * 199 + "."
    for base in (OUTCOME, EARLY):
        ended = compare(at={3: base, 4: replace(CRASHED, reason=reason)})
        assert ended.exit_code == 1
        assert ended.stdout.startswith("unrunnable: gain +0.0195")
        assert ", too few pairs for an interval" in ended.stdout
        assert ", 1 pairs in " in ended.stdout
        assert ended.stderr.endswith(f"unrunnable: the candidate ended with crash: {reason}\n")


def test_a_base_that_crashes_before_a_row_is_run_once_more_in_its_pair(compare: Compare) -> None:
    ended = compare("--json", at={1: EARLY})
    document = json.loads(ended.stdout)
    assert (ended.exit_code, document["verdict"]) == (0, "confirmed")
    assert document["runs"] == 2 * len(document["pairs"]) + 1
    assert [pair["seed"] for pair in document["pairs"]][:2] == [0, 2]


@pytest.mark.parametrize("at", [{1: EARLY, 3: EARLY}, {1: EARLY, 4: EARLY}, {1: CRASHED}])
def test_a_base_that_crashes_twice_or_after_a_row_ends_it(
    compare: Compare, at: Mapping[int, RunOutcome]
) -> None:
    ended = compare("--json", at=at)
    assert ended.exit_code == 1
    assert json.loads(ended.stdout)["verdict"] == "unrunnable"
    assert "unrunnable: the base ended with crash: it fell over" in ended.stderr


def test_a_session_says_when_a_run_waits_for_a_quiet_minute(
    home: Home, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runner = ScriptedRunner()

    class Opened:
        data = SimpleNamespace(load_rest=lambda _progress: None)

        def __init__(self) -> None:
            self.runner = runner

        async def open(self) -> None:
            pass

        async def close(self) -> None:
            pass

    async def work() -> None:
        bench = SimpleNamespace(
            home=home,
            task=SimpleNamespace(manifest=MANIFEST),
            config=Config(),
        )
        async with on_demand.calibrated_session(
            bench,  # type: ignore[arg-type]
            lambda run_s: f"a run takes {run_s:.1f} s",
        ):
            runner.on_wait()

    device = SimpleNamespace(cuda=None)
    monkeypatch.setattr(on_demand, "probe_devices", lambda _manifest, _gpus: [device])
    monkeypatch.setattr(session, "open_session", lambda *_words, **_named: Opened())
    asyncio.run(work())
    before, _, after = capsys.readouterr().err.partition("waits for a quiet minute")
    assert "a run takes " in before
    assert after
