"""Real nodes as real processes: how a test starts them, talks to them and waits for them."""

import contextlib
import io
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from node.commands.cli import main
from node.home.home import Home
from tests.conftest import SHORT_TASK, UNHURRIED_TASK

PATIENCE_S = 240.0  # for one thing to happen on a busy machine
_LOOKED_S = 0.2  # to look takes time of a processor that the node would have
TASK_FLAGS = ("--task", str(SHORT_TASK))
UNHURRIED_FLAGS = ("--task", str(UNHURRIED_TASK))  # nothing is kept, and a trial takes a second
COMMAND = (sys.executable, "-m", "node")
LIGHT_COMMAND = (sys.executable, "-m", "tests.light_node")  # which asks models without litellm
# Commands that start no runs, and need no process of their own.
LIGHT = frozenset({
    "fsck", "insights", "key", "log", "pause", "peers", "propose", "replay", "report", "resume",
    "show", "spending", "status", "stop", "transfer",
})  # fmt: skip


def environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a command that works on this home."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ARNODE_")}
    own = {"ARNODE_HOME": str(home), "ARNODE_LANES": "1", "ARNODE_MDNS": "0", "NO_COLOR": "1"}
    own["ARNODE_DHT"] = "0"  # tests speak with nobody outside
    own["ARNODE_WEB"] = "none"  # to serve a page takes a quarter of a second at each start
    return {**kept, **own, **(extra or {})}


