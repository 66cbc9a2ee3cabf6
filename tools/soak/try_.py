"""A scripted agent that drives `arnode try` the way autoresearch's program.md instructs agents.

`program.md` next to this file has autoresearch's form. The commands for the agent are taken from it
and executed. The trailer's `decision:` says if an experiment improved, if there is a trailer. The
figures include how often a bare comparison of two numbers would have decided otherwise.
Afterwards every decision is recomputed from the records.
"""

import csv
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.source.edits import reapply
from node.home.home import Home
from node.line.baseline import BaselineStep
from node.line.experiment import ExperimentStep
from node.line.promotion_trial import PromotionTrial
from node.line.trial import MetricReading, next_of_trial
from node.store.jobs import Job, LineKey
from node.store.store import Store
from protocol.record_kinds import ResultBody
from protocol.rule import DEFAULT
from protocol.source import Source
from protocol.statistics import NoiseEstimate
from protocol.units import NANO
from tools.paths import ROOT, TASKS
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task

TASK = TASKS / "short"
PROGRAM = Path(__file__).parent / "program.md"
COLUMNS = ["commit", "val_bpb", "memory_gb", "status", "description"]
STATUS_WORDS = {"keep", "discard", "crash"}
_TIMEOUT_S = 600.0
_GIT = {f"GIT_{who}_{what}": "agent@example.org" for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Edit:
    """A change by the agent: the file's text before and after."""

    title: str
    text: str


@dataclass(kw_only=True)
class Seen:
    """The facts that the agent read from one run.log."""

    title: str
    metric: float | None
    decision: str
    promotion_trial: str
    exit_code: int


@dataclass(kw_only=True)
class StandIn:
    """The scripted agent. It executes the commands of program.md in its own repository."""

    home: Path
    folder: Path
    seen: list[Seen] = field(default_factory=list)
    best: float = 0.0
    differs: int = 0

    def __post_init__(self) -> None:
        """Create the repository as a user would, and make `arnode` available as a command."""
        self.folder.mkdir(parents=True)
        tools = self.folder.with_name("tools")
        tools.mkdir()
        command = tools / "arnode"
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -m node "$@"\n')
        command.chmod(0o755)
        root = str(ROOT)
        kept = {name: value for name, value in os.environ.items() if name[:7] != "ARNODE_"}
        self._env = kept | _GIT | {
            "ARNODE_HOME": str(self.home), "ARNODE_TASK": str(TASK), "PYTHONPATH": root,
            "PATH": f"{tools}:{os.environ['PATH']}",
        }  # fmt: skip
        blocks = re.findall(
            r"^```sh (\w+)\n(.*?)^```$", PROGRAM.read_text(), re.MULTILINE | re.DOTALL
        )
        self._commands = dict(blocks)
        self.write(load_task(TASK, data_dir=self.home).source["train.py"].decode())
        (self.folder / ".gitignore").write_text("run.log\n")
        self.types("git init --quiet . && git add --all && git commit --quiet -m 'what there is'")
        self.does("setup")

    @property
    def text(self) -> str:
        """The current text of the script."""
        return (self.folder / "train.py").read_text(encoding="utf-8")

    def write(self, text: str) -> None:
        """Replace the text of the script."""
        (self.folder / "train.py").write_text(text, encoding="utf-8")

    def types(self, command: str, *, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Execute a command and check its exit code. None accepts any code."""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        assert code in {None, done.returncode}, (command, done)
        return done

    def does(self, step: str, *, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Execute the command that program.md has under this name."""
        return self.types(self._commands[step], code=code)

    def runs(self, title: str) -> Seen:
        """Run the current script and read its log."""
        code = self.does("run", code=None).returncode
        log = (self.folder / "run.log").read_text(encoding="utf-8")
        found = dict(
            re.findall(r"^(\w+): +(.*)$", self.does("read", code=None).stdout, re.MULTILINE)
        )
        words = dict(re.findall(r"^(decision|promotion_trial): +(\w+)", log, re.MULTILINE))
        seen = Seen(
            title=title,
            metric=float(found["val_bpb"]) if found else None,
            decision=words.get("decision", ""),
            promotion_trial=words.get("promotion_trial", ""),
            exit_code=code,
        )
        self.seen.append(seen)
        return seen

    def begins(self) -> None:
        """Measure the baseline, the first step of program.md."""
        metric = self.runs("baseline").metric
        assert metric is not None
        self.best = metric

    def experiments(self, edit: Edit) -> Seen:
        """Make one experiment, then keep or reset the change."""
        self.write(edit.text)
        self.types(f"git commit --quiet --all --message '{edit.title}'")
        seen = self.runs(edit.title)
        is_lower = seen.metric is not None and seen.metric < self.best
        has_improved = seen.decision == "keep" if seen.decision else is_lower
        self.differs += is_lower != has_improved
        if seen.metric is None:
            assert self.does("look").stdout
        if has_improved and seen.metric is not None:
            self.best = seen.metric
        else:
            self.does("back")
        if seen.promotion_trial == "unconfirmed":
            self.types("arnode head --working > train.py")
            self.types("git diff --quiet || git commit --quiet --all -m 'back to the working line'")
        return seen


def crash(text: str) -> str:
    """Return the text with an error. The number that it prints is no result."""
    return text.replace("model = GPT(", 'print("val_bpb: 0.1")\nmodel = GTP(')


def edits(stand_in: StandIn, task: Task, count: int) -> Iterator[Edit]:
    """Yield one change after another, each of the script's current text."""
    ideas: list[tuple[str, str]] = [(move.name, "") for move in task.moves]
    ideas[3:3] = [("crash", ""), ("LEARNING_RATE", "1e-4"), ("BATCH", "8")]
    ideas += [("LEARNING_RATE", "2e-2"), ("WARMDOWN", "0.8"), ("BETA2", "0.99"), ("WIDTH", "32")]
    ideas += [("WEIGHT_DECAY", "0.1"), ("EPSILON", "1e-10"), ("BATCH", "2")]
    moves = {move.name: move for move in task.moves}
    made = 0
    for name, value in ideas:
        text = stand_in.text
        if name == "crash":
            changed = crash(text)
        elif name in moves:
            source = reapply(moves[name].edits, Source.of({"train.py": text.encode()}))
            changed = text if source is None else source["train.py"].decode()
        else:
            changed = re.sub(rf"^{name} = [^ \n]+", f"{name} = {value}", text, flags=re.MULTILINE)
        if changed != text and made < count:
            made += 1
            yield Edit(title=f"{name} {value}".strip(), text=changed)


def run_try(folder: Path, count: int) -> dict[str, object]:
    """Let the agent make `count` edits on a fresh home, and return the figures."""
    stand_in = StandIn(home=folder / "home", folder=folder / "work")
    task = load_task(TASK, data_dir=folder / "home")
    stand_in.begins()
    for edit in edits(stand_in, task, count):
        stand_in.experiments(edit)
    return figures(stand_in)


def figures(stand_in: StandIn) -> dict[str, object]:
    """Compare what the agent read with the records, and return the figures."""
    problems = [*recomputed(Home(stand_in.home)), *_table_problems(stand_in)]
    said = Counter(seen.decision for seen in stand_in.seen[1:])
    verdicts = Counter(seen.promotion_trial for seen in stand_in.seen if seen.promotion_trial)
    fsck = stand_in.types("arnode home fsck --json", code=None).stdout
    problems += json.loads(fsck)["problems"]
    return {
        "edits": len(stand_in.seen) - 1,
        "keeps": said["keep"],
        "discards": said["discard"],
        "crashes": said["crash"],
        "promotion_trials": dict(verdicts),
        "baseline": stand_in.seen[0].metric,
        "last_kept": stand_in.best,
        "keep_if_lower_differs": stand_in.differs,
        "problems": problems,
        "holds": not problems and said.total() == sum(said[word] for word in STATUS_WORDS),
    }


def recomputed(home: Home) -> list[str]:
    """Recompute every decision from the runs and reference runs; return the disagreements."""
    problems: list[str] = []
    with Store.open_read_only(home) as store:
        for line in store.jobs.lines():
            for job in store.jobs.closed_jobs(line.key, ExperimentStep):
                step = job.step
                reading = MetricReading(sign=1, noise=_noise(store, job), policy=DEFAULT)
                runs = store.jobs.runs_of(job.id)
                record = store.jobs.result_of(line.task, step.idea.fingerprint)
                body = store.records.get(record).body if record else None
                ended = tuple(run.outcome.run for run in runs if run.outcome)
                if not isinstance(body, ResultBody) or body.runs != ended:
                    problems.append(f"{step.title}: the record has other runs")
                    continue
                move = next_of_trial(
                    runs, (round(step.known_level_nano),) * 2, reading, is_current=True
                )
                out = "screened_out" if len(runs) == 1 else "rechecked_out"
                wanted = {"discard": out, "keep": "kept", "fail": "failed"}.get(move, move)
                if step.decision != wanted:
                    problems.append(f"{step.title}: {step.decision}, but the rule says {wanted}")
                if (step.decision == "kept") != (body.stage == "keep"):
                    problems.append(f"{step.title}: recorded as {body.stage}")
    return problems


def _noise(store: Store, job: Job[Any]) -> NoiseEstimate:
    """Return the noise as known before this job: from earlier baselines and promotion trials."""
    groups: dict[tuple[int, str], list[float]] = {}
    for earlier in _before(store, job.line, job.id):
        for planned in store.jobs.runs_of(earlier.id):
            run = planned.outcome and planned.outcome.run
            if run and run.secret_nano is not None and run.role != "anchor":
                groups.setdefault((earlier.id, run.role), []).append(run.secret_nano / NANO)
    manifest = store.records.manifest(job.line.task)
    assert manifest is not None
    floor = manifest.noise_floor_nano / NANO
    return NoiseEstimate.from_class(floor).with_groups(list(groups.values()))


def _before(store: Store, line: LineKey, job_id: int) -> Iterable[Job[Any]]:
    both = [
        *store.jobs.closed_jobs(line, BaselineStep),
        *store.jobs.closed_jobs(line, PromotionTrial),
    ]
    return [job for job in both if job.id < job_id]


def _table_problems(stand_in: StandIn) -> list[str]:
    """Compare results.tsv with what the agent read, experiment by experiment."""
    (table,) = (stand_in.home / "journal").glob("*/results.tsv")
    with table.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t")
        rows = list(reader)
    problems = [] if reader.fieldnames == COLUMNS else [f"columns are {reader.fieldnames}"]
    statuses = {row["description"]: row["status"] for row in rows}
    if not set(statuses.values()) <= STATUS_WORDS:
        problems.append(f"status words are {set(statuses.values())}")
    problems += [
        f"{seen.title}: told {seen.decision}, the table says {statuses.get(seen.title)}"
        for seen in stand_in.seen
        if statuses.get(seen.title) != seen.decision
    ]
    promotion_trials = _promotion_trials(Home(stand_in.home))
    if [seen.promotion_trial for seen in stand_in.seen if seen.promotion_trial] != promotion_trials:
        problems.append(f"promotion_trials ended {promotion_trials}, told otherwise")
    return problems


def _promotion_trials(home: Home) -> list[str]:
    with Store.open_read_only(home) as store:
        steps = [
            job.step
            for line in store.jobs.lines()
            for job in store.jobs.closed_jobs(line.key, PromotionTrial)
        ]
    return ["confirmed" if step.passed else "unconfirmed" for step in steps]
