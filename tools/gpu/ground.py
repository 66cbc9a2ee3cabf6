"""The task on which both scripts are measured, with a budget of seconds and text from the machine.

It is made once and reused while its source files are the same. On a card the task has
autoresearch's sizes (2048 tokens a row, a vocabulary of 8192), on a CPU toy sizes.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from protocol.errors import ArnodeError
from tools.gpu.bpe import learn_vocabulary
from tools.gpu.progress import say
from tools.gpu.text import Texts, candidates, gather, places
from tools.paths import ROOT
from trainer.language_model.data import TaskData, rows_of
from trainer.language_model.text.vocabulary import Tokens, Vocabulary, parse_ranks
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task

SCRIPT: Final = ROOT / "trainer" / "tasks" / "nanochat" / "train.py"

_VERSION: Final = 1  # version of the stored data: raise it with any change in how they are made
_DOCUMENTS_AT_ONCE: Final = 512
_VOCABULARY: Final = "vocabulary.tiktoken"
_TASK: Final = """\
extends = "tiny"
name = "gpu"
title = "Text that is installed on this machine"
editable = ["train.py"]
hyperparameters = {{}}
limit_s = {limit_s}
warmup_limit_s = {warmup_limit_s}
memory_gb = {memory_gb}
weights_mb = 1000

[budget]
seconds = {seconds}

[audit]  # caps for what calibration allows: half floats differ in the third digit
k = {audited}
tolerance = 0.01
tau = 0.2

[data]
recipe = "text"
path = "installed"
vocabulary = "{vocabulary}"
context = {context}
rows = {rows}

[data.sha256]
text = "{digest}"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The sizes of a task. Text sizes are in bytes; `files` is the most per place."""

    files: int
    text: int
    least: int
    scored: int
    vocabulary: int
    learned_from: int
    context: int
    rows: int
    audited: int
    memory_gb: int
    warmup_limit_s: int


CARD = Scale(
    files=50_000, text=160 << 20, least=12 << 20, scored=16 << 20, vocabulary=8192,
    learned_from=8 << 20, context=2048, rows=256, audited=256, memory_gb=96, warmup_limit_s=300,
)  # fmt: skip
TOY = Scale(
    files=600, text=3 << 20, least=1 << 20, scored=1 << 20, vocabulary=1024,
    learned_from=1 << 20, context=64, rows=64, audited=64, memory_gb=4, warmup_limit_s=60,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A task with our script as its baseline, its data, and an account of its text."""

    task: Task
    data: TaskData
    account: dict[str, object]


def prepare_ground(
    scale: Scale, *, shown: Sequence[Path], kept: Path, seconds: int, folder: Path
) -> Ground:
    """Return the task and its data, made in `folder` from the text stored in `kept`.

    The text is gathered and stored there first if necessary. `shown` are the files that sandboxes
    show. Raises ArnodeError if there is too little text.
    """
    texts = _kept(scale, shown, kept)
    account = json.loads((texts / "account.json").read_text())
    vocabulary = (texts / _VOCABULARY).read_bytes()
    tokens = {name: np.load(texts / f"{name}.npy") for name in ("training", "public", "secret")}
    fitting = min(len(tokens[name]) // (scale.context + 1) for name in ("public", "secret"))
    rows = min(scale.rows, fitting)
    if rows < scale.rows // 4:
        raise ArnodeError(
            f"text for {fitting} rows of {scale.context} tokens is left that no sandbox could read "
            f"elsewhere; {scale.rows // 4} are needed to score on",
            "install manuals, headers or Python packages",
        )
    (folder / _VOCABULARY).write_bytes(vocabulary)
    (folder / "train.py").write_bytes(SCRIPT.read_bytes())
    (folder / "moves.toml").write_text("move = []\n")
    (folder / "task.toml").write_text(
        _TASK.format(
            limit_s=2 * seconds + 60,
            warmup_limit_s=scale.warmup_limit_s,
            memory_gb=scale.memory_gb,
            seconds=seconds,
            audited=scale.audited,
            vocabulary=_VOCABULARY,
            context=scale.context,
            rows=rows,
            digest=hashlib.sha256(tokens["training"].tobytes()).hexdigest(),
        )
    )
    data = _data(parse_ranks(vocabulary, name=_VOCABULARY), tokens, scale.context, rows)
    account = {**account, "scored_rows": rows, "tokens_a_row": scale.context}
    return Ground(task=load_task(folder, data_dir=folder), data=data, account=account)


def _data(vocabulary: Vocabulary, tokens: dict[str, Tokens], context: int, rows: int) -> TaskData:
    secret = rows_of(tokens["secret"], context, rows)
    return TaskData(
        vocabulary=vocabulary,
        public_rows=rows_of(tokens["public"], context, rows),
        secret_rows=lambda _key: secret,
        training_parts=(tokens["training"],),
    )


def _kept(scale: Scale, shown: Sequence[Path], kept: Path) -> Path:
    """Return the folder with tokens, vocabulary and account of the text that is installed now."""
    say("looking for text that no sandbox shows")
    found = candidates(places(), shown, most=scale.files)
    key = hashlib.sha256(repr((_VERSION, scale, found)).encode()).hexdigest()[:16]
    folder = kept / f"text-{key}"
    if folder.is_dir():
        return folder
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)  # from an interrupted call
    part.mkdir(parents=True)
    _make(scale, found, shown, part)
    return part.rename(folder)


def _make(
    scale: Scale, found: list[tuple[Path, str, int]], shown: Sequence[Path], folder: Path
) -> None:
    say(f"reading up to {scale.text >> 20} MiB of {len(found)} files")
    texts = gather(found, shown, size=scale.text, least=scale.least, scored=scale.scored)
    say(f"learning {scale.vocabulary} tokens")
    started_s = time.monotonic()
    vocabulary = learn_vocabulary(_beginning(texts.training, scale.learned_from), scale.vocabulary)
    learned_s = time.monotonic() - started_s
    (folder / _VOCABULARY).write_bytes(vocabulary.file_bytes)
    account = {**texts.account, "vocabulary": vocabulary.size, "learned_s": round(learned_s, 1)}
    for name, documents in _splits(texts):
        say(f"turning the {name} text into tokens")
        tokens = _tokens(vocabulary, documents)
        np.save(folder / f"{name}.npy", tokens)
        account[f"{name}_tokens"] = len(tokens)
    (folder / "account.json").write_text(json.dumps(account))


def _splits(texts: Texts) -> list[tuple[str, Sequence[str]]]:
    return [("training", texts.training), ("public", texts.public), ("secret", texts.secret)]


def _beginning(texts: Sequence[str], size: int) -> list[str]:
    chosen: list[str] = []
    for text in texts:
        chosen.append(text)
        size -= len(text)
        if size <= 0:
            break
    return chosen


def _tokens(vocabulary: Vocabulary, documents: Sequence[str]) -> Tokens:
    """Return the documents' tokens with BOS before each, encoded on all processors."""
    parts = [np.zeros(0, dtype=np.uint16)]
    for first in range(0, len(documents), _DOCUMENTS_AT_ONCE):
        batch = list(documents[first : first + _DOCUMENTS_AT_ONCE])
        parts += [
            np.array([vocabulary.bos, *tokens], dtype=np.uint16)
            for tokens in vocabulary.encode_all(batch)
        ]
    return np.concatenate(parts)
