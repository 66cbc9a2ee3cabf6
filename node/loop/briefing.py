"""What proposers are told, put together from the line's books, the boards and the user's words.

Made anew for every proposal. Peers' patches come without their prose and only where nothing in
them is marked, as everything of a peer's that may be run; what they say in words is passed on as
it is and marked by who says so. Which knobs matter takes seconds to reckon after many trials, and
changes little with each: a thread does it now and then, and prompts tell what was last known.
"""

import asyncio
from collections.abc import Callable, Mapping
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
    KnobImportance,
    Left,
    PeerPatch,
)
from agent.source.allow_lists import allow_list
from node.home.clock import clock_ms
from node.home.home import program_file
from node.home.people import People
from node.ladder.climbed import told_of_scales
from node.line.ledger import Ledger
from node.loop.imported_tries import ImportedTries
from node.loop.insights import insights_of
from node.loop.others_tries import OthersTries
from node.loop.outcomes import Outcomes
from node.loop.peer_reports import reports_of_others
from node.loop.planning import aim_in_force
from node.store.notes import notes_in_force
from node.store.program_versions import keep_program
from protocol.errors import ConfigurationError
from protocol.rule import DEFAULT, Policy
from protocol.units import NANO
from trainer.host.folder_files import FolderFile
from trainer.task_folder.task import Task
from trainer.task_kinds import words_of

MOST_BYTES: Final = 64 * 1024
_INTERVAL_SD: Final = 1.96  # half of a 95 % interval
_LOOKED_AT: Final = 4  # of the base's runs the latest, for one that printed a curve
_EXPERIMENTS: Final = 10  # that come in before it is reckoned anew


