"""What competitions share."""

from mlebench.grade_helpers import InvalidSubmissionError


def matched(submission, answers, key, target):
    """Return pairs of what was said and what is so."""
    said = dict(zip(submission[key], submission[target], strict=True))
    pairs = []
    for one, real in zip(answers[key], answers[target], strict=True):
        if one not in said:
            raise InvalidSubmissionError(f"{one} is missing")
        pairs.append((said[one], real))
    return pairs


def nobody_needs_this():
    """Stay where it is."""
