"""Counts words."""


def count(text):
    """Return how often each word is there."""
    counted = {}
    for word in text.split():
        counted[word] = counted.get(word, 0) + 1
    return counted
