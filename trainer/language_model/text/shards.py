"""Text in parquet shards: downloaded, checked, turned into tokens once, then mapped into memory.

    <data_dir>/shards/<first digits of its sha256>-<name>   a downloaded shard
    <data_dir>/shards/from-<digits of its URL>-<name>       a shard whose sha256 is unknown yet
    <data_dir>/tokens/<shard>-<vocabulary>.u16              its tokens, BOS before each document

A task names its shards by split, `training/…`, `public/…`, `secret/…`, with the hash of each.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from protocol.errors import ConfigurationError
from trainer.language_model.text.pin import Shard
from trainer.language_model.text.token_cache import mapped_tokens
from trainer.language_model.text.vocabulary import Tokens, Vocabulary
from trainer.measuring.kind import Progress
from trainer.measuring.waiting import one_at_a_time, waited

COLUMN: Final = "text"
_DOCUMENTS_AT_ONCE = 1024
_DIGITS = 12


def shard_tokens(
    shard: Shard, *, source: str, data_dir: Path, vocabulary: Vocabulary, progress: Progress
) -> Tokens:
    """Return a shard's tokens, mapped into memory; `source` is the URL or folder of the shards.

    Raises ArnodeError if the shard is unavailable, ConfigurationError if it is not a parquet file
    with a column of text, or if no parquet reader is installed.
    """

    def write(file: BinaryIO) -> None:
        kept = fetch_shard(
            shard.name,
            shard.sha256,
            source=source,
            data_dir=data_dir,
            progress=lambda what, share: progress(what, share / 2),
        )
        for documents, share in read_documents(kept, shard.name):
            progress(f"turning {shard.name} into tokens", 0.5 + share / 2)
            encoded = vocabulary.encode_all(documents)
            file.writelines(
                np.array([vocabulary.bos, *one], dtype="<u2").tobytes() for one in encoded
            )

    path = tokens_path(shard, data_dir, vocabulary)
    with one_at_a_time(path.with_suffix(".lock"), progress):
        return mapped_tokens(path, write)


def tokens_path(shard: Shard, data_dir: Path, vocabulary: Vocabulary) -> Path:
    """Return the path for a shard's tokens."""
    stem = _kept(data_dir, shard.name, shard.sha256).name.removesuffix(".parquet")
    return data_dir / "tokens" / f"{stem}-{vocabulary.digest.hex()[:_DIGITS]}.u16"


def fetch_shard(
    name: str, sha256: bytes, *, source: str, data_dir: Path, progress: Progress
) -> Path:
    """Return the path of the shard with this hash; download it if need be."""
    path = _kept(data_dir, name, sha256)
    _fetch(f"{source.rstrip('/')}/{name}", path, sha256, progress)
    return path


def fetch_unknown(
    name: str, *, source: str, data_dir: Path, progress: Progress
) -> tuple[Path, bytes]:
    """Download a shard of unknown hash; return its preliminary path and its sha256.

    `keep_shard` moves it to its final path.
    """
    where = f"{source.rstrip('/')}/{name}"
    digits = hashlib.sha256(where.encode()).hexdigest()[:_DIGITS]
    path = data_dir / "shards" / f"from-{digits}-{_last(name)}"
    return path, _fetch(where, path, None, progress)


def keep_shard(path: Path, name: str, sha256: bytes, *, data_dir: Path) -> None:
    """Move a downloaded file to the path of the shard with this hash."""
    path.replace(_kept(data_dir, name, sha256))


def _kept(data_dir: Path, name: str, sha256: bytes) -> Path:
    return data_dir / "shards" / f"{sha256.hex()[:_DIGITS]}-{_last(name)}"


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _fetch(where: str, target: Path, sha256: bytes | None, progress: Progress) -> bytes:
    # Imported late: aiohttp costs a quarter of a second and 20 MB.
    from trainer.language_model.text.download import download

    said = (f"downloading {_last(where)}", 0.0)

    def note(what: str, share: float) -> None:
        nonlocal said
        said = (f"downloading {what}", share)

    with one_at_a_time(target.with_name(f"{target.name}.lock"), progress):
        fetching = download(where, target, sha256=sha256, progress=note)
        return waited(fetching, lambda: progress(*said))


def read_documents(path: Path, name: str) -> Iterator[tuple[list[str], float]]:
    """Yield a shard's documents in batches, each with the share of the shard read so far."""
    arrow = _arrow()
    try:
        file = arrow.parquet.ParquetFile(path)
        if COLUMN not in file.schema_arrow.names:
            raise ConfigurationError(
                f"{name} has no column `{COLUMN}`",
                "the documents of a task's shards must be in that column",
            )
        total, seen = max(1, file.metadata.num_rows), 0
        for batch in file.iter_batches(batch_size=_DOCUMENTS_AT_ONCE, columns=[COLUMN]):
            documents = [one for one in batch.column(0).to_pylist() if isinstance(one, str) and one]
            seen += batch.num_rows
            yield documents, seen / total
    except (arrow.ArrowException, OSError) as error:
        raise ConfigurationError(
            f"{name} is not a readable parquet file: {error}",
            "name the shards of a data set of text",
        ) from error


def _arrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigurationError(
            "this task's data are parquet files, but no parquet reader is installed",
            "install one: pip install 'arnode[shards]'",
        ) from error
    return pyarrow
