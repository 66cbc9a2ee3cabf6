"""The kinds of task that there are here, by the word in a manifest, and tasks of any kind.

Whoever uses a task comes through here: no other module outside a kind's own folder names one.
"""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from protocol.errors import ArnodeError, ConfigurationError
from protocol.manifest import TaskManifest
from protocol.source import Source
from trainer.cards.cards import GraphicsCard, probe_wanted
from trainer.language_model.kind import LanguageModel
from trainer.language_model.manifest import KIND as LANGUAGE_MODEL
from trainer.measuring.kind import Prepared, Progress, TaskKind, TaskWords
from trainer.program.kind import ProgramKind
from trainer.program.manifest import KIND as PROGRAM
from trainer.task_folder.folder import OWN_TASKS, builtin_tasks, find_folder
from trainer.task_folder.task import NotPreparedError, Task, read_task

KINDS: Final[Mapping[str, TaskKind]] = {LANGUAGE_MODEL: LanguageModel(), PROGRAM: ProgramKind()}
TRIED_WITH: Final = KINDS[LANGUAGE_MODEL].harness  # what `doctor` starts sandboxes with


def kind_of(manifest: TaskManifest) -> TaskKind:
    """Return a task's kind. Raises ConfigurationError if it is none that can be measured here."""
    if manifest.kind not in KINDS:
        raise ConfigurationError(
            f"task {manifest.name}: there are no tasks of kind {manifest.kind!r} here",
            f"possible: {', '.join(KINDS)}; or install the version that the task comes from",
        )
    kind = KINDS[manifest.kind]
    kind.check(manifest)
    return kind


def strangers_task(manifest: TaskManifest, source: Source, read: Callable[[bytes], bytes]) -> Task:
    """Return the task of a manifest that came without a folder; `read` takes a file by its hash.

    Raises ConfigurationError if it cannot be run from that, and what `read` raises.
    """
    return kind_of(manifest).assembled(manifest, source, read)


def words_of(manifest: TaskManifest) -> TaskWords:
    """Return a task in the words of its kind, which is one of those here."""
    return KINDS[manifest.kind].words(manifest)


def load_task(name_or_path: str | Path, *, data_dir: Path) -> Task:
    """Return the task of that name, built in or made here before, or of that folder.

    Raises UsageError if there is none, NotPreparedError if something of it is to be fetched
    (`settled_task`), ConfigurationError if one of its files has a fault.
    """
    folder = find_folder(str(name_or_path), data_dir / OWN_TASKS)
    return read_task(folder, KINDS, data_dir=data_dir)


def settled_task(
    load: Callable[[], Task], *, data_dir: Path, data_url: str | None, progress: Progress
) -> Task:
    """Return what `load` does; if it lacks something that is to be fetched, see to that first.

    `data_url` is the setting. Raises ArnodeError if that is not to be had or cannot serve.
    """
    try:
        return load()
    except NotPreparedError as unsettled:
        kind = KINDS[unsettled.kind]
        kind.settle(unsettled, data_dir=data_dir, data_url=data_url, progress=progress)
    return load()


def trial_answers(
    task: Task, instances: Iterable[bytes], *, on_holdout: bool = False
) -> AsyncGenerator[bytes, None]:
    """Yield what a program's baseline answers to instances, which no judge looks at.

    `on_holdout`: with the holdout's files. Raises RunFailed.
    """
    from trainer.program.unjudged import unjudged_answers

    return unjudged_answers(task, instances, on_holdout=on_holdout)


def text_task(path: Path, *, data_dir: Path) -> Task:
    """Make the task of a text file, or of a folder of them, and return it.

    Raises UsageError if there is nothing at `path`, ConfigurationError or SafetyError if the text
    cannot serve.
    """
    from trainer.language_model.text_task import make_text_task

    return load_task(make_text_task(path, data_dir=data_dir), data_dir=data_dir)


def builtin_ids(data_dir: Path) -> dict[str, bytes]:
    """Return the ids of the tasks that come with arnode, by name; those not prepared have none."""
    ids: dict[str, bytes] = {}
    for name in builtin_tasks():
        with suppress(NotPreparedError):
            ids[name] = load_task(name, data_dir=data_dir).id
    return ids


def card_fault(card: GraphicsCard) -> ArnodeError | None:
    """Return why runs cannot use a card, with what to mend; None if they can."""
    return next(filter(None, (kind.card_fault(card) for kind in KINDS.values())), None)


def card_to_be_had(gpus: Sequence[str]) -> ArnodeError | None:
    """Return why no card is to be had of those that `gpus` names, or of all; None if one is.

    Tries each one that stands in a sandbox, which takes seconds.
    """
    found = probe_wanted(gpus)
    if not found.cards:
        return ConfigurationError(
            found.fault or "there is none here",
            "if there is a card, `arnode doctor` says what it lacks",
        )
    faults = [card_fault(card) for card in found.cards]
    return None if None in faults else faults[0]


def write_model(
    folder: Path,
    source: Source,
    weights: bytes,
    *,
    manifest: TaskManifest,
    data: Prepared,
    seed: int,
    told: Mapping[str, Any],
) -> tuple[str, ...]:
    """Write a language model's folder (`trainer.language_model.model_folder`)."""
    from trainer.language_model.data import TaskData
    from trainer.language_model.model_folder import write_model as written

    if not isinstance(data, TaskData):
        raise TypeError("these data are no text")
    return written(folder, source, weights, manifest=manifest, data=data, seed=seed, told=told)
