"""The world's fixed probabilities: which words follow which, in what context.

The tables are the same for every document and split; a seed only drives documents. One table per
context, Zipfian over a permutation of the words that belongs to the context: that is what a model
can learn and what the entropy floor assumes it knows.
"""

import math
from collections.abc import Hashable, Sequence
from functools import cache
from typing import TypeVar

from trainer.tasks.tiny import words
from trainer.tasks.tiny.chance import Table
from trainer.tasks.tiny.splitmix import SplitMix64, shuffled

Word = TypeVar("Word", bound=Hashable)
Name = tuple[str, str]  # first name, pronoun

_WORLD = "tiny-world/1"
_FNV_OFFSET, _FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3

# How often each form of sentence is used, where the state of the story allows it.
FORMS = {
    "find": 10,
    "give": 12,
    "sell": 4,
    "travel": 6,
    "see": 16,
    "say": 8,
    "tell": 3,
    "copy": 4,
    "ask": 4,
    "act": 34,
    "count": 2,
    "day": 2,
    "mood": 4,
    "together": 3,
    "pet": 2,
    "pet_sleeps": 4,
    "topic": 2,
}


def zipf(count: int, half_powers: int, offset: int = 1) -> list[int]:
    """Return weights like 1 / sqrt((rank + offset) ** half_powers), by integer arithmetic."""
    return [
        max(1, (1 << 24) // max(1, math.isqrt((rank + offset) ** half_powers)))
        for rank in range(count)
    ]


def _shuffled_for(context: str, items: Sequence[Word]) -> list[Word]:
    """Return the items in the context's own order; FNV-1a turns its name into a seed."""
    seed = _FNV_OFFSET
    for byte in f"{_WORLD}/{context}".encode():
        seed = ((seed ^ byte) * _FNV_PRIME) % (1 << 64)
    return shuffled(items, SplitMix64(seed))


def _ranked(
    context: str, items: Sequence[Word], half_powers: int = 2, offset: int = 1
) -> Table[Word]:
    return Table(_shuffled_for(context, items), zipf(len(items), half_powers, offset))


def _nouns_of(topic: str) -> Table[str]:
    """The topic's own nouns first, then everybody else's: topics persist, and can be learned."""
    own = words.TOPIC_NOUNS[topic]
    others = [noun for noun in _all_nouns() if noun not in own]
    order = _shuffled_for(f"own/{topic}", own) + _shuffled_for(f"others/{topic}", others)
    return Table(order, zipf(len(order), 2))


def _all_nouns() -> list[str]:
    return [noun for nouns in words.TOPIC_NOUNS.values() for noun in nouns]


def _names() -> list[Name]:
    women = [*words.WOMEN, *(a + b for a in words.NAME_STEMS for b in words.WOMEN_ENDINGS)]
    men = [*words.MEN, *(a + b for a in words.NAME_STEMS for b in words.MEN_ENDINGS)]
    return [(name, "she") for name in women] + [(name, "he") for name in men]


class Tables:
    """Every table a story draws from; dictionaries are keyed by the context. Made in 50 ms."""

    def __init__(self) -> None:
        topics, nouns, verbs = list(words.TOPIC_NOUNS), _all_nouns(), words.VERBS
        surnames = [a + b for a in words.PLACE_STEMS for b in words.SURNAME_ENDINGS]
        places = [a + b for a in words.PLACE_STEMS for b in words.PLACE_ENDINGS]
        adjectives, adverbs, prepositions = words.ADJECTIVES, words.ADVERBS, words.PREPOSITIONS
        self.topic = Table(topics, zipf(len(topics), 1))
        self.noun = {topic: _nouns_of(topic) for topic in topics}
        self.noun_beside = {noun: _ranked(f"beside/{noun}", nouns, 3) for noun in nouns}
        self.object = {verb: _ranked(f"object/{verb}", nouns, 3) for verb in verbs}
        self.adjective = {noun: _ranked(f"adjective/{noun}", adjectives, 3) for noun in nouns}
        self.verb = {topic: _ranked(f"verb/{topic}", verbs) for topic in topics}
        self.adverb = {verb: _ranked(f"adverb/{verb}", adverbs, 3) for verb in verbs}
        self.preposition = {verb: _ranked(f"preposition/{verb}", prepositions, 3) for verb in verbs}
        self.preposition_of_sight = _ranked("preposition_of_sight", prepositions, 3)
        self.job = {topic: _ranked(f"job/{topic}", words.JOBS) for topic in topics}
        self.mood = {topic: _ranked(f"mood/{topic}", words.MOODS) for topic in topics}
        self.speech_verb = _ranked("speech_verb", words.SPEECH_VERBS)
        self.conjunction = _ranked("conjunction", words.CONJUNCTIONS)
        self.travel = _ranked("travel", words.TRAVEL)
        self.animal = _ranked("animal", words.ANIMALS)
        self.name = _ranked("name", _names(), 1, 3)
        self.surname = _ranked("surname", surnames, 1, 8)
        self.place = _ranked("place", places, 1, 8)
        self.syllable = _ranked("syllable", words.SYLLABLES, 1, 2)
        self.form = Table(tuple(FORMS), tuple(FORMS.values()))
        self.is_past = Table((True, False), (3, 2))
        self.year = Table(range(1800, 2000), [1] * 200)
        self.count = Table(range(1, 10), zipf(9, 2))
        # By how many there are to choose from: the latest most often.
        self.recent = {size: Table(range(size), [8, 5, 3, 2, 1][:size]) for size in range(1, 6)}
        self.below = {bound: Table(range(bound), [1] * bound) for bound in range(1, 10)}
        self.chance = {
            percent: Table((False, True), (100 - percent, percent)) for percent in range(1, 100)
        }


@cache
def world_tables() -> Tables:
    """Return the world's tables, built once in a process."""
    return Tables()
