"""Forked sandboxes: what they share, what they do not, and when a sandbox is forked.

Attacks on the zygote and on each other are in `tests/adversarial/hostile/siblings.txt`.
"""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from protocol.errors import SafetyError
from tests.trainer.audits import audited
from tests.trainer.inside import inside, light_profile, profile
from tests.trainer.runners import SPLIT, brief, runner_of
from trainer.host.processes import status_number
from trainer.language_model.data import TaskData
from trainer.language_model.job import program_message
from trainer.measuring.outcome import RunOutcome
from trainer.sandbox import zygote as module
from trainer.sandbox.forked import Forked
from trainer.sandbox.frames import SandboxEnded
from trainer.sandbox.inside.channel import JOB
from trainer.sandbox.sandbox import Sandbox
from trainer.sandbox.tier import probe_tier, why_nothing_is_forked
from trainer.sandbox.zygote import Zygote
from trainer.task_folder.task import Task

WAITS = "print('there', flush=True)\nimport time\ntime.sleep(600)\n"


@pytest.fixture(autouse=True)
def _forking() -> None:
    if why := why_nothing_is_forked():
        pytest.skip(why)


def _needs_namespaces() -> None:
    if probe_tier().name != "full":
        pytest.skip("there are no namespaces here")


def zygote_of(sandbox: Sandbox) -> Zygote:
    backend = sandbox._backend
    assert isinstance(backend, Forked)
    assert backend.zygote is not None
    return backend.zygote


@asynccontextmanager
async def running(code: str) -> AsyncIterator[Sandbox]:
    """Yield a sandbox whose program has printed its first word."""
    sandbox = await Sandbox.launch(profile())
    try:
        await sandbox.send(JOB, program_message(code, "serve"))
        async with asyncio.timeout(60):
            while not sandbox.output_tail():  # noqa: ASYNC110 -- output raises no event
                await asyncio.sleep(0.01)
        yield sandbox
    finally:
        await sandbox.close()


DRAWS = """
import random, torch, numpy, os, json
seeded = torch.rand(1).item()
torch.seed()
print(json.dumps([random.random(), numpy.random.rand(), torch.rand(1).item(), seeded]))
"""


def test_generators_of_forks_draw_apart_until_they_are_seeded() -> None:
    drawn = [json.loads(inside(DRAWS)) for _ in range(2)]
    assert all(one != other for one, other in zip(drawn[0][:3], drawn[1][:3], strict=True))
    assert drawn[0][3] == drawn[1][3], "a run's seed decides what its script draws"


FOUND = """
import json, os, threading
def opened():
    for fd in range(512):
        try:
            os.fstat(fd)
            yield fd
        except OSError:
            pass
print(json.dumps({
    "open": len(list(opened())), "uid": os.getuid(), "parent": os.getppid(), "cwd": os.getcwd(),
    "files": os.listdir("."), "proc": os.listdir("/proc"), "mounts": os.path.exists("/proc/mounts"),
    "threads": threading.active_count(), "written": open("x", "w").write("x"),
}))
"""


def test_in_namespaces_a_fork_sees_nothing_but_itself() -> None:
    _needs_namespaces()
    found = json.loads(inside(FOUND))
    assert found.pop("open") <= 4  # standard ones and the channel
    assert found == {
        "uid": 1000, "parent": 0, "cwd": "/job", "files": ["train.py"], "proc": ["cpuinfo"],
        "mounts": False, "threads": 1, "written": 1,
    }  # fmt: skip


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines)


def test_a_fork_has_no_right_left() -> None:
    async def run() -> dict[str, str]:
        async with running(WAITS) as sandbox:
            return status_of(sandbox._pid)

    status = asyncio.run(run())
    for capabilities in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status[capabilities], 16) == 0
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    if probe_tier().name == "full":
        assert int(status["CapBnd"], 16) == 0


WRITES = """
for folder in ("/job", "/tmp", "/dev/shm"):
    open(folder + "/mine", "w").write("x")
print("written", flush=True)
import time
time.sleep(600)
"""
LOOKS = """
import os
print([name for folder in ("/job", "/tmp", "/dev/shm") for name in os.listdir(folder)])
"""


