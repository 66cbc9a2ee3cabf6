"""Programs that want a better score of an imported evaluator than they earn: none gets it."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from protocol.errors import ArnodeError
from protocol.units import NANO
from tests.adversarial.bench import Watch
from tests.adversarial.evaluator_table import BEST, BY_CHILD, CHEATS, HONEST, IN_PROCESS
from tests.adversarial.honest_runs import HonestRuns
from tests.trainer.program.evaluators import CALLED, SCORE, evaluated
from tests.trainer.program.tasks import HEAD, ONE_OF_EACH, Bench, figures, read, write_task
from trainer.sandbox.tier import probe_tier

pytestmark = pytest.mark.skipif(probe_tier().name != "full", reason="takes sandbox tier full")

LIMITED = HEAD.replace("memory_gb = 1.0", "memory_gb = 0.25").replace("limit_s = 20", "limit_s = 2")
HONEST_NANO = (800_000_000, 800_000_000)
WAYS = {"in its process": IN_PROCESS, "by a child": BY_CHILD}


@pytest.fixture(scope="module", params=WAYS)
def played(
    request: pytest.FixtureRequest, watch: Watch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Bench, HonestRuns]]:
    folder = write_task(
        tmp_path_factory.mktemp("evaluated"),
        head=LIMITED,
        how=CALLED,
        metric=SCORE,
        instances=ONE_OF_EACH,
        judge=WAYS[request.param],
        judging="limit_s = 20\n",
        more="[guards.level]\nmost = 1.0\n",
        files={"solve.py": HONEST},
    )
    with ExitStack() as stack:
        bench = stack.enter_context(Bench(read(folder)))
        assert figures(bench.calibrate()) == HONEST_NANO
        runs = HonestRuns(bench, HONEST_NANO)
        yield bench, runs
        runs.check()


def test_what_an_evaluator_leaves_running_ends_with_it(watch: Watch, tmp_path: Path) -> None:
    body = """\
    import os, subprocess, sys
    sleeping = "import os, time; os.setsid(); os.fork(); time.sleep(600)"
    for _ in range(3):
        subprocess.Popen([sys.executable, "-c", sleeping], start_new_session=True)
    if not os.fork():
        while True:
            pass
    return {"score": float(sum(imported(path).solve([1, 2])))}"""
    with Bench(evaluated(tmp_path, body)) as bench:
        assert figures(bench.calibrate()) == (6_000_000_000, 6_000_000_000)
    assert watch.left_behind == []


@pytest.mark.parametrize(
    ("score", "says"),
    [
        ("float('nan')", "not finite"),
        ("True", "not a number"),
        ("'9.0'", "not a number"),
        ("[9.0]", "the evaluator failed"),
        ("10**400", "the evaluator failed"),
    ],
)
def test_a_score_that_is_no_finite_number_counts_as_wrong(
    score: str, says: str, tmp_path: Path
) -> None:
    with Bench(evaluated(tmp_path, f"    return {{'score': {score}}}")) as bench:
        with pytest.raises(ArnodeError) as caught:
            bench.calibrate()
        assert says in caught.value.message


@pytest.mark.parametrize("name", CHEATS)
def test_a_program_that_cheats_its_evaluator_gains_nothing(
    name: str, played: tuple[Bench, HonestRuns], watch: Watch
) -> None:
    bench, runs = played
    with runs.after(name):
        ended = bench.run(CHEATS[name])
        for nano in (ended.metric_nano, ended.secret_nano):
            assert ended.status != "ok" or (nano is not None and nano <= BEST * NANO), ended
        assert watch.left_behind == []