class ProgramText:
    """The program text of one task: the user's own, read anew at every proposal.

    A file of the task's name among the home's programs goes before the one that came with the
    task, so that editing it steers a node that runs; of several texts for a task that of `name`,
    and the task's own while it is not there. A fault of that file is said once, and the last text
    that could be read stays in force.
    """

    def __init__(
        self, task: Task, folder: Path, say: Callable[[str], None], *, name: str = ""
    ) -> None:
        self._named = folder / program_file(task.name, name)
        self._own = folder / program_file(task.name)
        self._shipped = task.program_path
        self._text = task.program
        self._say = say
        self._told = ""

    @property
    def path(self) -> Path | None:
        """Where it is read from now; None of a task that came without one."""
        return next((path for path in (self._named, self._own) if path.exists()), self._shipped)

    def read(self) -> str:
        """Return the text as it is now."""
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
        if fault and fault != self._told:
            self._say(f"{path} is not read: {fault}; what was read before stays in force")
        self._told = fault
        return self._text

    def _beginning(self, path: Path) -> bytes:
        """Return one byte too many at most. The task's own file may not lead out of its folder."""
        if path == self._shipped:
            return FolderFile(path.parent, path.name).beginning(limit_bytes=MOST_BYTES + 1)
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Briefing:
    """Makes contexts for one line. `peers` answers with their claims, the most promising first.

    `policy` is what its changes are judged by, `usd_left` the day's money for models, None where
    nobody pays. `texts` are those of the owner's that have a name. What a planner wrote is passed
    on if the node `has_planner`, what those say whom the user blocked is not. `heeding` answers
    whose trials of values are learned from; None: nobody's.
    """

    ledger: Ledger
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
    heeding: Callable[[], Callable[[bytes], bool]] | None = None
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
        importance: tuple[KnobImportance, ...] = (),
    ) -> Context:
        """Return what is known now, about where the node explores; `left` is of the session.

        `arm` is who is told, None for anybody, by which name of the owner's texts. `importance` is
        that of the line's knobs.
        """
        store, line, working = self.ledger.store, self.ledger.key, self.ledger.explored
        author, blocked = self.ledger.publication.author, self.people().blocked
        others, moves = self.others, [move.name for move in self.task.moves]
        return Context(
            source=working,
            editable=self.task.editable,
            knobs=self.task.knobs,
            moves=self.task.moves,
            history=self.outcomes.all,
            imported=self.imported.outcomes(working, self._run_sd) if self.imported else (),
            tried=tried,
            seed=seed,
            brief=self._brief(left, text),
            peers=self.peers(),
            others=(
                others.trials(self._run_sd, heeding=self.heeding) if others and self.heeding else ()
            ),
            insights=insights_of(store, line, author, blocked=blocked),
            reports=reports_of_others(
                store, line, author, noise_sd=self.noise_sd(), blocked=blocked
            ),
            scales=told_of_scales(store, line),
            importance=importance,
            intents=tuple(sorted(self.ledger.others_titles(working.tree))),
            aim=self.aim(),
            crash=self.outcomes.crash_of(arm),
            show_unverified_words=self.show_unverified_words,
            regions=program.regions or () if (program := self.task.manifest.program) else (),
            in_vain=others.in_vain if others else frozenset(),
            praised=others.praised(move.title for move in self.task.moves) if others else (),
            others_part=others.part_of(moves, self.clock_ms()) if others else frozenset(),
        )

    def _brief(self, left: Left, text: str) -> Brief:
        manifest, program = self.task.manifest, self.texts.get(text, self.program)()
        now_ms, store = self.clock_ms(), self.ledger.store
        keep_program(store, self.ledger.key, program, now_ms=now_ms, name=text)
        words = words_of(manifest)
        planned = aim_in_force(store, self.ledger.key) if self.has_planner else None
        return Brief(
            task=manifest.name,
            program=program,
            metric=manifest.metric.name,
            unit=manifest.metric.unit,
            is_minimised=manifest.metric.direction == "min",
            budget=words.budget,
            hardware_class=self.ledger.key.hardware_class,
            limits=words.limits,
            measured=words.measured,
            noise_sd=self._run_sd,
            base=self._base(),
            imports=allow_list(manifest.kind).imports,
            policy=self.policy,
            notes=notes_in_force(store, self.ledger.key, now_ms=now_ms),
            planner_aim=planned.text if planned else "",
            left=replace(left, usd=self.usd_left()),
        )

    @property
    def _run_sd(self) -> float:
        """The standard deviation of one run on the public split, which gains are told in."""
        return self.noise_sd() * self.ledger.style.public_scatter

    def _base(self) -> BaseFigures | None:
        """Return what the working line measures and takes; None while nobody knows."""
        line = self.ledger.line
        if line is None or not line.bank_nano:
            return None
        scatters = bool(self.policy.rechecks_sd)
        figures = BaseFigures(
            metric=fmean(line.bank_nano) / NANO,
            error=_INTERVAL_SD * self._run_sd / len(line.bank_nano) ** 0.5 if scatters else 0.0,
            runs=len(line.bank_nano),
            number=self.outcomes.number_of(line.working),
        )
        latest = self.ledger.store.jobs.latest_of(line.key, line.working, limit=_LOOKED_AT)
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
    """Keeps what is known of one line's knobs."""

    def __init__(self) -> None:
        self._known: tuple[KnobImportance, ...] = ()
        self._due = 0
        self._reckoned: asyncio.Task[tuple[KnobImportance, ...]] | None = None

    @property
    def known(self) -> tuple[KnobImportance, ...]:
        """The importance of knobs as last reckoned, none before that."""
        if self._reckoned is not None and self._reckoned.done():
            self._known, self._reckoned = self._reckoned.result(), None
        return self._known

    def renew(self, context: Context) -> None:
        """Begin to reckon it for what is known now, unless hardly more is known than before."""
        made = len(context.history)
        if self._reckoned is None and made >= self._due:
            self._due = made + _EXPERIMENTS
            self._reckoned = asyncio.create_task(asyncio.to_thread(_importance_of, context))

    async def close(self) -> None:
        """Let go of what is being reckoned."""
        if self._reckoned is not None:
            self._reckoned.cancel()
            await asyncio.gather(self._reckoned, return_exceptions=True)
            self._reckoned = None


def _importance_of(context: Context) -> tuple[KnobImportance, ...]:
    from agent.knobs.importance import importance_of  # and numpy with it

    return importance_of(context)
