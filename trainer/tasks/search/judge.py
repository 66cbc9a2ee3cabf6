"""A corpus with known truth: what each document is about is drawn first, then said in words.

Words are invented for each instance, so nothing about them can be known beforehand. A concept has
several synonyms, of which an author prefers one; a word has endings; a document is long or short
and mentions much that it is not about. A query names two concepts in words of its own, and a
document is relevant by which of them it is about, which it never says.
"""

import math
from collections.abc import Generator, Sequence
from random import Random
from typing import Any, TypedDict

from judging import Wrong, random_of

DOCUMENTS = 400
QUERIES = 60
RANKS = 10
TOPICS = 20
CONCEPTS = 100
CONCEPTS_OF_TOPIC = 8
SYNONYMS = 3
BACKGROUND = 150  # words that belong to no concept
LENGTHS = (25, 160)  # words of a document
PREFERENCE = 0.5  # how often an author takes the favourite among synonyms
BOTH, ONE = 3, 1  # the grades of a document that is about both concepts of a query, and about one

ENDINGS = ("", "", "", "s", "ed", "ing", "er")
FUNCTION_WORDS = [
    "the",
    "of",
    "and",
    "to",
    "a",
    "in",
    "that",
    "is",
    "was",
    "for",
    "on",
    "with",
    "as",
    "by",
    "at",
    "from",
    "it",
    "be",
    "this",
    "which",
]
CONSONANTS = "bcdfghjklmnprstvwz"
VOWELS = "aeiou"


class Shown(TypedDict):
    """What a candidate gets: texts."""

    documents: list[str]
    queries: list[str]


class Corpus(Shown):
    """The same with each document's grade, query by query."""

    relevance: list[list[int]]


def instance(seed: bytes, split: str, index: int) -> Corpus:
    """Draw concepts, documents about two of them each, and queries that ask for two."""
    chance = random_of(seed)
    stems = _stems(chance, CONCEPTS * SYNONYMS + BACKGROUND)
    concepts = [stems[SYNONYMS * each : SYNONYMS * (each + 1)] for each in range(CONCEPTS)]
    background = stems[CONCEPTS * SYNONYMS :]
    topics = [chance.sample(range(CONCEPTS), CONCEPTS_OF_TOPIC) for _ in range(TOPICS)]
    documents: list[str] = []
    subjects: list[list[int]] = []
    for _ in range(DOCUMENTS):
        topic = chance.choice(topics)
        subject = chance.sample(topic, 2)
        documents.append(_document(chance, concepts, background, topic, subject))
        subjects.append(sorted(subject))
    asked = [subjects[each] for each in chance.sample(range(DOCUMENTS), QUERIES)]
    return {
        "documents": documents,
        "queries": [_query(chance, concepts, background, wanted) for wanted in asked],
        "relevance": [_relevance(wanted, subjects) for wanted in asked],
    }


def _stems(chance: Random, count: int) -> list[str]:
    """Return that many different word stems, in the order in which they were drawn."""
    stems: dict[str, None] = {}
    while len(stems) < count:
        syllables = chance.choice((2, 2, 3))
        word = "".join(chance.choice(CONSONANTS) + chance.choice(VOWELS) for _ in range(syllables))
        stems[word + chance.choice(CONSONANTS)] = None
    return list(stems)


def _document(
    chance: Random,
    concepts: list[list[str]],
    background: list[str],
    topic: list[int],
    subject: list[int],
) -> str:
    """Tell of `subject`, in words that the author prefers, with much else around it."""
    favourite = {each: chance.choice(concepts[each]) for each in range(CONCEPTS)}

    def say(concept: int) -> str:
        own = chance.random() < PREFERENCE
        return favourite[concept] if own else chance.choice(concepts[concept])

    words = []
    for _ in range(chance.randint(*LENGTHS)):
        kind = chance.random()
        if kind < 0.40:
            words.append(_skewed(chance, FUNCTION_WORDS))
            continue
        if kind < 0.60:
            word = _skewed(chance, background)
        elif kind < 0.74:
            word = say(chance.choice(subject))
        elif kind < 0.86:
            word = say(chance.choice(topic))
        else:
            word = say(chance.randrange(CONCEPTS))
        words.append(word + chance.choice(ENDINGS))
    return " ".join(words)


def _query(
    chance: Random, concepts: list[list[str]], background: list[str], wanted: list[int]
) -> str:
    """Ask for both concepts, each in any of its words, among words that say nothing."""
    words = [chance.choice(concepts[each]) + chance.choice(ENDINGS) for each in wanted]
    words.append(_skewed(chance, background) + chance.choice(ENDINGS))
    words.append(_skewed(chance, FUNCTION_WORDS))
    chance.shuffle(words)
    return " ".join(words)


def _skewed(chance: Random, words: Sequence[str]) -> str:
    """Return a word, the first ones far more often than the last."""
    share = chance.random()
    return words[int(share * share * len(words))]


def _relevance(wanted: list[int], subjects: list[list[int]]) -> list[int]:
    """Return each document's grade, by how much of what is wanted it is about."""
    grades = (0, ONE, BOTH)
    return [grades[len(set(wanted) & set(subject))] for subject in subjects]


def converse(instance: Corpus) -> Generator[Shown, object, None]:
    """Show everything but the relevance, once, and take the rankings."""
    yield {"documents": instance["documents"], "queries": instance["queries"]}


def check(instance: Corpus, transcript: Any) -> dict[str, float]:
    """Return the mean over queries of the normalised, discounted gain of the first ten."""
    answer = _answer(instance, transcript)
    relevance = instance["relevance"]
    if not isinstance(answer, list) or len(answer) != len(relevance):
        raise Wrong(f"the answer must be a list of {len(relevance)} rankings, one for each query")
    scores = [
        _gain([grades[each] for each in _ranking(ranking, len(grades))])
        / _gain(sorted(grades, reverse=True))
        for ranking, grades in zip(answer, relevance, strict=True)
    ]
    return {"ndcg_at_10": math.fsum(scores) / len(scores)}


def _answer(instance: Corpus, transcript: Any) -> object:
    """Return what was said to the only message."""
    match transcript:
        case [[message, answer]] if message == next(converse(instance)):
            return answer
    raise Wrong("the conversation is not one message of the judge and one answer")


def _ranking(ranking: object, documents: int) -> list[int]:
    """Return a ranking, each of whose entries is a document, and none of them twice."""
    if not isinstance(ranking, list) or not len(ranking) <= documents:
        raise Wrong("a ranking must be a list of document numbers, each at most once")
    for each in ranking:
        if type(each) is not int or not 0 <= each < documents:
            raise Wrong("a ranking names a document that does not exist")
    if len(set(ranking)) != len(ranking):
        raise Wrong("a ranking names a document twice")
    return ranking


def _gain(grades: list[int]) -> float:
    """Return the discounted gain of a ranking's first entries."""
    return math.fsum(
        (2**grade - 1) / math.log2(rank + 2) for rank, grade in enumerate(grades[:RANKS])
    )
