"""Experiments of another tool are not proposed again, by their source or by their words."""

import random
from collections.abc import Iterator

import pytest

from agent.hyperparameters.changes import Change, edits_of, read_back
from agent.hyperparameters.proposer import BuiltInSearch
from agent.model.prompt import prompt
from agent.proposal import Outcome, Proposal
from agent.source.canonical import fingerprint
from agent.source.edits import reapply
from agent.source.literals import find_hyperparameters
from node.exchange.importers import read_history
from node.home.home import Home
from node.loop.imported_tries import ImportedTries
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.source import Source
from tests.agent.contexts import SECRET, context
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task

HEADER = "commit\tval_bpb\tmemory_gb\tstatus\tdescription\n"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return load_task("tiny", data_dir=tmp_path_factory.mktemp("data"))


def imported(
    store: Store,
    blobs: Blobs,
    task: Task,
    rows: list[str],
    sources: dict[str, Source] | None = None,
) -> ImportedTries:
    log = read_history("autoresearch", (HEADER + "".join(rows)).encode(), "results.tsv")
    store.imported.keep(blobs, log, name="results.tsv", at_ms=1, sources=sources or {})
    return ImportedTries.read(store, blobs, task)


def proposals(task: Task, tries: ImportedTries, count: int) -> Iterator[Proposal]:
    """Return the built-in search's proposals over a night in which nothing gains."""
    tried, history = set[bytes](), list[Outcome]()
    for number in range(count):
        known = context(
            source=task.source,
            hyperparameters=task.hyperparameters,
            moves=task.moves,
            history=tuple(history[-6:]),  # a longer one makes the surrogate slow
            seed=1 + number,
            tried=lambda mark: mark in tried or tries.has(mark, task.source),
        )
        proposal = BuiltInSearch().propose(known)
        assert proposal is not None
        yield proposal
        tried.add(proposal.fingerprint)
        history.append(
            Outcome(
                key=proposal.key,
                decision="screened_out",
                gain_sd=-0.5,
                title=proposal.title,
                edits=proposal.edits,
            )
        )


@pytest.mark.soak
@pytest.mark.parametrize(
    ("logged", "proposed"), [(30, 40), pytest.param(126, 200, marks=pytest.mark.soak)]
)
def test_no_edit_of_a_log_with_its_branch_is_proposed_again(
    tiny: Task, home: Home, store: Store, logged: int, proposed: int
) -> None:
    """The log is of edits that the proposer itself would make, so that it would meet them."""
    before = [*proposals(tiny, ImportedTries(task=tiny), logged)]
    rows, sources, base, chance = list[str](), dict[str, Source](), tiny.source, random.Random(4)
    edits = set()
    for number, proposal in enumerate(before):
        label, kept = f"{number:07x}", chance.random() < 0.2
        made = reapply(proposal.edits, base)
        edits.add(proposal.edits)
        rows.append(
            f"{label}\t{1.0 - number / 1000:.6f}\t1.0\t{'keep' if kept else 'discard'}"
            f"\t{proposal.title}\n"
        )
        if made is not None and chance.random() < 0.5:  # of half of them only the words are there
            sources[label] = made
        base = made if kept and made is not None and label in sources else base
    tries = imported(store, Blobs(home.blobs), tiny, rows, sources)
    assert len(tries.rows) == logged
    settings = {
        tuple(sorted(step.after.items()))
        for made in edits
        if (step := read_back(made, tiny.hyperparameters)) is not None
    }
    for proposal in proposals(tiny, tries, proposed):
        assert proposal.edits not in edits
        step = read_back(proposal.edits, tiny.hyperparameters)
        assert step is None or tuple(sorted(step.after.items())) not in settings, proposal.title


def test_a_listed_move_made_on_another_base_counts_here(
    tiny: Task, home: Home, store: Store
) -> None:
    """Its edits then quote lines of that base, which the source here does not have."""
    moves = {move.name: move for move in tiny.moves}
    clipped = reapply(moves["clip"].edits, tiny.source)
    assert clipped is not None
    both = reapply(moves["own-rates"].edits, clipped)
    assert both is not None
    rows = [
        "aaa0000\t1.1\t1.0\tkeep\tbaseline\n",
        f"aaa0001\t1.0\t1.0\tkeep\t{moves['clip'].title}\n",
        f"aaa0002\t1.0\t1.0\tdiscard\t{moves['own-rates'].title}\n",
    ]
    sources = {"aaa0000": tiny.source, "aaa0001": clipped, "aaa0002": both}
    tries = imported(store, Blobs(home.blobs), tiny, rows, sources)
    assert reapply(tries.outcomes(clipped, 1.0)[-1].edits, clipped) == both
    alone = reapply(moves["own-rates"].edits, tiny.source)
    assert alone is not None
    assert tries.has(fingerprint(alone), tiny.source)


