"""The language model as a kind of task: implements the interface of `trainer.measuring.kind`.

The module is cheap to import, since many modules load tasks. The code that measures is imported on
first use.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from protocol.errors import ArnodeError, ConfigurationError
from protocol.manifest import TaskManifest
from protocol.source import Source
from protocol.units import NANO
from trainer.cards.cards import GraphicsCard
from trainer.host.device import Device
from trainer.language_model.harness import HARNESS
from trainer.language_model.manifest import check_metric, may_run_alongside, read_manifest
from trainer.language_model.text.pin import Unpinned
from trainer.measuring.kind import Measuring, Prepared, Progress, TaskWords
from trainer.measuring.models import KeptModels
from trainer.sandbox.compiled import CompiledCode
from trainer.task_folder.task import NotPreparedError, Task

_MEASURED: Final = """\
- Your version is trained in a sandbox: no network, no files, no other processes, nothing installed.
- Afterwards an evaluator outside asks the trained model about text that it never saw. What the \
script prints or computes about itself counts for nothing: never read, print or aim at a metric, \
and leave the calls of the harness and their order as they are."""
_TO_TARGET: Final = """
- What counts is how long the training takes, as a share of what the task's first version takes: \
CPU seconds, or on a card elapsed seconds. A model that the evaluator scores worse than \
{target:g} fails. You need not use the whole budget: end once the model reaches the target."""


class LanguageModel:
    """Prepares text, trains a model on it, and scores the model's predictions of other text."""

    harness: Final = HARNESS

    read = staticmethod(read_manifest)
    check = staticmethod(check_metric)
    may_run_alongside = staticmethod(may_run_alongside)

    def examined(
        self,
        task: Task,
        *,
        progress: Progress,
        device: Device,
        models: KeptModels | None = None,
    ) -> None:
        """Return None: a baseline run is the only check, since the evaluator is part of arnode."""

    def assembled(
        self, manifest: TaskManifest, source: Source, read: Callable[[bytes], bytes]
    ) -> Task:
        """Raise ConfigurationError, since a manifest does not say where the text comes from."""
        raise ConfigurationError(
            f"task {manifest.name} is a language model, which cannot be fetched by its id alone",
            "ask its author for the task's folder, and give its path",
        )

    def words(self, manifest: TaskManifest) -> TaskWords:
        """Return a description of how a script is trained and scored."""
        limits, budget, target_nano = manifest.limits, manifest.budget, manifest.target_nano
        to_target = "" if target_nano is None else _TO_TARGET.format(target=target_nano / NANO)
        return TaskWords(
            budget=f"{budget.amount:,} {budget.unit}",
            limits=(
                f"{limits.limit_s} s for training, {limits.memory_mb / 1000:g} GB of memory, "
                f"weights of {limits.weights_mb} MB."
            ),
            measured=_MEASURED + to_target,
        )

    def settle(
        self,
        unsettled: NotPreparedError,
        *,
        data_dir: Path,
        data_url: str | None,
        progress: Progress,
    ) -> None:
        """Find the shards' hashes, and train the vocabulary on the first training shard."""
        from trainer.language_model.text.pinning import pin_shards

        if not isinstance(unsettled.unknown, Unpinned):
            raise TypeError("this is not a list of shards without hashes")
        pin_shards(unsettled.unknown, data_dir=data_dir, data_url=data_url, progress=progress)

    def has_first(self, task: Task, *, data_dir: Path) -> bool:
        """Return True if the shards that a first run needs are here."""
        from trainer.language_model.data import has_first

        return has_first(task, data_dir=data_dir)

    def prepare(
        self,
        task: Task,
        *,
        data_dir: Path,
        progress: Progress,
        data_url: str | None = None,
        visible: Sequence[Path] | None = None,
    ) -> Prepared:
        """Turn the scored text, and the training text of a first run, into tokens."""
        from trainer.language_model.data import prepare

        return prepare(
            task, data_dir=data_dir, progress=progress, data_url=data_url, visible=visible
        )

    def card_fault(self, card: GraphicsCard) -> ArnodeError | None:
        """Check torch's build and the driver's files, and try CUDA in a sandbox."""
        from trainer.language_model.card_checks import card_fault

        return card_fault(card)

    def measuring(
        self,
        task: Task,
        data: Prepared,
        *,
        device: Device,
        compiled: CompiledCode | None,
        audit_key: bytes,
        models: KeptModels | None = None,
    ) -> Measuring:
        """Return the stages train, score and audit, each of which uses a sandbox of its own."""
        from trainer.language_model.data import TaskData
        from trainer.language_model.stages import Stages

        if not isinstance(data, TaskData):
            raise TypeError("these data are not text")
        return Stages(task, data, device=device, compiled=compiled, audit_key=audit_key)
