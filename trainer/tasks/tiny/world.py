"""Documents of the generated world, each by its own seed, with their exact information.

A split is an endless sequence of documents whose seeds are derived by sha256 from the split's
name, so that no document of one split occurs in another, and a secret split is as unpredictable
as the secret in its name. This module lives on the trusted side only.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from trainer.tasks.tiny.chance import Dice
from trainer.tasks.tiny.story import Story
from trainer.tasks.tiny.tables import world_tables

_SEED_DOMAIN = b"arnode/tiny-world/1\0"

TRAINING_SPLIT = b"training"
PUBLIC_SPLIT = b"public"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document's text, and the information in the choices that made it: the generator's
    entropy, which a model reaches only if it knows the rules and sees the whole document."""

    text: str
    bits: float


def secret_split(key: bytes) -> bytes:
    """Return the name of the split of a secret key; whoever lacks that cannot derive it."""
    return b"secret\0" + hashlib.sha256(key).digest()


def document_of_seed(seed: int) -> Document:
    """Return the document that a 64-bit seed stands for."""
    dice = Dice(seed)
    Story(world_tables(), dice).tell()
    return Document(text=dice.written_since(0), bits=dice.bits)


def documents_of_split(split: bytes) -> Iterator[Document]:
    """Yield the split's documents, without end."""
    prefix = _SEED_DOMAIN + len(split).to_bytes(2, "big") + split
    number = 0
    while True:
        digest = hashlib.sha256(prefix + number.to_bytes(8, "big")).digest()
        yield document_of_seed(int.from_bytes(digest[:8], "big"))
        number += 1


def first_documents(split: bytes, size_bytes: int) -> list[Document]:
    """Return the split's first documents, whole, until they hold at least `size_bytes`."""
    documents: list[Document] = []
    total = 0
    for document in documents_of_split(split):
        documents.append(document)
        total += len(document.text)
        if total >= size_bytes:
            break
    return documents
