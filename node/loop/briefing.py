"""The context for proposers: the line's records, leaderboards and the user's instructions.

It is built again for every proposal. It shows a peer's patch without comments and docstrings, and
only if the patch passed the inspection that all peers' code must pass before it runs. Peers' notes
are passed on unchanged, with their author. Estimating the importance of hyperparameters takes
seconds after many experiments, and each experiment changes the estimate little. So a thread renews
it only now and then, and prompts show the last estimate.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Final

from agent.proposal import (
    NO_END,
    Aim,
    BaseFigures,
    Brief,
    Context,
    FromOthers,
    HyperparameterImportance,
    Left,
    Outcome,
    PeerPatch,
    Rejection,
    hyperparameter_key,
)
from agent.source.allow_lists import allow_list
from agent.source.literals import hyperparameter_values
from node.home.clock import clock_ms
from node.home.home import program_file
from node.home.people import People
from node.ladder.transfer_history import transfer_lines
from node.line.line_writer import LineWriter
from node.line.proposals import proposals_of, rejections_of
from node.loop.imported_tries import ImportedTries
from node.loop.insights import insights_of
from node.loop.others_tries import ENOUGH_DENIERS, OthersTries
from node.loop.outcomes import Outcomes
from node.loop.peer_reports import reports_of_others
from node.loop.planning import aim_in_force
from node.store.experiments import Experiment
from node.store.notes import Note, experiment_notes, notes_in_force
from node.store.program_versions import keep_program
from protocol.errors import ConfigurationError
from protocol.rule import DEFAULT, Policy
from protocol.source import Source
from protocol.units import NANO
from trainer.host.folder_files import FolderFile
from trainer.task_folder.task import Task
from trainer.task_kinds import words_of

MOST_BYTES: Final = 64 * 1024
_INTERVAL_SD: Final = 1.96  # half the width of a 95 % interval
_LOOKED_AT: Final = 4  # latest runs of the base, searched for one that printed a curve
_REJECTIONS: Final = 10  # the latest, shown in prompts
_TRIALS: Final[Mapping[str, str]] = {  # by stage: what is no outcome of a proposal
    "baseline": "the baseline",
    "confirm": "a promotion trial",
}
_EXPERIMENTS: Final = 10  # between two estimates of importance


class ProgramText:
    """The instructions of one task, read from the user's own file again for every proposal.

    A file with the task's name in the home's folder of instructions replaces the task's own
    `program.md`, so a user can steer a running node by editing the file. A user may write several
    files for a task and give each a name. If the folder has the one called `name`, it is used
    instead. A read error is reported once, and the last readable text stays in use.
    """

    def __init__(
        self, task: Task, folder: Path, say: Callable[[str], None], *, name: str = ""
    ) -> None:
        self._named = folder / program_file(task.name, name)
        self._own = folder / program_file(task.name)
        self._shipped = task.program_path
        self._text = task.program
        self._say = say
        self._last_fault = ""

    @property
    def path(self) -> Path | None:
        """The file in use now; None for a task without one."""
        return next((path for path in (self._named, self._own) if path.exists()), self._shipped)

    def read(self) -> str:
        """Return the current text."""
        path, fault = self.path, ""
        if path is None:
            return self._text
        try:
            data = self._beginning(path)
            if len(data) > MOST_BYTES:
                fault = f"it is longer than {MOST_BYTES} bytes"
            else:
                self._text = data.decode("utf-8")
        except ConfigurationError as error:
            fault = error.message
        except (OSError, UnicodeDecodeError) as error:
            fault = getattr(error, "strerror", None) or "it is not UTF-8"
        if fault and fault != self._last_fault:
            self._say(f"{path} cannot be used: {fault}; the earlier text stays in use")
        self._last_fault = fault
        return self._text

    def _beginning(self, path: Path) -> bytes:
        """Return at most `MOST_BYTES` + 1 bytes. The task's file must be inside its folder."""
        if path == self._shipped:
            return FolderFile(path.parent, path.name).beginning(limit_bytes=MOST_BYTES + 1)
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Briefing:
    """A builder of contexts for the proposers of one line.

    - `peers` returns peers' claims, the most promising first.
    - `policy` holds the thresholds that decide whether a patch is kept.
    - `usd_left` is the rest of the day's budget for models; None if models cost nothing.
    - `texts` are the owner's additional instructions for the task, by name.
    - `has_planner`: show the planner's aim.
    - `people` returns the user's lists of peers. Texts of blocked peers are never shown.
    """

    line_writer: LineWriter
    task: Task
    outcomes: Outcomes
    program: Callable[[], str]
    noise_sd: Callable[[], float]
    texts: Mapping[str, Callable[[], str]] = field(default_factory=dict)
    people: Callable[[], People] = People
    policy: Policy = DEFAULT
    peers: Callable[[], tuple[PeerPatch, ...]] = tuple
    aim: Callable[[], Aim] = lambda: "improve"
    has_planner: bool = False
    show_unverified_words: bool = False
    imported: ImportedTries | None = None
    others: OthersTries | None = None
    clock_ms: Callable[[], int] = clock_ms
    usd_left: Callable[[], float | None] = lambda: None

    def context(
        self,
        *,
        tried: Callable[[bytes], bool],
        seed: int,
        left: Left = NO_END,
        arm: str | None = None,
        text: str = "",
        importance: tuple[HyperparameterImportance, ...] = (),
    ) -> Context:
        """Return the context for a proposal on the explored tree.

        `left` is the remaining time and experiments of the session. `arm` names the proposer, None
        for any; `text` names one of the owner's instructions.
        `importance` is the importance of the line's hyperparameters.
        """
        store, line, working = (
            self.line_writer.store,
            self.line_writer.key,
            self.line_writer.explored,
        )
        author, blocked = self.line_writer.record_writer.author, self.people().blocked
        authors = self._authors
        theirs = self._reports(working, authors)
        return Context(
            source=working,
            editable=self.task.editable,
            hyperparameters=self.task.hyperparameters,
            moves=self.task.moves,
            history=self._history(),
            imported=self.imported.outcomes(working, self._run_sd) if self.imported else (),
            tried=tried,
            seed=seed,
            brief=self._brief(left, text),
            peers=self.peers(),
            others=self.others.trials(authors, level_nano=self.exact_nano) if self.others else (),
            insights=insights_of(store, line, author, blocked=blocked),
            reports=reports_of_others(
                store, line, author, noise_sd=self.noise_sd(), blocked=blocked
            ),
            scales=transfer_lines(store, line),
            importance=importance,
            intents=tuple(sorted(self.line_writer.others_titles(working.tree))),
            aim=self.aim(),
            crash=self.outcomes.crash_of(arm),
            show_unverified_words=self.show_unverified_words,
            regions=program.regions or () if (program := self.task.manifest.program) else (),
            from_others=theirs,
        )

    @property
    def is_in_front(self) -> bool:
        """True if scores are exact and no peer reported a better one than the working line's."""
        others, own_nano = self.others, self.exact_nano
        if others is None or own_nano is None:
            return False
        best_nano = others.best_nano(others.accepted())
        sign = self.task.manifest.metric.sign
        return best_nano is not None and sign * own_nano <= sign * best_nano

    def from_others(self, working: Source) -> FromOthers:
        """Return what accepted peers reported by now; `working` is the explored tree."""
        return self._reports(working, self._authors)

    @property
    def _authors(self) -> set[bytes]:
        return self.others.accepted() if self.others else set()

    def _reports(self, working: Source, authors: set[bytes]) -> FromOthers:
        others, now_ms = self.others, self.clock_ms()
        if others is None:
            return FromOthers()
        titles = {move.title for move in self.task.moves}
        claimed_nano = others.kept_by(titles, authors)
        kept = {title: nano / NANO / self._run_sd for title, nano in claimed_nano.items()}
        in_vain = others.denied_by(titles, authors).difference(kept)
        given_up = assigned = frozenset[str]()
        if others.are_at_work(now_ms):
            given_up = others.denied_by(in_vain, authors, least=ENOUGH_DENIERS)
            specs, editable = self.task.hyperparameters, self.task.editable
            values = hyperparameter_values(working, editable, specs)
            named = {move.name: move.title for move in self.task.moves}
            assigned = others.moves_of_others(named, authors, now_ms)
            assigned |= others.part_of(
                [hyperparameter_key(name) for name, _ in values], authors, now_ms
            )
        return FromOthers(in_vain=in_vain, given_up=given_up, kept=kept, assigned=assigned)

    def _history(self) -> tuple[Outcome, ...]:
        """Return the outcomes of this node, with the owner's notes on them."""
        notes = {
            (entry.parent, entry.tree): note
            for entry, note in self._noted()
            if entry.stage not in _TRIALS
        }
        return self.outcomes.with_notes(notes) if notes else self.outcomes.all

    def _noted(self) -> Iterator[tuple[Experiment, Note]]:
        """Yield the experiments that the owner wrote notes on."""
        store = self.line_writer.store
        for experiment, note in experiment_notes(store, self.line_writer.key).items():
            if (entry := store.experiments.find(experiment)) is not None:
                yield entry, note

    def _brief(self, left: Left, text: str) -> Brief:
        manifest, program = self.task.manifest, self.texts.get(text, self.program)()
        now_ms, store = self.clock_ms(), self.line_writer.store
        keep_program(store, self.line_writer.key, program, now_ms=now_ms, name=text)
        words = words_of(manifest)
        planned = aim_in_force(store, self.line_writer.key) if self.has_planner else None
        return Brief(
            task=manifest.name,
            program=program,
            metric=manifest.metric.name,
            unit=manifest.metric.unit,
            is_minimised=manifest.metric.direction == "min",
            budget=words.budget,
            hardware_class=self.line_writer.key.hardware_class,
            limits=words.limits,
            measured=words.measured,
            noise_sd=self._run_sd,
            base=self._base(),
            imports=allow_list(manifest.kind).imports,
            policy=self.policy,
            notes=(
                *notes_in_force(store, self.line_writer.key, now_ms=now_ms),
                *(
                    f"On {_TRIALS[entry.stage]}: {note.text}"
                    for entry, note in self._noted()
                    if entry.stage in _TRIALS and note.text
                ),
            ),
            rejections=tuple(
                Rejection(title=step.idea.title, note=step.note)
                for step in rejections_of(store, self.line_writer.key)[-_REJECTIONS:]
            ),
            waiting=tuple(job.step.idea.title for job in proposals_of(store, self.line_writer.key)),
            planner_aim=planned.text if planned else "",
            left=replace(left, usd=self.usd_left()),
        )

    @property
    def _run_sd(self) -> float:
        """The standard deviation of one run on the public split, the unit of reported gains."""
        return self.noise_sd() * self.line_writer.style.public_scatter

    @property
    def exact_nano(self) -> int | None:
        """The working line's score if scores are exact, so that peers' scores compare with it."""
        line = self.line_writer.line
        if line is None or not line.reference_nano or not self.line_writer.style.is_exact:
            return None
        return line.reference_nano[0]

    def _base(self) -> BaseFigures | None:
        """Return the working line's figures; None before its reference runs."""
        line = self.line_writer.line
        if line is None or not line.reference_nano:
            return None
        scatters = bool(self.policy.rechecks_sd)
        figures = BaseFigures(
            metric=fmean(line.reference_nano) / NANO,
            error=_INTERVAL_SD * self._run_sd / len(line.reference_nano) ** 0.5
            if scatters
            else 0.0,
            runs=len(line.reference_nano),
            number=self.outcomes.number_of(line.working),
        )
        latest = self.line_writer.store.jobs.latest_of(line.key, line.working, limit=_LOOKED_AT)
        measured = [one for one in latest if one.run.status == "ok"]
        if not measured:
            return figures
        run, curves = measured[0].run, [one.curve for one in measured if one.curve]
        return replace(
            figures,
            seconds=run.ms / 1000,
            cpu_seconds=run.cpu_ms / 1000 if run.cpu_ms else None,
            memory_bytes=run.peak_mem_bytes or None,
            curve=tuple((point.step, point.loss) for point in curves[0]) if curves else (),
        )


class Importance:
    """The latest estimate of the importance of one line's hyperparameters."""

    def __init__(self) -> None:
        self._known: tuple[HyperparameterImportance, ...] = ()
        self._due = 0
        self._estimate: asyncio.Task[tuple[HyperparameterImportance, ...]] | None = None

    @property
    def known(self) -> tuple[HyperparameterImportance, ...]:
        """The last estimate; empty before the first."""
        if self._estimate is not None and self._estimate.done():
            self._known, self._estimate = self._estimate.result(), None
        return self._known

    def renew(self, context: Context) -> None:
        """Start a new estimate, unless only a few experiments were added since the last."""
        made = len(context.history)
        if self._estimate is None and made >= self._due:
            self._due = made + _EXPERIMENTS
            self._estimate = asyncio.create_task(asyncio.to_thread(_importance_of, context))

    async def close(self) -> None:
        """Cancel an estimate in progress."""
        if self._estimate is not None:
            self._estimate.cancel()
            await asyncio.gather(self._estimate, return_exceptions=True)
            self._estimate = None


def _importance_of(context: Context) -> tuple[HyperparameterImportance, ...]:
    from agent.hyperparameters.importance import importance_of  # imports numpy

    return importance_of(context)
