"""What proposers are told, put together from the line's books, the boards and the user's words.

Made anew for every proposal. Peers' patches come without their prose and only where nothing in
them is marked, as everything of a peer's that may be run; what they say in words is passed on as
it is and marked by who says so.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.proposal import Aim, Brief, Context, PeerPatch
from agent.source.allow_lists import allow_list
from node.home.clock import clock_ms
from node.home.people import People
from node.ladder.told import told_of_scales
from node.line.ledger import Ledger
from node.loop.insights import insights_of
from node.loop.others_tries import OthersTries
from node.loop.outcomes import Outcomes
from node.loop.peer_reports import reports_of_others
from node.store.notes import notes_in_force
from node.store.program_versions import keep_program
from protocol.rule import DEFAULT, Policy
from protocol.units import NANO
from trainer.task_folder.task import Task
from trainer.task_kinds import words_of

MOST_BYTES: Final = 64 * 1024


class ProgramText:
    """The program text of one task: the user's own, read anew at every proposal.

    A file of the task's name among the home's programs goes before the one that came with the
    task, so that editing it steers a node that runs. A fault of that file is said once, and the
    last text that could be read stays in force.
    """

    def __init__(self, task: Task, folder: Path, say: Callable[[str], None]) -> None:
        self._own = folder / f"{task.name}.md"
        self._shipped = task.program_path
        self._text = task.program
        self._say = say
        self._told = ""

    @property
    def path(self) -> Path | None:
        """Where it is read from now; None of a task that came without one."""
        return self._own if self._own.exists() else self._shipped

    def read(self) -> str:
        """Return the text as it is now."""
        path, fault = self.path, ""
        if path is None:
            return self._text
        try:
            with path.open("rb") as file:
                data = file.read(MOST_BYTES + 1)
            if len(data) > MOST_BYTES:
                fault = f"it is longer than {MOST_BYTES} bytes"
            else:
                self._text = data.decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            fault = getattr(error, "strerror", None) or "it is not UTF-8"
        if fault and fault != self._told:
            self._say(f"{path} is not read: {fault}; what was read before stays in force")
        self._told = fault
        return self._text


@dataclass(frozen=True, slots=True, kw_only=True)
class Briefing:
    """Makes contexts for one line. `peers` answers with their claims, the most promising first.

    `policy` is what its changes are judged by.

    What those say whom the user blocked is not passed on.
    """

    ledger: Ledger
    task: Task
    outcomes: Outcomes
    program: Callable[[], str]
    noise_sd: Callable[[], float]
    people: Callable[[], People] = People
    policy: Policy = DEFAULT
    peers: Callable[[], tuple[PeerPatch, ...]] = tuple
    aim: Callable[[], Aim] = lambda: "improve"
    show_unverified_words: bool = False
    others: OthersTries | None = None
    clock_ms: Callable[[], int] = clock_ms

    def context(self, *, tried: Callable[[bytes], bool], seed: int) -> Context:
        """Return what is known now, about where the node explores."""
        store, line, working = self.ledger.store, self.ledger.key, self.ledger.explored
        author, blocked = self.ledger.publication.author, self.people().blocked
        others, moves = self.others, [move.name for move in self.task.moves]
        return Context(
            source=working,
            editable=self.task.editable,
            knobs=self.task.knobs,
            moves=self.task.moves,
            history=self.outcomes.all,
            tried=tried,
            seed=seed,
            brief=self._brief(),
            peers=self.peers(),
            insights=insights_of(store, line, author, blocked=blocked),
            reports=reports_of_others(
                store, line, author, noise_sd=self.noise_sd(), blocked=blocked
            ),
            scales=told_of_scales(store, line),
            intents=tuple(sorted(self.ledger.others_titles(working.tree))),
            aim=self.aim(),
            crash=self.outcomes.crash,
            show_unverified_words=self.show_unverified_words,
            regions=program.regions or () if (program := self.task.manifest.program) else (),
            in_vain=others.in_vain if others else frozenset(),
            others_part=others.part_of(moves, self.clock_ms()) if others else frozenset(),
        )

    def _brief(self) -> Brief:
        manifest, line, program = self.task.manifest, self.ledger.line, self.program()
        now_ms, store = self.clock_ms(), self.ledger.store
        keep_program(store, self.ledger.key, program, now_ms=now_ms)
        bank_nano = line.bank_nano if line else ()
        words = words_of(manifest)
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
            noise_sd=self.noise_sd(),
            best=sum(bank_nano) / len(bank_nano) / NANO if bank_nano else None,
            imports=allow_list(manifest.kind).imports,
            policy=self.policy,
            notes=notes_in_force(store, self.ledger.key, now_ms=now_ms),
        )
