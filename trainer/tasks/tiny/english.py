"""The little morphology that the world's sentences need: plurals, tenses, numbers."""

from trainer.tasks.tiny.words import ONES, TENS


def plural(noun: str) -> str:
    """Return a noun's plural by the regular rules."""
    if noun.endswith(("s", "x", "ch", "sh")):
        return f"{noun}es"
    if noun[-1] == "y" and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"


def present_tense(verb: str) -> str:
    """Return a regular verb's third person."""
    return plural(verb)


def past_tense(verb: str) -> str:
    """Return a regular verb's past."""
    if verb[-1] == "e":
        return f"{verb}d"
    if verb[-1] == "y" and verb[-2] not in "aeiou":
        return f"{verb[:-1]}ied"
    return f"{verb}ed"


def number_word(number: int) -> str:
    """Return a number in words up to ninety-nine, in digits beyond."""
    if number < len(ONES):
        return ONES[number]
    if number > 99:
        return str(number)
    tens = TENS[number // 10 - 2]
    return f"{tens}-{ONES[number % 10]}" if number % 10 else tens


def counted(count: int, noun: str) -> str:
    """Return a count with its noun in agreement."""
    return f"{number_word(count)} {noun if count == 1 else plural(noun)}"


def with_article(phrase: str) -> str:
    """Return a noun phrase behind "a" or "an", as it sounds."""
    return f"{'an' if phrase[0] in 'aeiou' and not phrase.startswith('use') else 'a'} {phrase}"
