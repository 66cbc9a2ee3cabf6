"""Every cheat on whole runs of `tiny`: how it ends, and what it is worth where it ends well.

It holds when each cheat is refused as the table says, or is worth less than its bound on the
secret split, against honest runs of the same seeds.
"""

from dataclasses import asdict
from pathlib import Path

from tests.adversarial.bench import Bench, benches, watched_sandboxes
from tests.adversarial.cheat import Worth, worth
from tests.adversarial.cheats import REFUSED, WEIGHED, leaked
from trainer.data import prepare
from trainer.task import load_task

SEEDS = (2, 3, 4)
_FACTS = 2000  # what fits into the growth of source that tiny allows


def run_hostile(home: Path) -> dict[str, object]:
    """Run the table of cheats on `tiny`; its data is kept under `home`."""
    task = load_task("tiny", data_dir=home)
    data = prepare(task, data_dir=home, progress=lambda _what, _share: None)
    with watched_sandboxes() as watch, benches(watch) as make_bench:
        return weigh_cheats(make_bench(task, data))


def weigh_cheats(bench: Bench) -> dict[str, object]:
    """Return the figures of every cheat, and whether all hold."""
    scored, claims = bench.runner._scored, bench.honest.claims
    assert claims is not None
    known = leaked(scored.rows[scored.public], claims[scored.public], facts=_FACTS)
    weighed: list[Worth] = []
    failed: list[str] = []
    for cheat in (*REFUSED, *known, *WEIGHED):
        # An end is the same for every seed; a gain is a mean.
        weighed.append(worth(bench, cheat, SEEDS if cheat.ends == "ok" else SEEDS[:1]))
        print(weighed[-1], flush=True)
        if not weighed[-1].holds(cheat):
            failed.append(cheat.name)
    return {"holds": not failed, "failed": failed, "cheats": [asdict(each) for each in weighed]}