def arnode(
    home: Path,
    *words: str,
    code: int = 0,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, which must have this exit code and show no traceback."""
    done = subprocess.run(
        [*COMMAND, *words],
        env=environment(home, env),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == code, f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    # A candidate's own stands behind a mark (`| `).
    assert not any(line.startswith("Traceback") for line in done.stderr.splitlines())
    return done


def answered(
    home: Path, *words: str, code: int = 0, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in this process, which spares a program's imports."""
    done = in_process(words, environment(home, env))
    assert done.returncode == code, f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    # A candidate's own stands behind a mark (`| `).
    assert not any(line.startswith("Traceback") for line in done.stderr.splitlines())
    return done


def in_process(words: Sequence[str], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command in this process with another environment; return its result."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with (
        mock.patch.dict(os.environ, env, clear=True),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as caught,
    ):
        main(words)
    code = caught.value.code
    assert isinstance(code, int)
    return subprocess.CompletedProcess(words, code, *(_written(stream) for stream in (out, err)))


def _written(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


def arnode_json(home: Path, *words: str, code: int = 0) -> dict[str, Any]:
    """Run a command with `--json` and return its document; light ones in this process."""
    run = answered if words[0] in LIGHT else arnode
    document: dict[str, Any] = json.loads(run(home, *words, "--json", code=code).stdout)
    assert document["v"] == 1
    return document


def addresses(home: Path) -> list[str]:
    """Return where the running node of the network `lab` can be reached, once it knows."""
    return list(arnode_json(home, "network", "show", "lab")["node"]["addresses"])


def fault_of(
    home: Path,
    *words: str,
    code: int,
    env: Mapping[str, str] | None = None,
    run: Callable[..., subprocess.CompletedProcess[str]] = answered,
) -> str:
    """Run a command that must fail with one error and its hint, and return these two lines."""
    stderr = run(home, *words, code=code, env=env).stderr
    lines = stderr.splitlines()
    errors = [line for line in lines if line.startswith("arnode: ")]
    assert len(errors) == 1, stderr
    assert lines[-2:] == [errors[0], lines[-1]], stderr
    assert lines[-1].startswith("  hint: "), stderr
    assert lines[-1].strip() != "hint:", stderr
    return "\n".join(lines[-2:])


def used_ticks(pid: int) -> int:
    """Return what the processes below one use of the processor in a second, in ticks."""
    before = ticks_below(pid)
    time.sleep(1)
    after = ticks_below(pid)
    return sum(after[child] - before.get(child, 0) for child in after)


def ticks_below(pid: int) -> dict[int, int]:
    """Return what each process below one has used so far, in ticks. Source: proc(5)."""
    stats = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(") ")[2].split()
            stats[int(path.parent.name)] = (int(fields[1]), int(fields[11]) + int(fields[12]))
    found, fringe = dict[int, int](), {pid}
    while fringe:
        fringe = {child for child, (parent, _) in stats.items() if parent in fringe}
        found |= {child: stats[child][1] for child in fringe}
    return found


class RunningNode:
    """`arnode start` at work; what it says is read as it comes."""

    def __init__(
        self,
        home: Path,
        *words: str,
        env: Mapping[str, str] | None = None,
        command: Sequence[str] = COMMAND,
        task: Sequence[str] = UNHURRIED_FLAGS,
    ) -> None:
        self.home = Home(home)
        self.process = subprocess.Popen(
            [*command, "start", *task, *words],
            env=environment(home, env),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.said: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, pattern: str) -> None:
        """Wait until the node says something like this, from now on."""
        deadline_s = time.monotonic() + PATIENCE_S
        found = False
        while not found:
            line = self._next_line(deadline_s)
            assert line is not None, f"ended before it said {pattern!r}: {self.said}"
            found = re.search(pattern, line) is not None

    def wait_for_status(self, **wanted: object) -> dict[str, Any]:
        """Wait until the line's status shows these values; `stage` is what it does now."""
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            lines = arnode_json(self.home.root, "status")["lines"]
            if lines:
                found = {
                    "stage": (lines[0]["now"] or {}).get("stage"),
                    "keeps": lines[0]["working"]["keeps"],
                }
                if all(found[name] == value for name, value in wanted.items()):
                    return dict(lines[0])
            time.sleep(_LOOKED_S)
        raise AssertionError(f"never {wanted}: {self.said[-5:]}")

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Wait until this holds, while the node lives."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not holds():
            assert self.process.poll() is None, f"ended too early: {self.all_said()}"
            assert time.monotonic() < deadline_s, f"too slow; it said {self.all_said()}"
            time.sleep(_LOOKED_S)

    def interrupt(self) -> None:
        """Press Ctrl-C: signal the whole process group, as a terminal does."""
        os.killpg(self.process.pid, signal.SIGINT)

    def kill(self) -> None:
        """`kill -9` of the node alone."""
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        """Wait for the end and return the exit code."""
        code = self.process.wait(timeout=PATIENCE_S)
        self._reader.join(timeout=PATIENCE_S)
        assert not any("Traceback" in line for line in self.all_said()), self.said
        return code

    def all_said(self) -> list[str]:
        """Return what it has said by now, also what nobody waited for."""
        while not self._lines.empty():
            self._next_line(time.monotonic() + 1)
        return self.said

    def _next_line(self, deadline_s: float) -> str | None:
        try:
            line = self._lines.get(timeout=max(0.01, deadline_s - time.monotonic()))
        except queue.Empty:
            raise AssertionError(f"too slow; it said {self.said}") from None
        if line is not None:
            self.said.append(line)
        return line

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)


@contextlib.contextmanager
def running_node(
    home: Path,
    *words: str,
    env: Mapping[str, str] | None = None,
    command: Sequence[str] = COMMAND,
    task: Sequence[str] = UNHURRIED_FLAGS,
) -> Iterator[RunningNode]:
    """A started node, which does not outlive the block; `command` is in `arnode`'s place."""
    node = RunningNode(home, *words, env=env, command=command, task=task)
    try:
        yield node
    except BaseException:
        print(f"the node (exit {node.process.poll()}) said:", *node.all_said(), sep="\n")
        raise
    finally:
        if node.process.poll() is None:
            node.kill()
        node._reader.join(timeout=10)
        assert node.process.stderr is not None
        node.process.stderr.close()
