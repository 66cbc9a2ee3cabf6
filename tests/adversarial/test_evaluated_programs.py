"""Programs that want a better score of an imported evaluator than they earn: none gets it."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from protocol.units import NANO
from tests.adversarial.bench import Watch
from tests.adversarial.evaluator_table import BEST, BY_CHILD, CHEATS, HONEST, IN_PROCESS
from tests.adversarial.honest_runs import HonestRuns
from tests.trainer.program.evaluators import CALLED, SCORE
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
