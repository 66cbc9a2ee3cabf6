"""A time is followed from the clock to the score, and no further."""

import ast

import pytest

from trainer.importing.timing import timed_figures

SCORES = {
    "straight": "def f():\n    return {'score': time.time()}",
    "a difference": "def f():\n    a = perf_counter()\n    b = perf_counter() - a\n"
    "    return {'score': 1 / b}",
    "a list": "def f():\n    times = []\n    times.append(time.monotonic())\n"
    "    return {'score': np.mean(times)}",
    "another function": "def g():\n    return time.time()\ndef f():\n    return {'score': g()}",
    "a place of what is returned": "def g():\n    return 1, time.time()\ndef f():\n"
    "    a, b = g()\n    return {'score': b}",
    "an argument": "def told(x):\n    return {'score': x}\ndef f():\n    return told(time.time())",
    "a key of another table": "def f():\n    d = {'s': time.time()}\n"
    "    return {'score': d['s'] * 2}",
    "a key that is asked for": "def f():\n    d = {}\n    d['s'] = time.time()\n"
    "    return {'score': d.get('s', 0)}",
    "an attribute": "def f(self):\n    self.s = time.time()\n    return {'score': self.s}",
    "a condition": "def f():\n    a = time.time()\n    score = 1\n    if a > 5:\n"
    "        score = 0\n    return {'score': score}",
    "a comprehension": "def f():\n    t = [time.time()]\n    return {'score': sum(x for x in t)}",
    "a keyword": "def f():\n    return Result(score=time.time())",
    "a key that is set": "def f(out):\n    out['score'] = timeit.timeit('1')",
    "through what passes on": "def safe(x):\n    return float(x)\ndef f():\n"
    "    return {'score': safe(time.time())}",
}
OTHERS = {
    "beside it": "def f():\n    a = time.time()\n    return {'score': 1, 'eval_time': a}",
    "a limit": "def f():\n    a = time.time()\n    while time.time() - a < 5:\n        work()\n"
    "    return {'score': 1}",
    "another place of what is returned": "def g():\n    return 1, time.time()\ndef f():\n"
    "    a, b = g()\n    return {'score': a}",
    "what passes on something else": "def safe(x):\n    return float(x)\ndef f():\n"
    "    t = safe(time.time())\n    return {'score': safe(1), 'seconds': t}",
    "a table that holds some too": "def f():\n    rows = []\n"
    "    rows.append({'gap': 1, 'seconds': time.time()})\n"
    "    return {'score': sum(row['gap'] for row in rows)}",
    "a text": "def f():\n    return {'score': 1, 'note': f'{time.time()} s'}",
    "a name of another function": "def g():\n    x = time.time()\ndef f():\n    x = 1\n"
    "    return {'score': x}",
}


@pytest.mark.parametrize("name", SCORES)
def test_seconds_are_found_in_the_score(name: str) -> None:
    assert "score" in timed_figures([ast.parse(SCORES[name])])


@pytest.mark.parametrize("name", OTHERS)
def test_seconds_elsewhere_leave_the_score_alone(name: str) -> None:
    assert "score" not in timed_figures([ast.parse(OTHERS[name])])
