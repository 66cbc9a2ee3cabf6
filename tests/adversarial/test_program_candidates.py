"""Programs that want a better figure than they have earned, or more than is theirs: none gets it.

Each plays against a small honest task, and honest runs in between give what they gave before. In
tier full, and where this machine can give them in the tiers without namespaces.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.adversarial.bench import Watch
from tests.adversarial.candidate_table import CANDIDATES, HOSTILE, Hostile, Kind
from tests.adversarial.honest_runs import HonestRuns
from tests.trainer.program.tasks import HEAD, ONE_OF_EACH, Bench, figures, read, write_task
from trainer.measuring.outcome import RunOutcome
from trainer.program import building, stopwatch
from trainer.sandbox.tier import TierName

JUDGE = (Path(__file__).parent / "candidates/judge.txt").read_text()
PREAMBLE = (CANDIDATES / "preamble.txt").read_text()
CALLED = "\n\ndef solve(problem):\n    return honest(problem)\n"
COMMAND = "\nprint(json.dumps(honest(json.load(sys.stdin))))\n"
FILED = "\njson.dump(honest(json.load(open(sys.argv[1]))), open(sys.argv[2], 'w'))\n"
LOOKS = """
if any(os.path.lexists(name) for name in ("a.py", "b.py", "d.py", "e.py", "deep/c.py")):
    escaped("a link that was built")
"""
METRIC = """\
[metric]
name = "missing"
unit = "share"
direction = "min"
max_step = 1.0
"""
LIMITED = HEAD.replace("memory_gb = 1.0", "memory_gb = 0.25") + "answer_mb = 1\n"
# Of functions one more, so that there is something to find of the ones before.
INSTANCES = {
    "called": "[instances]\npublic = 2\nsecret = 1\n",
    "batch": "[instances]\npublic = 2\nsecret = 2\n",
}
BOUND = "[bound]\nbest_known = 0.0\nimpossible = 0.0\n"
AS_COMMAND = 'editable = ["solve.py"]\nrun = ["python", "solve.py"]\nencoding = "json"\n'
HOW: dict[Kind, str] = {
    "called": 'editable = ["solve.py"]\nentry = "solve.py:solve"\n',
    "batch": 'editable = ["solve.py"]\nentry = "solve.py:solve"\nisolation = "batch"\n',
    "command": AS_COMMAND,
    "processes": AS_COMMAND + "threads = 2\n",
    "file": 'editable = ["solve.py"]\nrun = ["python", "solve.py", "{in}", "{out}"]\n'
    'encoding = "json"\nthreads = 2\n',
    "built": 'editable = ["build.py", "solve.py"]\nentry = "solve.py:solve"\n'
    'build = ["python", "build.py"]\n',
}
HASTE_S = 1.0  # for what is about a limit of time


def sources(kind: Kind, text: str | None = None) -> dict[str, str]:
    """Return the files of an honest program, or of a hostile one with this text in it."""
    match kind:
        case "called" | "batch":
            return {"solve.py": PREAMBLE + (text or CALLED)}
        case "built":
            return {"build.py": PREAMBLE + (text or ""), "solve.py": PREAMBLE + LOOKS + CALLED}
    honest = FILED if kind == "file" else COMMAND
    return {"solve.py": PREAMBLE + (honest if text is None else text)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A task for hostile programs: its bench and the score of honest work."""

    bench: Bench
    honest: tuple[int | None, int | None]
    runs: HonestRuns


class Place:
    """The honest tasks of one tier, each with a bench that is made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open = ExitStack()
        self._made: dict[Kind, Played] = {}

    def task(self, kind: Kind) -> Played:
        """Return a task with its bench."""
        if kind not in self._made:
            task = read(
                write_task(
                    self._folder / kind,
                    head=LIMITED,
                    how=HOW[kind],
                    metric=METRIC,
                    instances=INSTANCES.get(kind, ONE_OF_EACH),
                    more=BOUND,
                    judge=JUDGE,
                    judging="limit_s = 2\n",
                    files=sources(kind),
                )
            )
            bench = self._open.enter_context(Bench(task))
            honest = figures(bench.calibrate())
            runs = HonestRuns(bench, honest)
            self._open.callback(runs.check)
            self._made[kind] = Played(bench=bench, honest=honest, runs=runs)
        return self._made[kind]

    def close(self) -> None:
        self._open.close()


@pytest.fixture(scope="module")
def place(
    tier: TierName, watch: Watch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    place = Place(tmp_path_factory.mktemp(tier))
    yield place
    place.close()
    assert watch.left_behind == []


def play(hostile: Hostile, bench: Bench, patch: pytest.MonkeyPatch) -> RunOutcome:
    """Run a hostile program, with little time where that is what it is about."""
    with patch.context() as hurried:
        if hostile.hangs and hostile.kind == "built":
            hurried.setattr(building, "_LIMIT_S", 2 * HASTE_S)
        elif hostile.hangs:
            hurried.setattr(bench.stages._candidate, "_limit_s", HASTE_S)
            hurried.setattr(stopwatch, "_MOST_STRETCH", 1.2)
        return bench.run(*sources(hostile.kind, hostile.text).values())


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.name)
def test_a_hostile_program_gains_nothing_and_leaves_nothing(
    hostile: Hostile, place: Place, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = place.task(hostile.kind)
    with task.runs.after(hostile.name):
        outcome = play(hostile, task.bench, monkeypatch)
        reported = (outcome.status, outcome.reason, outcome.log_tail)
        assert "ESCAPED" not in f"{reported}", reported
        assert outcome.status in hostile.ends, reported
        if outcome.status == "ok":
            found = outcome.metric_nano, outcome.secret_nano
            both = zip(found, task.honest, strict=True)
            assert all(one is not None and one >= known for one, known in both if known is not None)
            assert not hostile.is_as_good or found == task.honest, reported
        else:
            assert outcome.metric_nano is outcome.secret_nano is None
            assert outcome.reason is not None
            assert hostile.says in outcome.reason or "secret split" in outcome.reason, reported
            assert outcome.reason.isprintable()
        assert watch.left_behind == []


def test_every_hostile_program_is_in_the_table() -> None:
    names = {path.stem for path in CANDIDATES.glob("*.txt")} - {"preamble", "judge"}
    assert {hostile.name for hostile in HOSTILE} == names
    assert len(HOSTILE) == len(names)


def test_the_judge_takes_what_is_honest_and_the_best(place: Place) -> None:
    """So that none of the table is refused because everything is."""
    task = place.task("called")
    best = replace(HOSTILE[0], kind="called")
    text = CALLED.replace(
        "return honest(problem)",
        'worth = lambda one: problem["values"][one] / problem["sizes"][one]\n'
        "    order = sorted(range(6), key=worth, reverse=True)\n"
        '    left, shares = problem["room"], [0.0] * 6\n'
        "    for number in order:\n"
        '        shares[number] = min(1.0, max(0.0, left / problem["sizes"][number]))\n'
        '        left -= shares[number] * problem["sizes"][number]\n'
        '    return {"shares": shares, "total": 0}',
    )
    public, secret = figures(task.bench.run(*sources(best.kind, text).values()))
    assert (public, secret) == (0, 0)
    assert all(known is not None and known > 0 for known in task.honest)
