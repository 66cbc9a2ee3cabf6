"""The journal: a git repository for each line, which reads as a lab notebook.

`main` is the verified head (checked out, so that anybody can read it), `working` the working line,
`refs/arnode/<id>` each experiment. The journal follows the store: it writes each record whose ref
is missing, so a kill at any time loses nothing. A user's changes in it are never overwritten. They
cause an error or are moved aside.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from node.home.faults import explaining_faults
from node.home.files import write_file
from node.home.home import Home
from node.store.blobs import Blobs
from node.store.experiments import Adoption, Experiment
from node.store.jobs import LineKey
from node.store.notebook import MAIN, WORKING, Entry, Lineage, page_of, table_header, table_line
from node.store.notes import notes_page
from node.store.store import Store
from protocol.errors import ArnodeError

if TYPE_CHECKING:
    from node.store.git_repository import Repository

REFS = "refs/arnode/"
TABLE = "results.tsv"
NOTES = "notes.md"
_HINT = "`arnode home fsck --rebuild` rebuilds the journal and keeps the edited copy"


class JournalEditedError(ArnodeError):
    """A branch of the journal was moved to a commit that the node did not write."""


class Journal:
    """The repository of one line. Call `catch_up` only while holding the home's lock."""

    def __init__(self, home: Home, store: Store, blobs: Blobs, line: LineKey) -> None:
        self._folder = home.journal
        self._store = store
        self._blobs = blobs
        self._line = line
        self._repository: Repository | None = None
        self._lineage = Lineage()
        self._last_n = 0
        self._table: dict[bytes, str] = {}

    @property
    def path(self) -> Path:
        """The repository's folder, named after the task once its record is stored."""
        # Not cached: a journal is opened before a new task's record is in the store.
        manifest = self._store.records.manifest(self._line.task)
        name = "task" if manifest is None else manifest.name
        return self._folder / f"{name}-{self._line.task.hex()[:8]}-{self._line.hardware_class}"

    def catch_up(self) -> int:
        """Write the records that the journal lacks; return the number of new commits."""
        try:
            return self._write_new()
        except BaseException:
            # The state may be unwritten: the next call reads it from the repository.
            self._repository = None
            raise

    def _write_new(self) -> int:
        with explaining_faults(self.path):
            repository = self._repository or self._open()
            before = self._lineage.branches
            entries = self._entries(after=self._last_n)
            step: dict[str, str] = {}
            for entry in entries:
                objects = page_of(entry, self._lineage, self._store, self._blobs.get_source)
                repository.write(objects)
                self._turn(entry, objects[-1].name)
                step[REFS + entry.id.hex()] = objects[-1].name
            after = self._lineage.branches
            moved = {ref: commit for ref, commit in after.items() if before.get(ref) != commit}
            # Experiments first, since a branch must always point to one of them.
            repository.move(step, moved)
            if MAIN in moved:
                for path in self._edited_files(self._lineage):
                    path.rename(_free_name(path.with_name(f"{path.name}.edited")))
                self._check_out(repository)
            if entries:
                self._extend_table(entries)
            self._write_notes()
            return len(entries)

    def check(self) -> list[str]:
        """Return the journal's problems: missing refs and files, and edited ones."""
        if not (self.path / ".git").is_dir():
            return [f"the journal {self.path} is missing"] if self._entries() else []
        from node.store.git_repository import Repository

        expected = self.expected()
        try:
            repository = Repository(self.path)
            found = repository.refs()
            problems = repository.faults()
        except ArnodeError as fault:
            return [fault.message]
        wanted = {REFS + record.hex(): commit for record, commit in expected.by_record.items()}
        wanted |= expected.branches
        problems += [f"{ref} is missing" for ref in wanted if ref not in found]
        problems += [
            f"{ref} points to commit {commit[:12]}, which arnode did not make"
            for ref, commit in found.items()
            if (ref in wanted or ref.startswith(REFS)) and wanted.get(ref) != commit
        ]
        problems += [f"{path.name} was edited" for path in self._edited_files(expected)]
        return [f"journal {self.path.name}: {problem}" for problem in problems]

    def rebuild(self) -> Path | None:
        """Build the journal again from the store; return where the damaged one is now, if any."""
        aside: Path | None = None
        if self.path.exists() and self.check():
            aside = _free_name(self.path.with_name(f"{self.path.name}.aside"))
            self._repository = None
            self.path.rename(aside)
        self.catch_up()
        return aside

    def expected(self) -> Lineage:
        """Return the state that the journal must have, computed from the store without git."""
        lineage = Lineage()
        for entry in self._entries():
            objects = page_of(entry, lineage, self._store, self._blobs.get_source)
            lineage.turn(entry, objects[-1].name)
        return lineage

    def expected_table(self) -> str:
        """Return the expected results.tsv, computed from the store without git."""
        commits = self.expected().by_record
        rows = self._store.experiments.listed(self._line)
        lines = (table_line(row, commits[row.id]) for row in rows)
        return self._table_header() + "".join(lines)

    def _table_header(self) -> str:
        manifest = self._store.records.manifest(self._line.task)
        return table_header("metric" if manifest is None else manifest.metric.name)

    def _entries(self, *, after: int = 0) -> list[Entry]:
        entries: list[Entry] = [
            *self._store.experiments.listed(self._line, after=after),
            *self._store.experiments.adoptions(self._line, after=after),
        ]
        return sorted(entries, key=lambda entry: entry.n)

    def _turn(self, entry: Entry, commit: str) -> None:
        self._lineage.turn(entry, commit)
        self._last_n = entry.n

    def _open(self) -> "Repository":
        from node.store.git_repository import Repository, remove_stale_locks

        self._lineage, self._last_n = Lineage(), 0
        if not (self.path / ".git" / "HEAD").is_file():
            self._table = {}
            ignored = (TABLE, NOTES, "*.edited-*", ".arnode-tmp-*")
            self._repository = Repository.create(self.path, ignored=ignored)
            return self._repository
        remove_stale_locks(self.path)
        repository = Repository(self.path)
        found = repository.refs()
        known = {commit for ref, commit in found.items() if ref.startswith(REFS)}
        for ref in (MAIN, WORKING):
            if found.get(ref) is not None and found[ref] not in known:
                raise JournalEditedError(
                    f"{ref} in the journal {self.path} points to a commit that arnode did not make",
                    _HINT,
                )
        entries = self._entries()
        for entry in entries:
            commit = found.get(REFS + entry.id.hex())
            if commit is None:
                break
            self._turn(entry, commit)
        # Fix the branches, in case the node was killed after writing the experiments' refs.
        branches = self._lineage.branches
        repository.move({ref: name for ref, name in branches.items() if name != found.get(ref)})
        repository.pack()
        self._check_out(repository)
        self._repository = repository
        self._write_table()
        return repository

    # The checked-out files of main

    def _edited_files(self, lineage: Lineage) -> list[Path]:
        """Return the checked-out files whose contents were in no verified head so far."""
        held: dict[str, set[bytes]] = {}
        for tree in set(lineage.main_trees):
            for name, data in self._blobs.get_source(tree).files:
                held.setdefault(name, set()).add(data)
        paths = [(self.path / name, contents) for name, contents in sorted(held.items())]
        return [path for path, known in paths if path.exists() and path.read_bytes() not in known]

    def _check_out(self, repository: "Repository") -> None:
        if not self._lineage.main_trees:
            return
        edited = self._edited_files(self._lineage)
        for name, data in self._blobs.get_source(self._lineage.main_trees[-1]).files:
            path = self.path / name
            if path not in edited and not (path.exists() and path.read_bytes() == data):
                path.parent.mkdir(parents=True, exist_ok=True)
                write_file(path, data, mode=0o644)
        repository.take_index_from(MAIN)

    # notes.md, results.tsv

    def _write_notes(self) -> None:
        text, path = notes_page(self._store, self._line), self.path / NOTES
        if text and not (path.exists() and path.read_text("utf-8") == text):
            write_file(path, text.encode(), mode=0o644)

    def _extend_table(self, entries: list[Entry]) -> None:
        if any(isinstance(entry, Adoption) for entry in entries) or not self._table:
            self._write_table()
            return
        lines = [self._table_line(entry) for entry in entries if isinstance(entry, Experiment)]
        with (self.path / TABLE).open("a", encoding="utf-8") as stream:
            stream.write("".join(lines))

    def _write_table(self) -> None:
        for experiment in self._store.experiments.listed(self._line):
            if experiment.id in self._lineage.by_record:
                self._table_line(experiment)
        text = self._table_header() + "".join(self._table.values())
        write_file(self.path / TABLE, text.encode(), mode=0o644)

    def _table_line(self, experiment: Experiment) -> str:
        line = table_line(experiment, self._lineage.by_record[experiment.id])
        self._table[experiment.id] = line
        return line


def _free_name(path: Path) -> Path:
    number = 1
    while (free := path.with_name(f"{path.name}-{number}")).exists():
        number += 1
    return free
