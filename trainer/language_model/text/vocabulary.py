"""A byte-level BPE vocabulary: the bytes of each token.

It is stored as ranks in tiktoken's file format, followed by one BOS token. The same ranks encode
text (tiktoken, in Rust) and count the bytes that a metric is divided by. This module does not load
data.

The types of token arrays are defined here, each with its shape. `rows` is the number of scored
pieces of text, `context` the number of tokens predicted in each, `vocabulary` the number of
different tokens.
"""

import base64
import binascii
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from protocol.errors import ArnodeError

if TYPE_CHECKING:
    import tiktoken

Tokens: TypeAlias = NDArray[np.uint16]  # [tokens]
TokenRows: TypeAlias = NDArray[np.uint16]  # [rows, context + 1]: inputs, and targets one later
Inputs: TypeAlias = NDArray[np.uint16]  # [rows, context]: all but the last token of a row
ByteCounts: TypeAlias = NDArray[np.int64]  # [vocabulary]: a token's length, 0 for BOS
RowNumbers: TypeAlias = NDArray[np.int64]  # [rows]: indices of rows
RowMarks: TypeAlias = NDArray[np.bool_]  # [rows]: a boolean mask

BOS_NAME = "<|bos|>"

# From nanochat: GPT-4's pattern with at most two digits per number, for small vocabularies.
SPLIT_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2}"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of text in order, followed by `bos`, which stands for no text."""

    ranks: tuple[bytes, ...]

    @property
    def bos(self) -> int:
        return len(self.ranks)

    @property
    def size(self) -> int:
        """The number of tokens, BOS included."""
        return len(self.ranks) + 1

    @property
    def file_bytes(self) -> bytes:
        """The ranks in tiktoken's file format."""
        return b"".join(
            base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(self.ranks)
        )

    @cached_property
    def digest(self) -> bytes:
        """The sha256 of everything that determines how text becomes tokens."""
        return hashlib.sha256(SPLIT_PATTERN.encode() + b"\0" + self.file_bytes).digest()

    @cached_property
    def encoding(self) -> "tiktoken.Encoding":
        """The vocabulary as a tiktoken encoder."""
        import tiktoken

        return tiktoken.Encoding(
            name=f"arnode-{self.digest.hex()[:12]}",
            pat_str=SPLIT_PATTERN,
            mergeable_ranks={token: rank for rank, token in enumerate(self.ranks)},
            special_tokens={BOS_NAME: self.bos},
        )

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text, without BOS. Names of special tokens are ordinary text."""
        return self.encoding.encode_ordinary(text)

    def encode_all(self, texts: list[str]) -> list[list[int]]:
        """Return the tokens of each text, without BOS, using all processors."""
        threads = len(os.sched_getaffinity(0))
        return self.encoding.encode_ordinary_batch(texts, num_threads=threads)

    def decode(self, tokens: Iterable[int]) -> bytes:
        """Return the bytes of tokens; BOS has no bytes."""
        bos = self.bos
        return b"".join(self.ranks[token] for token in tokens if token != bos)


def parse_ranks(data: bytes, *, name: str) -> Vocabulary:
    """Read a vocabulary in tiktoken's file format.

    Raises ArnodeError, with `name` in its message, if the data are broken.
    """
    ranks: list[bytes] = []
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            encoded, rank = line.split()
            token = base64.b64decode(encoded, validate=True)
            in_order = int(rank) == len(ranks)
        except (ValueError, binascii.Error):
            in_order = False
        if not in_order:
            raise ArnodeError(
                f"{name}, line {number}: expected a token in base64 and the rank {len(ranks)}",
                "restore the file; a vocabulary is part of a task's identity",
            )
        ranks.append(token)
    if not set(ranks) >= {bytes([byte]) for byte in range(256)} or len(set(ranks)) < len(ranks):
        raise ArnodeError(
            f"{name}: the 256 single bytes are not all in it, or a token occurs twice",
            "restore the file; a vocabulary is part of a task's identity",
        )
    return Vocabulary(tuple(ranks))


def train_vocabulary(texts: Iterable[str], size: int) -> Vocabulary:
    """Train a BPE vocabulary of `size` tokens, BOS included (deterministic; 0.1 s for 4 MB)."""
    import rustbpe

    trainer = rustbpe.Tokenizer()
    trainer.train_from_iterator(texts, size - 1, pattern=SPLIT_PATTERN)
    ranks = sorted(trainer.get_mergeable_ranks(), key=lambda ranked: ranked[1])
    return Vocabulary(tuple(bytes(token) for token, _ in ranks))
