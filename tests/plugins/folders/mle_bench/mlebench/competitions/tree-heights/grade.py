from mlebench.competitions.utils import matched
from mlebench.grade_helpers import InvalidSubmissionError

from .columns import KEY, TARGET


def grade(submission, answers) -> float:
    """Return the mean absolute error."""
    if len(submission[KEY]) != len(answers[KEY]):
        raise InvalidSubmissionError("not as many trees as were asked for")
    pairs = matched(submission, answers, KEY, TARGET)
    return sum(abs(float(reported) - float(real)) for reported, real in pairs) / len(pairs)
