"""Hostile sources, marks, cheats and honest moves in every environment where sandboxes differ.

The environments are: the current user, an ordinary user, a container, and a container without
root. It holds if in each of them
- every hostile source is contained and the run after it is clean,
- no process leaves a mark that a later one can read (`tests.adversarial.mark_table`),
- every cheat is rejected as the table says, or gains less than its bound on the secret split,
  compared with honest runs of the same seeds,
- no honest move is rejected.
"""

import json
import os
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from protocol.errors import ConfigurationError
from tests.adversarial.attacks import Attack, Host, hostile_host, run_attack
from tests.adversarial.bench import (
    HONEST_SEED,
    Bench,
    benches,
    limited,
    logs_as_of_a_node,
    watched_sandboxes,
    with_processes,
)
from tests.adversarial.cheat import Cheat, leaking, remembering, worth
from tests.adversarial.cheats import REFUSED, WEIGHED, leaked
from tests.adversarial.honest import find_false_alarm
from tests.adversarial.hostile_table import ATTACKS
from tests.adversarial.mark_table import WAYS, passing
from tests.trainer.runners import SPLIT, prepare_all
from tools.paths import ROOT, TASKS
from trainer.language_model.data import TaskData
from trainer.sandbox.tier import probe_tier
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task

SHORT_TASK = TASKS / "short"
HERE = "here"
PLACES = (HERE, "user", "container", "pod")
SEEDS = (2, 3, 4)
_NEXT_SPLIT = b"the key of the next secret split"
_FACTS = 2000  # as many as fit into the source growth that `tiny` allows

Row = dict[str, object]
Wanted = Callable[[str], bool]


def run_hostile(home: Path) -> Row:
    """Run everything in every environment. Where that was done before, repeat only failures."""
    places = {}
    for place in PLACES:
        kept = home / f"{place}.json"
        if not kept.exists():
            kept.write_text(json.dumps(_play_in(place, home / place)))
        elif not (figures := json.loads(kept.read_text()))["holds"]:
            failed = [row["name"] for row in figures["failed"]]
            again = _play_in(place, home / place, only=failed)
            figures |= {name: again[name] for name in ("holds", "failed", "left_behind")}
            kept.write_text(json.dumps({**figures, "played_again": failed}))
        places[place] = json.loads(kept.read_text())
    return {"holds": all(figures["holds"] for figures in places.values()), "places": places}


