"""Makes the pin of an unpinned task: the hashes of its shards, and a vocabulary trained on them.

If the source announces the hashes, only the first training shard is downloaded. Shards without an
announced hash are downloaded and hashed. The work can be killed at any moment and resumed by the
next call: downloads are kept, and the pin is written last and atomically. Two nodes that get the
same bytes make the same pin, and so the same task. Other bytes make another task.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from protocol.errors import ConfigurationError
from trainer.language_model.text.pin import PINS, Unpinned, find_pin, write_pin
from trainer.language_model.text.shards import (
    fetch_shard,
    fetch_unknown,
    keep_shard,
    read_documents,
)
from trainer.language_model.text.vocabulary import train_vocabulary
from trainer.measuring.kind import Progress
from trainer.measuring.waiting import one_at_a_time, waited

# As autoresearch trains its tokenizer, but on the text of one shard. More text would change few of
# some thousand merges, and delay the first run.
DOCUMENT_CHARACTERS: Final = 10_000
VOCABULARY_CHARACTERS: Final = 200_000_000


def pin_shards(
    unpinned: Unpinned, *, data_dir: Path, data_url: str | None, progress: Progress
) -> None:
    """Make the pin of a task's shards, unless it exists; `data_url` is the setting of that name.

    Raises ArnodeError if a shard is unavailable, ConfigurationError if it is unusable.
    """
    with one_at_a_time(data_dir / PINS / f"{unpinned.key}.lock", progress):
        if find_pin(unpinned, data_dir) is None:
            _pin(unpinned, data_url or unpinned.url, data_dir, progress)


def _pin(unpinned: Unpinned, source: str, data_dir: Path, progress: Progress) -> None:
    from trainer.language_model.text.announced import announced  # aiohttp

    progress("asking for the shards' hashes", 0.0)
    digests = waited(
        announced(source, unpinned.names), lambda: progress("asking for the shards' hashes", 0.0)
    )
    unknown: dict[str, Path] = {}
    missing = [name for name in unpinned.names if name not in digests]
    for number, name in enumerate(missing):

        def of_all(what: str, share: float, *, number: int = number) -> None:
            said = f"shard {number + 1} of {len(missing)}: {what}"
            progress(said, (number + share) / len(missing))

        unknown[name], digests[name] = fetch_unknown(
            name, source=source, data_dir=data_dir, progress=of_all
        )
    first = unknown.get(unpinned.first) or fetch_shard(
        unpinned.first,
        digests[unpinned.first],
        source=source,
        data_dir=data_dir,
        progress=progress,
    )
    _refuse_twins(digests)
    documents = _beginning(first, unpinned.first, progress)
    vocabulary = train_vocabulary(documents, unpinned.vocabulary_size)
    for name, path in unknown.items():
        keep_shard(path, name, digests[name], data_dir=data_dir)
    write_pin(unpinned, digests, vocabulary, data_dir=data_dir)


def _beginning(path: Path, name: str, progress: Progress) -> Iterator[str]:
    """Yield the documents that the vocabulary is trained on."""
    left = VOCABULARY_CHARACTERS
    for documents, share in read_documents(path, name):
        progress(f"reading {name} for the vocabulary", share)
        for document in documents:
            beginning = document[: min(left, DOCUMENT_CHARACTERS)]
            yield beginning
            left -= len(beginning)
            if not left:
                return
    if left == VOCABULARY_CHARACTERS:
        raise ConfigurationError(
            f"there is no text in {name}", "name a training shard with text in its column `text`"
        )


def _refuse_twins(digests: Mapping[str, bytes]) -> None:
    seen: dict[bytes, str] = {}
    for name, digest in digests.items():
        other = seen.setdefault(digest, name)
        if other != name:
            raise ConfigurationError(
                f"{other} and {name} are the same file", "a shard belongs to one split"
            )
