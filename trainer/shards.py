"""Text in parquet shards: fetched, checked, turned into tokens once and then mapped into memory.

    <data_dir>/shards/<first digits of its sha256>-<name>   a shard as it came
    <data_dir>/tokens/<shard>-<vocabulary>.u16              its tokens, BOS before each document

A task names its shards by split, `training/…`, `public/…`, `secret/…`, with the hash of each.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from protocol.errors import ConfigurationError
from trainer.task import Shard
from trainer.token_cache import Tokens, mapped_tokens
from trainer.vocabulary import Vocabulary
from trainer.windows import Progress

COLUMN: Final = "text"
_DOCUMENTS_AT_ONCE = 1024
_DIGITS = 12


def shard_tokens(
    shard: Shard, *, source: str, data_dir: Path, vocabulary: Vocabulary, progress: Progress
) -> Tokens:
    """Return a shard's tokens, mapped into memory; `source` is the URL or folder that has it.

    Raises:
        ArnodeError: it is not to be had (`trainer.download`).
        ConfigurationError: it is no parquet file with a column of text, or nothing here reads any.
    """
    name = f"{shard.sha256.hex()[:_DIGITS]}-{shard.name.rpartition('/')[2]}"
    kept = data_dir / "shards" / name

    def write(file: BinaryIO) -> None:
        from trainer.download import Transfer, download  # aiohttp: a quarter of a second, 20 MB

        def watch(transfer: Transfer) -> None:
            share = transfer.done_bytes / transfer.total_bytes if transfer.total_bytes else 0.0
            progress(f"downloading {transfer}", share / 2)

        where = f"{source.rstrip('/')}/{shard.name}"
        asyncio.run(download(where, kept, sha256=shard.sha256, watch=watch))
        for documents, share in _documents(kept, shard.name):
            progress(f"turning {shard.name} into tokens", 0.5 + share / 2)
            encoded = vocabulary.encode_all(documents)
            file.writelines(
                np.array([vocabulary.bos, *one], dtype="<u2").tobytes() for one in encoded
            )

    stem = name.removesuffix(".parquet")
    path = data_dir / "tokens" / f"{stem}-{vocabulary.digest.hex()[:_DIGITS]}.u16"
    return mapped_tokens(path, write)


def _documents(path: Path, name: str) -> Iterator[tuple[list[str], float]]:
    """Yield a shard's documents, some at a time, with the share of it that they are up to."""
    arrow = _arrow()
    try:
        file = arrow.parquet.ParquetFile(path)
        if COLUMN not in file.schema_arrow.names:
            raise ConfigurationError(
                f"{name} has no column `{COLUMN}`", "a task's shards hold their documents there"
            )
        total, seen = max(1, file.metadata.num_rows), 0
        for batch in file.iter_batches(batch_size=_DOCUMENTS_AT_ONCE, columns=[COLUMN]):
            documents = [one for one in batch.column(0).to_pylist() if isinstance(one, str) and one]
            seen += batch.num_rows
            yield documents, seen / total
    except (arrow.ArrowException, OSError) as error:
        raise ConfigurationError(
            f"{name} does not read as parquet: {error}", "name the shards of a data set of text"
        ) from error


def _arrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigurationError(
            "this task's data are parquet files, and nothing here reads them",
            "install what does: pip install 'arnode[shards]'",
        ) from error
    return pyarrow
