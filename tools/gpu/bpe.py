"""A trainer of byte-level BPE vocabularies, for machines without the trainer that tasks use.

Plain Python: it counts pairs over distinct pieces and updates the counts as it merges. Among pairs
of equal frequency, the one of older tokens is merged first, so that a text has exactly one
vocabulary.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise

import regex  # tiktoken needs it as well

from trainer.language_model.text.vocabulary import SPLIT_PATTERN, Vocabulary

Pair = tuple[int, int]


def learn_vocabulary(texts: Iterable[str], size: int) -> Vocabulary:
    """Return a vocabulary of at most `size` tokens, BOS included (8192 from 6 MB take 15 s)."""
    split = regex.compile(SPLIT_PATTERN)
    pieces: Counter[str] = Counter()
    for text in texts:
        pieces.update(split.findall(text))
    # A piece that occurs once favours no pair over another.
    counts = {piece.encode(): count for piece, count in pieces.items() if count > 1}
    return Vocabulary(tuple(_Merges(counts).up_to(size - 1)))


class _Merges:
    """Pieces as lists of tokens, and the places of each pair of neighbours."""

    def __init__(self, counts: dict[bytes, int]) -> None:
        self._words = [list(piece) for piece in counts]
        self._counts = list(counts.values())
        self._pairs: Counter[Pair] = Counter()
        self._places: defaultdict[Pair, set[int]] = defaultdict(set)
        for number, word in enumerate(self._words):
            self._add(number, word)
        self._queue = [(-count, pair) for pair, count in self._pairs.items()]
        heapq.heapify(self._queue)

    def up_to(self, size: int) -> list[bytes]:
        """Merge until there are `size` tokens or no pair occurs twice; return the tokens' bytes."""
        ranks = [bytes([byte]) for byte in range(256)]
        numbers = {token: number for number, token in enumerate(ranks)}
        while len(ranks) < size and self._queue:
            count, pair = heapq.heappop(self._queue)
            if -count != self._pairs[pair]:
                if self._pairs[pair] > 1:  # an old count, from before other merges took some places
                    heapq.heappush(self._queue, (-self._pairs[pair], pair))
                continue
            token = ranks[pair[0]] + ranks[pair[1]]
            if token not in numbers:  # two pairs may give the same token
                numbers[token] = len(ranks)
                ranks.append(token)
            self._merge(pair, numbers[token])
        return ranks

    def _merge(self, pair: Pair, token: int) -> None:
        touched: set[Pair] = set()
        for number in self._places.pop(pair):
            word = self._words[number]
            touched |= self._remove(number, word)
            merged = self._words[number] = _replaced(word, pair, token)
            touched |= self._add(number, merged)
        for other in touched:
            if self._pairs[other] > 1:
                heapq.heappush(self._queue, (-self._pairs[other], other))
        self._pairs[pair] = 0

    def _add(self, number: int, word: list[int]) -> set[Pair]:
        pairs = list(pairwise(word))
        for pair in pairs:
            self._pairs[pair] += self._counts[number]
            self._places[pair].add(number)
        return set(pairs)

    def _remove(self, number: int, word: list[int]) -> set[Pair]:
        pairs = list(pairwise(word))
        for pair in pairs:
            self._pairs[pair] -= self._counts[number]
        return set(pairs)


def _replaced(word: list[int], pair: Pair, token: int) -> list[int]:
    merged: list[int] = []
    at = 0
    while at < len(word):
        if tuple(word[at : at + 2]) == pair:
            merged.append(token)
            at += 2
        else:
            merged.append(word[at])
            at += 1
    return merged