@pytest.mark.parametrize(
    "words",
    [
        "LEARNING_RATE 1e-2 → 0.02",
        "learning_rate=0.02",
        "raise the learning rate to 0.02",
        "Learning-Rate from 0.01 to 2e-2",
        "try LEARNING_RATE: 0.02 again",
    ],
)
def test_a_constant_and_its_number_are_read_from_words(
    words: str, tiny: Task, home: Home, store: Store
) -> None:
    tries = imported(store, Blobs(home.blobs), tiny, [f"abc1234\t1.0\t1.0\tdiscard\t{words}\n"])
    assert tries.has(setting(tiny, "LEARNING_RATE", 0.02), tiny.source)
    assert not tries.has(setting(tiny, "LEARNING_RATE", 0.03), tiny.source)


@pytest.mark.parametrize("words", ["a lower rate", "LEARNING_RATE", "MY_LEARNING_RATE 0.02"])
def test_words_that_name_no_constant_with_a_number_say_nothing(
    words: str, tiny: Task, home: Home, store: Store
) -> None:
    tries = imported(store, Blobs(home.blobs), tiny, [f"abc1234\t1.0\t1.0\tdiscard\t{words}\n"])
    assert not tries.has(setting(tiny, "LEARNING_RATE", 0.02), tiny.source)


def test_a_move_is_known_by_its_title(tiny: Task, home: Home, store: Store) -> None:
    move = tiny.moves[0]
    made = reapply(move.edits, tiny.source)
    assert made is not None
    row = f"abc1234\t1.0\t1.0\tdiscard\t{move.title.upper()}.\n"
    tries = imported(store, Blobs(home.blobs), tiny, [row])
    assert tries.has(fingerprint(made), tiny.source)


def test_a_step_is_known_on_another_base(tiny: Task, home: Home, store: Store) -> None:
    first, other = tiny.moves[:2]
    there = {"0000001": tiny.source, "0000002": reapply(first.edits, tiny.source)}
    rows = [
        "0000001\t1.0\t1.0\tkeep\tbaseline\n",
        "0000002\t1.1\t1.0\tdiscard\tsomething else\n",
    ]
    sources = {label: source for label, source in there.items() if source is not None}
    tries = imported(store, Blobs(home.blobs), tiny, rows, sources)
    base = reapply(other.edits, tiny.source)
    assert base is not None
    made = reapply(first.edits, base)
    assert made is not None
    assert tries.has(fingerprint(made), base)


def test_what_is_known_on_one_source_stays_known_while_another_is_tried(
    tiny: Task, home: Home, store: Store
) -> None:
    """A proposer asks from a thread of its own while the line moves on."""
    row = "abc1234\t1.0\t1.0\tdiscard\tLEARNING_RATE 0.02\n"
    tries = imported(store, Blobs(home.blobs), tiny, [row])
    moved = reapply(tiny.moves[0].edits, tiny.source)
    assert moved is not None
    applied = tries._applied_to(tiny.source)
    tries.outcomes(moved, 0.1)
    mark = setting(tiny, "LEARNING_RATE", 0.02)
    assert mark in applied.marks
    assert not tries.has(mark, moved)


def test_what_another_tool_says_came_of_it_is_reported_as_such(
    tiny: Task, home: Home, store: Store
) -> None:
    rows = [
        "0000001\t1.30\t1.0\tkeep\tbaseline\n",
        "0000002\t1.25\t1.0\tdiscard\tLEARNING_RATE 1e-2 → 0.02\n",
        "0000003\t1.20\t1.0\tkeep\tBETA2 to 0.99\n",
        "0000004\t0.0\t1.0\tcrash\ta new optimiser\n",
        "0000005\t1.30\t1.0\tdiscard\tWIDTH=96\n",
    ]
    tries = imported(store, Blobs(home.blobs), tiny, rows)
    reported = tries.outcomes(tiny.source, 0.1)
    assert [(one.decision, one.gain_sd and round(one.gain_sd, 6)) for one in reported] == [
        ("kept", None),
        ("screened_out", 0.5),
        ("kept", 1.0),
        ("failed", None),
        ("screened_out", -1.0),
    ]
    steps = [read_back(one.edits, tiny.hyperparameters) for one in reported]
    assert [dict(step.after) if step else None for step in steps] == [
        None,
        {"LEARNING_RATE": 0.02},
        {"BETA2": 0.99},
        None,
        {"WIDTH": 96},
    ]
    known = context(source=tiny.source, hyperparameters=tiny.hyperparameters, imported=reported)
    system, user = prompt(known, limit_chars=100_000, secret=SECRET)
    assert "LEARNING_RATE 1e-2" not in system.content
    label = "tried before with another tool, not measured by this node"
    section = user.content.split(label, 1)[1].split("--- ", 1)[0]
    assert [line.split("| ", 1)[1] for line in section.splitlines()[1:] if "|" in line] == [
        "1.3 | dropped | WIDTH=96",
        "- | failed | a new optimiser",
        "1.2 | kept | BETA2 to 0.99",
        "1.25 | dropped | LEARNING_RATE 1e-2 → 0.02",
        "1.3 | kept | baseline",
    ]


def setting(task: Task, name: str, value: float) -> bytes:
    """The canonical AST of the task's source with one constant set."""
    found = find_hyperparameters(task.source, task.editable, task.hyperparameters)
    hyperparameter = next(hyperparameter for hyperparameter in found if hyperparameter.name == name)
    made = reapply(edits_of(task.source, [Change(hyperparameter, value)]), task.source)
    assert made is not None
    return fingerprint(made)
