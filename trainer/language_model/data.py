"""A task's data on this node: training tokens by seed, public rows, secret rows.

Each document begins with BOS. Validation rows are windows of context + 1 tokens that do not
overlap, so that no row reveals the targets of another. Numpy only: nothing here trains or runs
anything.
"""

import hmac
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from protocol.errors import ConfigurationError
from trainer.language_model.manifest import recipe_of
from trainer.language_model.text.pin import SPLITS, Shard, Split
from trainer.language_model.text.shards import shard_tokens, tokens_path
from trainer.language_model.text.splits import read_splits
from trainer.language_model.text.token_cache import cached_tokens, tokens_digest
from trainer.language_model.text.vocabulary import ByteCounts, TokenRows, Tokens, Vocabulary
from trainer.language_model.text.windows import MAX_SEEN_SHARE, without_seen
from trainer.measuring.kind import Progress
from trainer.task_folder.task import Task
from trainer.tasks.tiny import world
from trainer.tasks.tiny.splitmix import SplitMix64, shuffled

TINY_TRAINING_BYTES: Final = 4_000_000
# The most secret rows and tokens that are searched for text that sandboxes can read.
_MOST_SECRET_ROWS = 16_384
_MOST_SECRET_TOKENS = 8 << 20
_BYTES_PER_TOKEN = 4  # more than the generated text ever has, so that one batch is enough


@dataclass(slots=True, kw_only=True, eq=False)
class TaskData:
    """The data of a language model; implements `trainer.measuring.kind.Prepared`.

    - `floor_nano`: the entropy of the generator of the public documents. None if it is unknown or
      the metric has another unit.
    - `byte_counts[token]`: the length of a token in bytes, 0 for BOS.
    - `secret_rows(key)`: draws rows that only the holder of that secret key can know.
    - `spare_rows`: rows of a private pool, kept apart for runs whose secret score decides nothing.
    - `training_parts`: in the manifest's order.
    - `coming`: loaders of the training parts that are not loaded yet.
    """

    vocabulary: Vocabulary
    public_rows: TokenRows
    secret_rows: Callable[[bytes], TokenRows]
    training_parts: tuple[Tokens, ...]
    floor_nano: int | None = None
    pool_bytes: int | None = None
    is_pool_public: bool = False
    spare_rows: TokenRows | None = None
    coming: tuple[Callable[[Progress], Tokens], ...] = ()
    byte_counts: ByteCounts = field(init=False)

    def __post_init__(self) -> None:
        self.byte_counts = byte_counts_of(self.vocabulary)

    @property
    def training_size(self) -> int:
        """The number of training tokens that are loaded."""
        return sum(map(len, self.training_parts))

    @property
    def size(self) -> str:
        return (
            f"{self.training_size:,} training tokens, {len(self.public_rows)} public rows, "
            f"vocabulary of {self.vocabulary.size}"
        )

    @property
    def scored_bytes(self) -> int:
        """The number of bytes of text that the targets of the public rows stand for."""
        return int(self.byte_counts[self.public_rows[:, 1:]].sum())

    @property
    def is_complete(self) -> bool:
        return not self.coming

    def load_rest(self, progress: Progress) -> None:
        """Load the missing training parts one by one, and append each as soon as it is loaded.

        Raises what `prepare` raises. The parts loaded before stay, and another call resumes.
        """
        while self.coming:
            part = self.coming[0](progress)
            if len(part):
                self.training_parts += (part,)
            self.coming = self.coming[1:]

    def training_tokens(self, seed: int, count: int) -> Tokens:
        """Return this seed's tokens: the documents in the seed's order, cut at `count`.

        If the documents are too few, they repeat in another order.
        """
        documents = [document for part in self.training_parts for document in self._split(part)]
        random = SplitMix64(seed)
        chosen: list[Tokens] = []
        total = 0
        while total < count:
            for number in shuffled(range(len(documents)), random):
                chosen.append(documents[number])
                total += len(chosen[-1])
                if total >= count:
                    break
        return np.concatenate(chosen)[:count]

    def _split(self, part: Tokens) -> list[Tokens]:
        starts = np.flatnonzero(part == self.vocabulary.bos)
        bounds = np.append(starts, len(part)).tolist()
        return [part[start:end] for start, end in pairwise(bounds)]


