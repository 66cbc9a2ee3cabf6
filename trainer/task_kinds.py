"""The available kinds of task, by their name in a manifest, and functions for tasks of any kind.

Other packages use tasks only through this module. Outside the folder of a kind, only this module
imports the kind.
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
TRIED_WITH: Final = KINDS[LANGUAGE_MODEL].harness  # the harness that `doctor` tries sandboxes with


def kind_of(manifest: TaskManifest) -> TaskKind:
    """Return a task's kind. Raises ConfigurationError if the task cannot be measured here."""
    if manifest.kind not in KINDS:
        raise ConfigurationError(
            f"task {manifest.name}: unknown kind {manifest.kind!r}",
            f"use one of: {', '.join(KINDS)}; or install the arnode version that made the task",
        )
    kind = KINDS[manifest.kind]
    kind.check(manifest)
    return kind


def untrusted_task(manifest: TaskManifest, source: Source, read: Callable[[bytes], bytes]) -> Task:
    """Build a peer's task from its manifest, without a folder; `read` returns a file by its hash.

    Raises ConfigurationError if the manifest and the files are not enough to run the task, and the
    errors of `read`.
    """
    return kind_of(manifest).assembled(manifest, source, read)


def words_of(manifest: TaskManifest) -> TaskWords:
    """Return the words that describe a task to users. Its kind must be one of `KINDS`."""
    return KINDS[manifest.kind].words(manifest)


def load_task(name_or_path: str | Path, *, data_dir: Path) -> Task:
    """Return a task by its folder or by its name, if it is built in or was made here earlier.

    Raises UsageError if there is no such task, NotPreparedError if it needs a download first
    (`settled_task`), ConfigurationError if one of its files is invalid.
    """
    folder = find_folder(str(name_or_path), data_dir / OWN_TASKS)
    return read_task(folder, KINDS, data_dir=data_dir)


def settled_task(
    load: Callable[[], Task], *, data_dir: Path, data_url: str | None, progress: Progress
) -> Task:
    """Load a task with `load`; if it is not prepared, prepare it first.

    `data_url` is the setting of that name. Raises ArnodeError if a download is unavailable or
    unusable.
    """
    try:
        return load()
    except NotPreparedError as unsettled:
        kind = KINDS[unsettled.kind]
        kind.settle(unsettled, data_dir=data_dir, data_url=data_url, progress=progress)
    return load()


def trial_answers(
    task: Task, runs: Iterable[tuple[int, bytes]], *, on_holdout: bool = False
) -> AsyncGenerator[bytes, None]:
    """Yield the answers of a program's baseline, without judging them.

    `runs` have a seed and an instance each. `on_holdout`: use the holdout's files.

    Raises RunFailed.
    """
    from trainer.program.unjudged import unjudged_answers

    return unjudged_answers(task, runs, on_holdout=on_holdout)


def text_task(path: Path, *, data_dir: Path) -> Task:
    """Make a task from a text file or a folder of text files, and return it.

    Raises UsageError if nothing exists at `path`, ConfigurationError or SafetyError if the text is
    unusable.
    """
    from trainer.language_model.text_task import make_text_task

    return load_task(make_text_task(path, data_dir=data_dir), data_dir=data_dir)


def builtin_ids(data_dir: Path) -> dict[str, bytes]:
    """Return the ids of the built-in tasks by name, except tasks that are not prepared yet."""
    ids: dict[str, bytes] = {}
    for name in builtin_tasks():
        with suppress(NotPreparedError):
            ids[name] = load_task(name, data_dir=data_dir).id
    return ids


def card_fault(card: GraphicsCard) -> ArnodeError | None:
    """Return the reason runs cannot use a card, with a hint; None if they can."""
    return next(filter(None, (kind.card_fault(card) for kind in KINDS.values())), None)


def why_no_card(gpus: Sequence[str]) -> ArnodeError | None:
    """Return the reason none of the wanted cards can be used; None if one can.

    `gpus` names the wanted cards; empty means the preferred class. Tries each card in a sandbox,
    which takes seconds.
    """
    found = probe_wanted(gpus)
    if not found.cards:
        return ConfigurationError(
            found.fault or "no NVIDIA card was found",
            "if there is a card, run `arnode doctor` to see what is missing",
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
    extra_fields: Mapping[str, Any],
) -> tuple[str, ...]:
    """Write a language model to a folder (see `trainer.language_model.model_folder`)."""
    from trainer.language_model.data import TaskData
    from trainer.language_model.model_folder import write_model as written

    if not isinstance(data, TaskData):
        raise TypeError("these data are not text")
    return written(
        folder, source, weights, manifest=manifest, data=data, seed=seed, extra_fields=extra_fields
    )