def test_scratch_folders_are_a_forks_own() -> None:
    _needs_namespaces()

    async def run() -> str:
        async with running(WRITES) as first, running(LOOKS) as second:
            assert zygote_of(first) is zygote_of(second)
            return second.output_tail()

    assert asyncio.run(run()).strip() == "['train.py']"


def test_a_zygote_is_replaced_and_buried_once_nothing_of_it_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def replaced(reason: str, last: Sandbox, *patch: object) -> Sandbox:
        with monkeypatch.context() as patched:
            if patch:
                patched.setattr(module, *patch)
            sandbox = await Sandbox.launch(light_profile())
        assert zygote_of(sandbox) is not zygote_of(last), reason
        assert not last.has_ended, "what was forked before lives on"
        await last.close()
        return sandbox

    async def run() -> list[Zygote]:
        sandboxes = [await Sandbox.launch(light_profile())]
        sandboxes.append(await replaced("so many forks", sandboxes[-1], "_MOST_FORKS", 1))
        sandboxes.append(await replaced("growth", sandboxes[-1], "_MOST_GROWTH_KIB", -1))
        sandboxes[-1]._backend.note_failed_start()
        sandboxes.append(await replaced("a failed start", sandboxes[-1]))
        sandboxes.append(await replaced("an upgrade", sandboxes[-1], "_packages", list))
        await sandboxes[-1].close()
        return [zygote_of(sandbox) for sandbox in sandboxes]

    zygotes = asyncio.run(run())
    assert len(set(zygotes)) == 5
    # No test reads CPU seconds here: the first forks were reaped when the next were started.
    assert all(zygote._process.returncode is not None for zygote in zygotes[:2])


def test_what_it_forked_ends_with_a_killed_zygote_and_the_next_is_forked_from_another() -> None:
    async def run() -> tuple[Zygote, Zygote]:
        sandbox = await Sandbox.launch(light_profile())
        first = zygote_of(sandbox)
        os.kill(first._pid, signal.SIGKILL)
        async with asyncio.timeout(30):
            with pytest.raises(SandboxEnded):
                await sandbox.receive(b"?")
        await sandbox.close()
        sandbox = await Sandbox.launch(light_profile())
        await sandbox.close()
        return first, zygote_of(sandbox)

    first, second = asyncio.run(run())
    assert first is not second


def test_a_zygote_killed_while_it_imports_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Zygote, "_fit", {})
    before_s = Zygote.cpu_s_of_all()

    async def run() -> None:
        launched = asyncio.create_task(Sandbox.launch(profile()))
        # If killed earlier, bubblewrap has not yet tied its child to itself.
        while Zygote.cpu_s_of_all() < before_s + 0.2:  # noqa: ASYNC110 -- a clock raises no event
            await asyncio.sleep(0.01)
        (zygote,) = Zygote.living()
        zygote._process.kill()
        with pytest.raises(SafetyError, match="forked from did not start"):
            await launched
        await (await Sandbox.launch(profile())).close()

    asyncio.run(run())
    Zygote.retire_all()


def _until_it_waits(pid: int) -> None:
    """Wait until a zygote sleeps, since it reports an end before it closes the descriptor."""
    deadline = time.monotonic() + 60
    while ") S " not in Path(f"/proc/{pid}/stat").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_forks_leave_nothing_behind() -> None:
    """No descriptor, no zombie, no memory; `make soak` does it ten thousand times."""

    def opened(pid: int) -> int:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))

    def held(pid: int) -> tuple[int, int, int]:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return opened(pid), len(children), status_number(pid, "VmRSS")

    async def run() -> tuple[tuple[int, int, int], tuple[int, int, int], int]:
        async with AsyncExitStack() as stack:
            for _ in range(3):
                stack.push_async_callback((await Sandbox.launch(profile())).close)
        sandbox = await Sandbox.launch(profile())
        pid = zygote_of(sandbox)._pid
        await sandbox.close()
        _until_it_waits(pid)
        before, open_before = held(pid), opened(os.getpid())
        for _ in range(20):
            await (await Sandbox.launch(profile())).close()
        _until_it_waits(pid)
        return before, held(pid), opened(os.getpid()) - open_before

    before, after, ours = asyncio.run(run())
    assert before[:2] == after[:2]
    assert after[2] - before[2] < 4096
    assert ours == 0


