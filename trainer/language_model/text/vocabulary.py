"""A byte-level BPE vocabulary: what each token stands for, in bytes.

Kept as ranks in tiktoken's file format plus one BOS token behind them. The same ranks encode here
(tiktoken, in Rust) and count the bytes that a metric is divided by. It knows no data.

The arrays of tokens are named here, each with its shape: `rows` is how many pieces of text are
scored, `context` how many tokens are predicted in each, `vocabulary` how many tokens there are.
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
RowNumbers: TypeAlias = NDArray[np.int64]  # [rows]: which rows
RowMarks: TypeAlias = NDArray[np.bool_]  # [rows]: whether something holds of each

BOS_NAME = "<|bos|>"

# nanochat's: GPT-4's splitting with numbers of two digits at most, which suits small vocabularies.
SPLIT_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2}"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class Vocabulary:
    """The tokens that stand for text, in order; behind them `bos`, which stands for none."""

    ranks: tuple[bytes, ...]

    @property
    def bos(self) -> int:
        return len(self.ranks)

    @property
    def size(self) -> int:
        """How many tokens there are, BOS included."""
        return len(self.ranks) + 1

    @property
    def file_bytes(self) -> bytes:
        """The ranks in tiktoken's file format."""
        return b"".join(
            base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(self.ranks)
        )

    @cached_property
    def digest(self) -> bytes:
        """Hash of everything that decides how text becomes tokens."""
        return hashlib.sha256(SPLIT_PATTERN.encode() + b"\0" + self.file_bytes).digest()

    @cached_property
    def encoding(self) -> "tiktoken.Encoding":
        """The same vocabulary as tiktoken's encoder."""
        import tiktoken

        return tiktoken.Encoding(
            name=f"arnode-{self.digest.hex()[:12]}",
            pat_str=SPLIT_PATTERN,
            mergeable_ranks={token: rank for rank, token in enumerate(self.ranks)},
            special_tokens={BOS_NAME: self.bos},
        )

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text, without BOS; special names in it are ordinary text."""
        return self.encoding.encode_ordinary(text)

    def encode_all(self, texts: list[str]) -> list[list[int]]:
        """Return the tokens of each text, without BOS, with all processors at once."""
        threads = len(os.sched_getaffinity(0))
        return self.encoding.encode_ordinary_batch(texts, num_threads=threads)

    def decode(self, tokens: Iterable[int]) -> bytes:
        """Return the bytes that tokens stand for, none for BOS."""
        bos = self.bos
        return b"".join(self.ranks[token] for token in tokens if token != bos)


def parse_ranks(data: bytes, *, name: str) -> Vocabulary:
    """Read a vocabulary from tiktoken's file format; `name` is for the message if it is broken."""
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
                f"{name}, line {number}: not a token in base64 and its rank {len(ranks)}",
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
