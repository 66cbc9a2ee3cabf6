"""Shards of random text of a real size, with the word frequencies of text installed here.

They have as many different words as that text, and compress about as well. The text is meaningless.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from tools.gpu.text import places

_WORDS_READ: Final = 30_000_000  # characters of installed files
_DOCUMENT_WORDS: Final = 600
_DOCUMENTS_AT_ONCE: Final = 1000


def write_shards(folder: Path, names: Sequence[str], size_bytes: int) -> None:
    """Write shards of about `size_bytes` each. Existing ones are kept."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    folder.mkdir(parents=True, exist_ok=True)
    words, shares = _words()
    for number, name in enumerate(names):
        path, part = folder / name, folder / f"{name}.part"
        if path.exists():
            continue
        random = np.random.default_rng(number)
        schema = pa.schema([("text", pa.string())])
        with ParquetWriter(part, schema, compression="zstd") as shard:
            while part.stat().st_size < size_bytes:
                documents = _documents(random.choice(words, _BATCH, p=shares).tolist())
                shard.write_table(pa.table({"text": list(documents)}, schema=schema))
        part.replace(path)


_BATCH: Final = _DOCUMENT_WORDS * _DOCUMENTS_AT_ONCE


def _documents(words: list[str]) -> Iterator[str]:
    for start in range(0, len(words), _DOCUMENT_WORDS):
        yield " ".join(words[start : start + _DOCUMENT_WORDS])


def _words() -> tuple[np.ndarray, np.ndarray]:
    """Return the words of the files installed here, and the frequency of each."""
    counts: Counter[str] = Counter()
    left = _WORDS_READ
    for place in places():
        for file in sorted(place.rglob("*.py")):
            text = file.read_text(errors="replace")
            counts.update(re.findall(r"[A-Za-z]+", text))
            left -= len(text)
            if left < 0:
                break
        if left < 0:
            break
    words = [word for word, count in counts.items() if len(word) < 20 and count > 1]
    shares = np.array([counts[word] for word in words], dtype=float)
    return np.array(words), shares / shares.sum()