def prepare(
    task: Task,
    *,
    data_dir: Path,
    progress: Progress,
    data_url: str | None = None,
    visible: Sequence[Path] | None = None,
) -> TaskData:
    """Return the data that a first run needs; `TaskData.load_rest` loads the rest.

    A task of shards needs all scored shards and one training shard. With a budget of tokens it
    needs all training shards, since the seed chooses among all documents. The parameters are those
    of `trainer.measuring.kind.TaskKind.prepare`.

    Raises ArnodeError if shards are unavailable, ConfigurationError if the data differs from the
    task's manifest, SafetyError for text that every sandbox can read.
    """
    folder = data_dir / "tokens"
    match recipe_of(task).name:
        case "text":
            return _prepare_text(task, folder, progress, visible)
        case "shards":
            return _prepare_shards(task, data_dir, data_url, progress, visible)
        case "tiny-world":
            return _prepare_tiny_world(task, folder, progress)


def has_first(task: Task, *, data_dir: Path) -> bool:
    """Return True if `prepare` needs no download for this task."""
    scored, training, count = _in_order(task)
    vocabulary = recipe_of(task).vocabulary
    wanted = (*scored, *training[:count])
    return all(tokens_path(shard, data_dir, vocabulary).is_file() for shard in wanted)


def _in_order(task: Task) -> tuple[list[Shard], list[Shard], int]:
    """Return scored shards, training shards, and how many training shards a first run needs."""
    shards = recipe_of(task).shards
    scored = [shard for shard in shards if shard.split != "training"]
    training = [shard for shard in shards if shard.split == "training"]
    return scored, training, 1 if task.manifest.budget.unit == "seconds" else len(training)


def rows_of(tokens: Tokens, context: int, count: int) -> TokenRows:
    """Return the first `count` windows of context + 1 tokens."""
    return tokens[: count * (context + 1)].reshape(count, context + 1).copy()


def tokens_of(vocabulary: Vocabulary, documents: Iterable[str]) -> Tokens:
    """Return the documents' tokens with BOS before each."""
    tokens: list[int] = []
    for document in documents:
        tokens.append(vocabulary.bos)
        tokens += vocabulary.encode(document)
    return np.array(tokens, dtype=np.uint16)


def byte_counts_of(vocabulary: Vocabulary) -> ByteCounts:
    """Return how many bytes each token stands for."""
    return np.array([*map(len, vocabulary.ranks), 0], dtype=np.int64)


def _prepare_tiny_world(task: Task, folder: Path, progress: Progress) -> TaskData:
    vocabulary, manifest = recipe_of(task).vocabulary, task.manifest

    def make_pool() -> Tokens:
        progress("generating the training text", 0.0)
        documents = world.first_documents(world.TRAINING_SPLIT, TINY_TRAINING_BYTES)
        return tokens_of(vocabulary, [document.text for document in documents])

    def split_rows(documents: Sequence[world.Document]) -> TokenRows:
        tokens = tokens_of(vocabulary, [document.text for document in documents])
        return rows_of(tokens, manifest.context, manifest.scored_rows)

    def secret_rows(key: bytes) -> TokenRows:
        return split_rows(world.first_documents(world.secret_split(key), split_bytes))

    split_bytes = manifest.scored_rows * (manifest.context + 1) * _BYTES_PER_TOKEN
    pool = cached_tokens(folder / f"tiny-world-{vocabulary.digest.hex()[:12]}.npy", make_pool)
    progress("generating the public text", 0.8)
    public = world.first_documents(world.PUBLIC_SPLIT, split_bytes)
    public_rows = split_rows(public)
    expected = dict(manifest.data)
    for name, tokens in (("training", pool), ("public", public_rows)):
        found = tokens_digest(tokens)
        if found != expected.get(name):
            raise ConfigurationError(
                f"task {task.name}: its {name} tokens do not have the sha256 that the task names, "
                f"but {found.hex()[:12]}…",
                "this arnode generates another text: install the version that the task comes from",
            )
    bits = sum(document.bits for document in public)
    entropy_nano = round(bits / sum(len(document.text) for document in public) * 1e9)
    return TaskData(
        vocabulary=vocabulary,
        public_rows=public_rows,
        floor_nano=entropy_nano if manifest.metric.unit == "bits per byte" else None,
        secret_rows=secret_rows,
        training_parts=(pool,),
    )


