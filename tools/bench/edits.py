"""Programs whose work is a loop of known length, and edits that do not change their speed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from protocol.source import Source

JUDGE: Final = """\
from judging import Wrong, random_of


def instance(seed, split, index):
    chance = random_of(seed)
    return " ".join(str(chance.randrange(1000)) for _ in range(12)).encode()


def check(instance, answer):
    if answer.split() != [str(sum(map(int, instance.split()))).encode()]:
        raise Wrong("it is not their sum")
    return {"sums": 1}
"""
_TASK: Final = """\
name = "planted"
version = 1
kind = "program"
title = "Add up numbers, after a loop"
program = "program.md"
limit_s = 60
memory_gb = 0.5
max_source_growth = 8000
encoding = "bytes"
{how}

[judge]
file = "judge.py"

[metric]
name = "{metric}"
unit = "of the baseline"
direction = "min"
max_step = 1.0

[instances]
public = {public}
secret = {secret}
"""
_PYTHON: Final = """\
ROUNDS = {rounds}


def solve(instance):
    numbers = [int(word) for word in instance.split()]
    state = numbers[0]
    for _ in range(ROUNDS // 1000 * (950 + numbers[0] // 10)):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
    return b"%d" % sum(numbers)
"""
_C: Final = """\
#include <stdio.h>

#define ROUNDS {rounds}L

int main(void) {{
    long sum = 0, number, first = -1;
    while (scanf("%ld", &number) == 1) {{
        if (first < 0) first = number;
        sum += number;
    }}
    unsigned state = (unsigned)first;
    for (long left = ROUNDS / 1000 * (950 + first / 10); left > 0; left--)
        state = state * 1103515245u + 12345u;
    volatile unsigned kept = state;
    (void)kept;
    printf("%ld\\n", sum);
    return 0;
}}
"""

Edit = Callable[[str, int], str]

_PYTHON_EDITS: Final[tuple[Edit, ...]] = (
    lambda text, number: f"# Remark {number}.\n{text}",
    lambda text, number: text.replace("state", f"state_{number}"),
    lambda text, number: f"UNUSED_{number} = {number}\n{text}",
    lambda text, number: f"{text}\n\ndef never_{number}(x):\n    return x + {number}\n",
    lambda text, number: text.replace("e):\n", f'e):\n    """Add up, take {number}."""\n', 1),
)
_C_EDITS: Final[tuple[Edit, ...]] = (
    lambda text, number: f"/* Remark {number}. */\n{text}",
    lambda text, number: text.replace("state", f"state_{number}"),
    lambda text, number: f"#define UNUSED_{number} {number}\n{text}",
    lambda text, number: f"{text}\nint never_{number}(int x) {{ return x + {number}; }}\n",
    lambda text, number: text.replace("long left", f"/* take {number} */\n         long left"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way to run a program. With `rounds` rounds it takes about 10 ms."""

    name: str
    file: str
    how: str
    text: str
    rounds: int
    edits: tuple[Edit, ...]

    def program(self, *, rounds: int | None = None, shorter: float = 0.0) -> str:
        """Return the program, with its loop shortened by the share `shorter`."""
        return self.text.format(rounds=round((rounds or self.rounds) * (1 - shorter)))

    def null_edit(self, number: int, text: str) -> str:
        """Return a program after the `number`-th edit. All edits differ."""
        return self.edits[number % len(self.edits)](text, number)

    def source(self, text: str) -> Source:
        return Source.of({self.file: text.encode()})

    def files(self, metric: str, *, public: int, secret: int, text: str) -> dict[str, str]:
        """Return the files of a task with `text` as its baseline."""
        how = f'editable = ["{self.file}"]\n{self.how}'
        task = _TASK.format(how=how, metric=metric, public=public, secret=secret)
        task = task.replace("max_source_growth", f"noise_floor = {NOISE_FLOOR}\nmax_source_growth")
        return {
            "task.toml": task,
            "judge.py": JUDGE,
            "program.md": "Make it fast.\n",
            self.file: text,
        }


NOISE_FLOOR: Final = 0.002  # of a share; below the measured noise, so that the latter decides

ENTRY: Final = Way(
    name="entry",
    file="solve.py",
    how='entry = "solve.py:solve"',
    text=_PYTHON,
    rounds=150_000,
    edits=_PYTHON_EDITS,
)
RUN: Final = Way(
    name="run",
    file="solve.c",
    how='build = ["cc", "-O2", "-o", "solve", "solve.c"]\nrun = ["./solve"]',
    text=_C,
    rounds=7_500_000,
    edits=_C_EDITS,
)
