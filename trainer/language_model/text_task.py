"""A language-model task made from the user's own text: `arnode start --text PATH`.

The task is a folder under `data_dir` that extends `tiny` with another name, vocabulary and data.
The folder is then loaded like any other task. The task is private by default: its manifest holds
only hashes, and the node announces none of its records.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from protocol.errors import UsageError
from trainer.language_model.data import tokens_of
from trainer.language_model.text.splits import TextSplits, read_texts, split_texts
from trainer.language_model.text.token_cache import write_atomically
from trainer.language_model.text.vocabulary import Vocabulary, train_vocabulary
from trainer.language_model.text.windows import MAX_SEEN_SHARE, refuse_installed
from trainer.task_folder.folder import OWN_TASKS, TASK_FILE

# A run on a CPU reads half a megabyte of text, so it would see further tokens too rarely.
_VOCABULARY_SIZE: Final = 1024
_VOCABULARY_TEXT_BYTES: Final = 8_000_000
_CONTEXT: Final = 128
_MAX_ROWS: Final = 512
_VOCABULARY_FILE: Final = "vocabulary.tiktoken"

_TASK_FILE_TEXT = """\
# Made by `arnode start --text`. Everything that is not given here is that of `tiny`.
extends = "tiny"
name = {name}
version = 1
title = {title}
private = true

[data]
recipe = "text"
path = {path}
vocabulary = "{vocabulary}"
context = {context}
rows = {rows}

[data.sha256]
text = "{digest}"
"""


def make_text_task(path: Path, *, data_dir: Path) -> str:
    """Make a task from a text file or a folder of text files, and return its name.

    Raises UsageError if nothing exists at `path`, ConfigurationError if the text is unusable,
    SafetyError if the text belongs to installed software, which every sandbox can read.
    """
    path = path.expanduser().resolve()
    if not path.exists():
        raise UsageError(f"{path} does not exist", "give a text file or a folder of them")
    texts = read_texts(path)
    refuse_installed(path, texts)
    splits = split_texts(path, texts)
    vocabulary = train_vocabulary(_beginning(splits.training), _VOCABULARY_SIZE)
    name = task_name(path, splits.digest)
    folder = data_dir / OWN_TASKS / name
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / _VOCABULARY_FILE, vocabulary.file_bytes)
    content = _TASK_FILE_TEXT.format(
        name=_quoted(name),
        title=_quoted(f"A small GPT on the text of {path.name}"),
        path=_quoted(str(path)),
        vocabulary=_VOCABULARY_FILE,
        context=_CONTEXT,
        rows=_rows(vocabulary, splits),
        digest=splits.digest.hex(),
    )
    write_atomically(folder / TASK_FILE, content.encode())
    return name


def task_name(path: Path, digest: bytes) -> str:
    """Return `text-<stem>-<8 hex digits of the text's hash>`."""
    stem = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")[:30].strip("-")
    return f"text-{stem or 'own'}-{digest.hex()[:8]}"


def _beginning(blocks: Sequence[str]) -> list[str]:
    """Return the first blocks, about `_VOCABULARY_TEXT_BYTES` in all. Pass only training blocks."""
    beginning: list[str] = []
    size = 0
    for block in blocks:
        beginning.append(block)
        size += len(block)
        if size >= _VOCABULARY_TEXT_BYTES:
            break
    return beginning


def _rows(vocabulary: Vocabulary, splits: TextSplits) -> int:
    """Return the number of rows to score in each validation split.

    Rows whose text sandboxes show are removed. The number is small enough that both splits have
    that many rows left even if `MAX_SEEN_SHARE` of their rows are removed.
    """
    size = _CONTEXT + 1
    smaller = min(len(tokens_of(vocabulary, part)) for part in (splits.public, splits.secret))
    return min(_MAX_ROWS, int(smaller // size * (1 - MAX_SEEN_SHARE)))


def _quoted(text: str) -> str:
    """Return a text as a TOML string. JSON strings have the same escapes."""
    return json.dumps(text, ensure_ascii=False)