BOMBS = """
import os, threading, time
for _ in range(200):
    try:
        os.fork()
    except OSError:
        pass
def spin():
    while True:
        pass
try:
    for _ in range(30):
        threading.Thread(target=spin, daemon=True).start()
except RuntimeError:
    pass
for pid in range(1, 30):
    try:
        if pid != os.getpid():
            os.kill(pid, 19)
    except OSError:
        pass
print("at it", flush=True)
time.sleep(600)
"""


@pytest.mark.soak
def test_a_fork_measures_what_a_process_of_its_own_does_also_next_to_a_hostile_fork(
    short_task: Task, short_data: TaskData
) -> None:
    task = brief(short_task)

    async def run() -> list[RunOutcome]:
        runner = runner_of(task, short_data)
        measure = partial(runner.run, task.source, 3, split=SPLIT, needs_audit=audited(False))
        try:
            fresh = await measure(is_fresh=True)
            forked = await measure()
            async with running(BOMBS) as hostile:
                next_to_hostile = await measure()
                assert not hostile.has_ended
            return [fresh, forked, next_to_hostile]
        finally:
            await runner.close()

    fresh, forked, next_to_hostile = asyncio.run(run())
    for one in (forked, next_to_hostile):
        assert (fresh.status, one.status) == ("ok", "ok")
        assert (fresh.metric_nano, fresh.secret_nano) == (one.metric_nano, one.secret_nano)
        assert fresh.answers is not None
        assert (fresh.answers == one.answers).all()  # type: ignore[attr-defined]


def test_forks_share_no_memory_that_they_can_write() -> None:
    async def run() -> str:
        async with running(WAITS) as sandbox:
            return await asyncio.to_thread(Path(f"/proc/{sandbox.pid}/maps").read_text)

    shared = [line for line in asyncio.run(run()).splitlines() if line.split()[1][3] == "s"]
    assert [line for line in shared if "w" in line.split()[1]] == []


def test_each_fork_begins_with_a_standard_input_of_its_own() -> None:
    """Otherwise flags that one fork sets would apply to all, as long as their zygote lives."""
    code = "import fcntl, os\nprint(fcntl.fcntl(0, fcntl.F_GETFL) & os.O_APPEND, flush=True)\n"
    code += "fcntl.fcntl(0, fcntl.F_SETFL, os.O_APPEND)\n"
    assert [inside(code).strip() for _ in range(2)] == ["0", "0"]


def test_a_late_waiter_on_a_warming_zygote_is_notified_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its message is not consumed by another: a waiter would time out after two minutes."""
    Zygote.retire_all()
    really = module.until_ready
    waited = 0

    async def both() -> None:
        first = asyncio.create_task(Sandbox.launch(light_profile()))

        async def until_ready(descriptor: int) -> None:
            nonlocal waited
            if asyncio.current_task() is second:  # it looks after the first one got the message
                waited += 1
                await asyncio.wait({first})
            await really(descriptor)

        monkeypatch.setattr(module, "until_ready", until_ready)
        second = asyncio.create_task(Sandbox.launch(light_profile()))
        try:
            async with asyncio.timeout(60):
                sandboxes = [await first, await second]
            assert zygote_of(sandboxes[0]) is zygote_of(sandboxes[1])
        finally:
            for launched in await asyncio.gather(first, second, return_exceptions=True):
                if isinstance(launched, Sandbox):
                    await launched.close()

    asyncio.run(both())
    assert waited


def test_a_zygote_that_is_replaced_while_somebody_waits_still_forks_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in a fresh installation, where Python writes compiled files next to the packages."""
    Zygote.retire_all()

    async def both() -> None:
        first = asyncio.create_task(Sandbox.launch(light_profile()))
        while not Zygote.living():  # noqa: ASYNC110 -- there is no event
            await asyncio.sleep(0)
        (replaced,) = Zygote.living()
        with monkeypatch.context() as patched:
            patched.setattr(module, "_packages", list)
            second = asyncio.create_task(Sandbox.launch(light_profile()))
            while replaced in Zygote.living():  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert replaced.pid == 0, "it was still importing"
        sandboxes = [await first, await second]
        assert zygote_of(sandboxes[0]) is replaced is not zygote_of(sandboxes[1])
        assert replaced._control.fileno() == -1, "nobody needs it any more"
        for sandbox in sandboxes:
            await sandbox.close()

    asyncio.run(both())
