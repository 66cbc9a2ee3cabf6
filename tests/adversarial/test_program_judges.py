"""Judges that attack the node that runs their task: nothing is reached, all end, others are clean.

In tier full, and where this machine can give them in the tiers without namespaces.
"""

import os
import re
import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from textwrap import indent
from typing import get_args

import pytest

from protocol.errors import ArnodeError
from tests.adversarial.bench import Watch
from tests.adversarial.honest_runs import HonestRuns
from tests.adversarial.judge_table import COMING_TO_NOTHING, ENDING, JUDGES, Ending, Moment
from tests.trainer.program.tasks import HEAD, ONE_OF_EACH, Bench, figures, read, write_task
from trainer.program import loaded
from trainer.sandbox.tier import TierName

HONEST = (3_000_000_000, 3_000_000_000)  # the baseline is wrong by 3
ENDED_BY_THE_CLOCK = ("hangs when loaded", "starts without end when loaded")
PREAMBLE = (JUDGES / "preamble.txt").read_text()
FIRST = "import os\n\nfrom judging import Wrong, random_of\n"
AROUND = (JUDGES / "honest.txt").read_text()


class Places:
    """Places that a judge must not reach: a home with a key, and listening sockets."""

    def __init__(self, home: Path) -> None:
        self.key = home / f"key-{secrets.token_hex(8)}"
        self.key.write_text("a secret")
        self.name = secrets.token_hex(8)
        self._doors = [socket.socket(), *(socket.socket(socket.AF_UNIX) for _ in range(2))]
        addresses = (("127.0.0.1", 0), f"\0{self.name}", str(home / self.name))
        for door, address in zip(self._doors, addresses, strict=True):
            door.bind(address)
            door.listen()
            door.setblocking(False)

    @property
    def words(self) -> str:
        """The names that attack code gets."""
        port = self._doors[0].getsockname()[1]
        return repr((str(self.key), os.getpid(), port, self.name))

    def check(self) -> None:
        """Nobody was there."""
        assert self.key.read_text() == "a secret"
        assert sorted(path.name for path in self.key.parent.iterdir()) == sorted(
            [self.key.name, self.name]
        )
        for door in self._doors:
            with pytest.raises(BlockingIOError):
                door.accept()

    def close(self) -> None:
        for door in self._doors:
            door.close()


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    places = Places(tmp_path_factory.mktemp("home"))
    yield places
    places.close()


@pytest.fixture(scope="module")
def other_task(
    tier: TierName, watch: Watch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[HonestRuns]:
    """A task that the node works on in between, in a hurry and with little to give."""
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setattr(loaded, "_GRACE_S", 0.5)
        patch.setattr(loaded, "_START_S", 3.0)
        bench = stack.enter_context(Bench(read(written(tmp_path_factory.mktemp(tier)))))
        assert figures(bench.calibrate()) == HONEST
        runs = HonestRuns(bench, HONEST)
        yield runs
        runs.check()
    assert watch.left_behind == []


def written(folder: Path, judge: str | None = None, *, limit_s: int = 2) -> Path:
    """Write a small task with this judge, else an honest one."""
    more = {} if judge is None else {"judge": judge}
    judging = f"limit_s = {limit_s}\nmemory_gb = 0.25\n"
    return write_task(folder, head=HEAD, instances=ONE_OF_EACH, judging=judging, **more)


def spoilt(ending: Ending) -> str:
    """Return the text of a judge that does this at its moment, and nothing at the others."""
    text, *parts = AROUND.split("attack()\n")
    for moment, part in zip(get_args(Moment), parts, strict=True):
        code = ending.code if moment == ending.moment else "pass"
        spaces = "" if moment == "loading" else "    "
        text += f"{indent(code, spaces).lstrip()}\n{part}"
    return f"{FIRST}{text}"


@pytest.mark.parametrize("name", COMING_TO_NOTHING)
def test_what_a_judge_tries_next_to_judging_comes_to_nothing(
    name: str, other_task: HonestRuns, places: Places, watch: Watch, tmp_path: Path
) -> None:
    preamble = PREAMBLE.replace("PLACES", places.words)
    text = f"{preamble}{(JUDGES / f'{name}.txt').read_text()}{AROUND}"
    with other_task.after(name):
        with Bench(read(written(tmp_path, text))) as bench:
            assert figures(bench.calibrate()) == HONEST
            assert figures(bench.run()) == HONEST
        places.check()
        assert watch.left_behind == []


@pytest.mark.parametrize("ending", ENDING, ids=lambda ending: ending.name)
def test_a_judge_that_spoils_its_task_is_reported_and_leaves_nothing(
    ending: Ending,
    other_task: HonestRuns,
    places: Places,
    watch: Watch,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if ending.name in ENDED_BY_THE_CLOCK:
        monkeypatch.setattr(loaded, "_START_S", 0.5)
    with other_task.after(ending.name):
        bench = Bench(read(written(tmp_path, spoilt(ending), limit_s=1)))
        with bench, pytest.raises(ArnodeError) as caught:
            bench.calibrate()
        said = caught.value.message
        # Nothing is reported of a secret instance.
        assert re.search(ending.says, said) or (
            ending.moment == "checking" and "secret split" in said
        ), said
        assert said.isprintable()
        assert "arnode task check" in caught.value.hint or "random_of" in caught.value.hint
        places.check()
        assert watch.left_behind == []