def _play_in(place: str, home: Path, *, only: Sequence[str] = ()) -> Row:
    """Run this module in an environment, in a folder that its user can write to."""
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    command = ["-m", "tools.soak.hostile", place]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    interpreter = sys.executable
    if place != HERE:
        home = Path("/var/tmp") / f"arnode-soak-{place}-{os.getpid()}"  # noqa: S108
        home.mkdir(mode=0o1777)
        home.chmod(0o1777)
        interpreter, packages = _interpreter_for_others()
        environment["PYTHONPATH"] += os.pathsep + packages
        command = ["-m", "tests.adversarial.places", place, interpreter, *command]
    played = subprocess.run(
        [interpreter, *command, str(home), *only],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    figures: Row = json.loads(played.stdout)
    return figures


def _interpreter_for_others() -> tuple[str, str]:
    """Return a Python that other users can run, and the path of our packages for it."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = sysconfig.get_path("purelib")
    for path in (Path(sys.executable).resolve(), Path("/usr/bin") / version):
        places = [path, *path.parents] if path.exists() else []
        if places and all(place.stat().st_mode & stat.S_IXOTH for place in places):
            return str(path), packages
    raise ConfigurationError(
        f"other users cannot run {sys.executable}", f"install {version} where they can"
    )


# In the environment


def main() -> None:
    """Run everything for this environment and print the figures."""
    place, home, only = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]

    def is_wanted(name: str) -> bool:
        return not only or name in only

    with watched_sandboxes() as watch, benches(watch) as make_bench:
        short, data = _task(str(SHORT_TASK), home)
        bench = make_bench(limited(short), data)
        attacks = [
            attack
            for attack in ATTACKS
            if (place == HERE or attack.is_fast) and is_wanted(attack.label)
        ]
        with hostile_host(_folder(home / "host"), bench.runner) as host:
            rows = list(_attacked(bench, [a for a in attacks if not a.with_processes], host))
        forking = make_bench(limited(with_processes(short)), data)
        with hostile_host(_folder(home / "forking"), forking.runner) as host:
            rows += _attacked(forking, [a for a in attacks if a.with_processes], host)
        cheats, honest = [], []
        if place in (HERE, "container"):
            seeds = SEEDS if place == HERE else SEEDS[:1]
            whole = make_bench(*_task("tiny", home))
            cheats = list(_weighed(whole, seeds, is_wanted))
            honest = list(_honest(whole, is_wanted))
        left_behind = watch.left_behind
    marks = list(_marked(is_wanted))
    failed = [row for row in [*rows, *marks, *cheats, *honest] if row["fault"]]
    figures = {
        "holds": not failed and not left_behind,
        "tier": probe_tier().name,
        "uid": os.getuid(),
        "hostile": len(rows),
        "hostile_sources": len({attack.name for attack in attacks}),
        "marks": len(marks),
        "cheats": len(cheats),
        "honest": len(honest),
        "worths": {row["name"]: row["secret_sd"] for row in cheats if row["secret_sd"] is not None},
        "failed": failed,
        "left_behind": left_behind,
    }
    print(json.dumps(figures))


def _attacked(bench: Bench, attacks: list[Attack], host: Host) -> Iterator[Row]:
    for attack in attacks:
        honest = bench.honest_run(HONEST_SEED)
        result = bench.loop.run(run_attack(bench.runner, honest, attack, host))
        _say(result.name, result.outcome, result.fault)
        yield {"name": result.name, "outcome": result.outcome, "fault": result.fault}


def _marked(is_wanted: Wanted) -> Iterator[Row]:
    for way in WAYS:
        for writer in way.writers:
            name = f"{way.name}, {writer}"
            if is_wanted(name):
                areas = passing([way], writer)
                fault = f"marks pass: {areas}" if areas else None
                _say(name, "mark", fault)
                yield {"name": name, "fault": fault}


def _weighed(bench: Bench, seeds: tuple[int, ...], is_wanted: Wanted) -> Iterator[Row]:
    """Measure every cheat. Its status is the same for every seed, its gain is a mean."""
    scored, claims = bench.scored(), bench.honest_log_probs
    known = leaked(scored.rows[scored.public], claims[scored.public], facts=_FACTS)
    for cheat in (*REFUSED, *known, *WEIGHED):
        if is_wanted(cheat.name):
            yield _weigh(bench, cheat, seeds if cheat.ends == "ok" else seeds[:1])
    remembered = remembering(
        scored.rows[scored.secret], claims[scored.secret], facts=_FACTS, of="a secret split"
    )
    there = replace(remembered, name=f"{remembered.name}, on itself", bound_sd=None)
    if is_wanted(there.name):  # the value of a leak, if there were one and a second use of it
        yield _weigh(bench, there, seeds)
    after = replace(remembered, name=f"{remembered.name}, on the next")
    if is_wanted(after.name):
        yield _weigh(bench, after, seeds, split=_NEXT_SPLIT)
    printing = leaking(facts=_FACTS // 20)
    if is_wanted(printing.name):
        with logs_as_of_a_node():
            outcome = bench.run(printing.source(bench.baseline))
        is_silent = "LEAK" not in f"{outcome.log_tail}{outcome.reason}"
        fault = None if is_silent and outcome.status == printing.ends else f"{outcome}"
        _say(printing.name, printing.ends, fault)
        yield {"name": printing.name, "secret_sd": None, "fault": fault}


def _weigh(bench: Bench, cheat: Cheat, seeds: tuple[int, ...], *, split: bytes = SPLIT) -> Row:
    weighed = worth(bench, cheat, seeds, split=split)
    fault = None if weighed.holds(cheat) else str(asdict(weighed))
    _say(cheat.name, cheat.ends, fault)
    return {"name": cheat.name, "secret_sd": weighed.secret_sd, "fault": fault}


def _honest(bench: Bench, is_wanted: Wanted) -> Iterator[Row]:
    for move in bench.runner.task.moves:
        if not is_wanted(move.name):
            continue
        fault = find_false_alarm(move, bench)
        _say(move.name, "honest", fault)
        yield {"name": move.name, "fault": fault}


def _task(name: str, home: Path) -> tuple[Task, TaskData]:
    task = load_task(name, data_dir=home)
    return task, prepare_all(task, data_dir=home, progress=lambda _what, _share: None)


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _say(name: str, outcome: str, fault: str | None) -> None:
    print(f"  {outcome:9} {name}  {fault or ''}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