def _prepare_text(
    task: Task, folder: Path, progress: Progress, visible: Sequence[Path] | None
) -> TaskData:
    recipe, manifest = recipe_of(task), task.manifest
    path, vocabulary = recipe.path, recipe.vocabulary
    assert path is not None  # noqa: S101 - the recipe of a text names it
    progress("reading the text", 0.0)
    splits = read_splits(path)
    if splits.digest != dict(manifest.data)["text"]:
        raise ConfigurationError(
            f"{path}: the text has changed since task {task.name} was made from it",
            f"make a new task from it: arnode start --text {path}",
        )
    key = f"{splits.digest.hex()[:16]}-{vocabulary.digest.hex()[:12]}"

    def kept(name: str, blocks: Sequence[str], share: float) -> Tokens:
        progress("turning the text into tokens", share)
        return cached_tokens(folder / f"{key}-{name}.npy", lambda: tokens_of(vocabulary, blocks))

    def all_rows(tokens: Tokens) -> TokenRows:
        return rows_of(tokens, manifest.context, len(tokens) // (manifest.context + 1))

    public, windows = without_seen(
        [
            all_rows(kept("public", splits.public, 0.2)),
            all_rows(kept("secret", splits.secret, 0.3)),
        ],
        vocabulary,
        what=str(path),
        cache=folder,
        visible=visible,
        progress=progress,
    )
    # Screens are many, and could leak something of their rows. Spare rows are used nowhere else, so
    # such a leak is worthless.
    spare_count = max(0, min(manifest.scored_rows, len(windows) - manifest.scored_rows))
    spare, pool = windows[:spare_count], windows[spare_count:]
    return TaskData(
        vocabulary=vocabulary,
        public_rows=public[: manifest.scored_rows],
        secret_rows=partial(_drawn, pool, manifest.scored_rows),
        spare_rows=np.resize(spare, public[: manifest.scored_rows].shape) if spare_count else None,
        pool_bytes=_size_bytes(pool, vocabulary),
        training_parts=(kept("training", splits.training, 0.4),),
    )


def _drawn(windows: TokenRows, count: int, key: bytes) -> TokenRows:
    """Return the `count` windows that a secret key selects."""
    drawn = hmac.digest(key, b"arnode/secret-rows/1", "sha256")
    order = shuffled(range(len(windows)), SplitMix64(int.from_bytes(drawn[:8], "big")))
    return windows[sorted(order[:count])]


def _size_bytes(windows: TokenRows, vocabulary: Vocabulary) -> int:
    return int(byte_counts_of(vocabulary)[windows[:, 1:]].sum())


def _prepare_shards(
    task: Task,
    data_dir: Path,
    data_url: str | None,
    progress: Progress,
    visible: Sequence[Path] | None,
) -> TaskData:
    recipe, manifest = recipe_of(task), task.manifest
    scored, training, count = _in_order(task)
    order = {shard: number for number, shard in enumerate([*scored, *training])}

    def load(shard: Shard, report_progress: Progress) -> Tokens:
        number = order[shard]
        return shard_tokens(
            shard,
            source=data_url or recipe.url,
            data_dir=data_dir,
            vocabulary=recipe.vocabulary,
            progress=lambda what, share: report_progress(
                f"shard {number + 1} of {len(order)}: {what}", (number + share) / len(order)
            ),
        )

    tokens: dict[Split, list[Tokens]] = {split: [] for split in SPLITS}
    for shard in scored:
        tokens[shard.split].append(load(shard, progress))
    # Skip training shards without any text.
    while training and len(tokens["training"]) < count:
        tokens["training"] += filter(len, [load(training.pop(0), progress)])
    if not tokens["training"]:
        raise ConfigurationError(
            f"task {task.name}: there is no text in its training shards",
            "name shards that have text in their column `text`",
        )

    def rows(split: Split, at_most: int) -> TokenRows:
        found = np.concatenate(
            [
                rows_of(part, manifest.context, min(at_most, len(part) // (manifest.context + 1)))
                for part in tokens[split]
            ]
        )
        if len(found) < manifest.scored_rows / (1 - MAX_SEEN_SHARE):
            raise ConfigurationError(
                f"task {task.name}: its {split} shards hold {len(found)} rows of"
                f" {manifest.context + 1} tokens, too few for {manifest.scored_rows} to be scored",
                "name another shard for that split, or fewer rows",
            )
        return found[:at_most]

    most = min(_MOST_SECRET_ROWS, _MOST_SECRET_TOKENS // manifest.context)
    public, windows = without_seen(
        [
            rows("public", 2 * manifest.scored_rows),
            rows("secret", max(most, 2 * manifest.scored_rows)),
        ],
        recipe.vocabulary,
        what=f"the data of task {task.name}",
        cache=data_dir / "tokens",
        visible=visible,
        progress=progress,
    )
    return TaskData(
        vocabulary=recipe.vocabulary,
        public_rows=public[: manifest.scored_rows],
        secret_rows=partial(_drawn, windows, manifest.scored_rows),
        pool_bytes=_size_bytes(windows, recipe.vocabulary),
        is_pool_public=True,
        training_parts=tuple(tokens["training"]),
        coming=tuple(partial(load, shard) for shard in training),
    )
