"""Rank documents for queries. A higher nDCG of the first ten is better.

`rank` gets all documents and all queries of one corpus as texts. Words are invented, so only the
corpus itself tells what they mean: which of them are rare, which go together, which are one word
with several endings. What a document is about, it says in words that its author prefers.
"""

from collections import Counter

RANKS = 10
MENTIONS = 1.0  # the power to which it counts how often a document has a word


def words_of(text):
    """Return a text's words."""
    return text.split()


def weight_in(count, length, mean_length):
    """Return what it says of a document that it has a word `count` times."""
    return count**MENTIONS


def rank(corpus):
    """Return for each query the numbers of the best documents, the best one first."""
    documents = [Counter(words_of(text)) for text in corpus["documents"]]
    index = Index(documents)
    answers = []
    for text in corpus["queries"]:
        query = {word: float(count) for word, count in Counter(words_of(text)).items()}
        found = index.ranked(query)
        answers.append(found[:RANKS])
    return answers


class Index:
    """Which documents have a word, and how much that says."""

    def __init__(self, documents):
        self.documents = documents
        self.lengths = [sum(document.values()) for document in documents]
        self.holders = {}
        for number, document in enumerate(documents):
            for word in document:
                self.holders.setdefault(word, []).append(number)
        self.mean_length = sum(self.lengths) / len(documents)

    def importance(self, word):
        """Return how much it says that a document has this word at all."""
        return 1.0

    def ranked(self, query):
        """Return the documents that share a word with a weighted query, the best first."""
        scores = Counter()
        for word, weight in query.items():
            weight *= self.importance(word)
            for number in self.holders.get(word, ()):
                count = self.documents[number][word]
                scores[number] += weight * weight_in(count, self.lengths[number], self.mean_length)
        return sorted(scores, key=lambda number: (-scores[number], number))
