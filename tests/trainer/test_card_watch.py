"""A watched card: the source of its load, the reason it was slow, and how it was lost."""

import asyncio
import contextlib
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable

import pynvml
import pytest

from protocol.errors import ArnodeError
from protocol.runs import CONTENDED, THROTTLED
from tests.trainer.nvml import MIB, FakeCard, FakeDriver, FakeProcess, FakeSlice
from trainer.cards.load import FIRST_LOOKS, GROUP, CardReport
from trainer.cards.nvml import CardLost
from trainer.cards.watch import LEAVING_S, CardWatch, watching

CARD = FakeCard(name="NVIDIA GeForce RTX 3070", mib=8192)
UUID = "GPU-NVIDIA GeForce RTX 3070"
ROOT, INSIDE = 4000, 4002  # a sandbox's first process, and the one on the card
GAME = FakeProcess(mib=5000, percent=60, draws=True)


class Machine:
    """A card with a driver, a clock that advances a second per look, and an idle desktop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, uuid: str = UUID) -> None:
        self.driver = FakeDriver(cards=[CARD])
        self.driver.install(monkeypatch)
        self.load = self.driver.load
        self.load.processes = {900: FakeProcess(mib=400, percent=3, draws=True)}
        self.now_s = 0.0
        self.uuid = uuid
        self.inside: set[int] = set()

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[CardWatch]:
        watch = CardWatch(self.uuid, clock=lambda: self.now_s, family=self.family)
        await watch.open()
        try:
            yield watch
        finally:
            await watch.close()
            assert self.driver.open == 0

    def family(self, root: int) -> list[int]:
        return [root, *self.inside]

    async def look(self, watch: CardWatch, times: int = GROUP) -> None:
        for _ in range(times):
            self.now_s += 1
            await watch.look()

    async def run(
        self,
        watch: CardWatch,
        *,
        pid: int = INSIDE,
        looks: int = 20,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> CardReport:
        """Put a run of ours on the card for a while."""
        self.now_s += LEAVING_S
        async with watch.around() as window:
            with watch.ours(ROOT):
                self.inside = {INSIDE}
                self.load.processes[pid] = FakeProcess(mib=3000, percent=90)
                meanwhile()
                await self.look(watch, looks)
            self.inside = set()
            del self.load.processes[pid]
        return window.report

    def rested(self, then: Callable[[CardWatch], Awaitable[None]]) -> None:
        """Do something after a look at the card at rest."""

        async def scenario() -> None:
            async with self.watched() as watch:
                await self.look(watch)
                await watch.rested()
                await then(watch)

        asyncio.run(scenario())

    def one_run(
        self, *, pid: int = INSIDE, looks: int = 20, meanwhile: Callable[[], None] = lambda: None
    ) -> CardReport:
        """Look at the card at rest, then make a run on it."""
        reports: list[CardReport] = []

        async def scenario(watch: CardWatch) -> None:
            reports.append(await self.run(watch, pid=pid, looks=looks, meanwhile=meanwhile))

        self.rested(scenario)
        return reports[0]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


# The source of the load


def test_a_desktop_at_rest_is_no_contention(machine: Machine) -> None:
    report = machine.one_run()
    assert report.flags == ()
    assert report.others_share == pytest.approx(0.03)
    assert (report.peak_own_bytes, report.peak_bytes) == (3000 * MIB, 3700 * MIB)
    assert report.others_bytes == 700 * MIB


@pytest.mark.parametrize(
    "other_process", [GAME, FakeProcess(mib=200, percent=30)], ids=["game", "miner"]
)
def test_who_uses_its_time_makes_a_run_contended(
    machine: Machine, other_process: FakeProcess
) -> None:
    def begin() -> None:
        machine.load.processes[901] = other_process

    assert machine.one_run(meanwhile=begin).flags == (CONTENDED,)


def test_memory_that_is_held_and_not_used_takes_nothing(machine: Machine) -> None:
    def begin() -> None:
        machine.load.processes[901] = FakeProcess(mib=4000)

    report = machine.one_run(meanwhile=begin)
    assert report.flags == ()
    assert report.others_bytes == 4700 * MIB


def test_a_game_that_was_there_first_is_not_usual(machine: Machine) -> None:
    machine.load.processes[901] = GAME
    assert machine.one_run().is_contended


def test_what_is_usual_follows_a_desktop_and_not_a_game(machine: Machine) -> None:
    async def scenario(watch: CardWatch) -> None:
        machine.load.processes[901] = FakeProcess(mib=300, percent=4, draws=True)
        await machine.look(watch, 2 * GROUP)
        assert not (await machine.run(watch)).is_contended
        machine.now_s += LEAVING_S
        machine.load.processes[902] = GAME
        await machine.look(watch, 20 * GROUP)
        assert (await machine.run(watch)).is_contended
        del machine.load.processes[902]
        assert not (await machine.run(watch)).is_contended

    machine.rested(scenario)


def test_a_sandbox_that_has_just_ended_is_not_somebody_else(machine: Machine) -> None:
    """The driver still lists it once, as busy and as holding its memory."""

    async def scenario(watch: CardWatch) -> None:
        await machine.run(watch)
        machine.load.processes[INSIDE] = FakeProcess(mib=3000, percent=90)
        async with watch.around() as window:
            await machine.look(watch, 2)
        assert not window.report.is_contended
        assert window.report.others_share == pytest.approx(0.03)

    machine.rested(scenario)


@pytest.mark.parametrize("has_game", [False, True])
def test_our_own_numbers_are_others_in_a_container(machine: Machine, has_game: bool) -> None:
    """The driver lists the run by its process id outside the container."""

    def begin() -> None:
        if has_game:
            machine.load.processes[70001] = GAME

    report = machine.one_run(pid=70000, meanwhile=begin)
    assert report.is_contended == has_game


@pytest.mark.parametrize("has_game", [False, True])
def test_where_no_process_is_listed_the_card_at_rest_reports(
    machine: Machine, has_game: bool
) -> None:
    machine.load.hidden, machine.load.processes = machine.load.processes, {}

    async def scenario(watch: CardWatch) -> None:
        if has_game:
            machine.load.hidden[70001] = GAME
        await machine.look(watch, GROUP)
        async with watch.around() as window:
            with watch.ours(ROOT):
                machine.load.hidden[70000] = FakeProcess(mib=3000, percent=90)
                await machine.look(watch, 20)
        report = window.report
        assert report.is_contended == has_game
        assert report.peak_own_bytes == (8000 if has_game else 3000) * MIB  # or of the new program

    machine.rested(scenario)


def test_memory_that_grows_unlisted_next_to_us_is_contention(machine: Machine) -> None:
    def begin() -> None:
        machine.load.hidden[70001] = GAME

    assert machine.one_run(meanwhile=begin).is_contended


@pytest.mark.parametrize(("mib", "is_contended"), [(700, False), (5000, True)])
def test_a_slice_goes_by_the_memory_of_others(
    monkeypatch: pytest.MonkeyPatch, mib: int, is_contended: bool
) -> None:
    profile = "NVIDIA A100-SXM4-40GB MIG 3g.20gb"
    machine = Machine(monkeypatch, uuid=f"MIG-{profile}")
    whole = FakeCard(
        name="NVIDIA A100-SXM4-40GB",
        mib=40960,
        capability=(8, 0),
        slices=[FakeSlice(name=profile, mib=19968, slices=3)],
    )
    machine.driver.cards = [whole]

    def begin() -> None:
        machine.load.processes[901] = FakeProcess(mib=mib)

    report = machine.one_run(meanwhile=begin)
    assert report.is_contended == is_contended
    assert report.others_share is None


@pytest.mark.parametrize("has_game", [False, True])
def test_wsl2_reports_memory_only(machine: Machine, has_game: bool) -> None:
    machine.driver.without("Utilization", "RunningProcesses", "Reasons")

    async def scenario(watch: CardWatch) -> None:
        if has_game:
            machine.load.mib += 5000
        report = await machine.run(watch)
        assert report.is_contended == has_game
        assert report.throttled_share is None

    machine.rested(scenario)


def test_a_driver_that_supports_nothing_fails_nobody(machine: Machine) -> None:
    machine.driver.without("Utilization", "Processes", "Reasons", "Clock", "Memory")
    report = machine.one_run()
    assert report.flags == ()
    assert set(_figures(report)) == {None}


def _figures(report: CardReport) -> list[object]:
    names = [name for name in report.__slots__ if not name.startswith("is_")]
    return [getattr(report, name) for name in names]


def test_who_is_not_listed_is_seen_by_the_time_that_they_use(machine: Machine) -> None:
    async def scenario(watch: CardWatch) -> None:
        machine.load.hidden[70001] = FakeProcess(mib=200, percent=60)
        await machine.look(watch, 1)
        assert watch.is_used_by_others()

    machine.rested(scenario)


def test_who_was_there_before_the_watch_is_not_of_it(machine: Machine) -> None:
    machine.load.past = {800: 90}

    async def scenario(watch: CardWatch) -> None:
        assert not watch.is_used_by_others()

    machine.rested(scenario)


def test_a_share_that_cannot_be_is_none(machine: Machine) -> None:
    def begin() -> None:
        machine.load.processes[901] = FakeProcess(mib=10, percent=2**32 - 1)

    assert not machine.one_run(meanwhile=begin).is_contended


def test_memory_of_a_sandbox_that_has_ended_is_freed_a_little_later(machine: Machine) -> None:
    async def scenario(watch: CardWatch) -> None:
        await machine.run(watch)
        machine.load.mib += 3000
        async with watch.around() as window:
            await machine.look(watch, 1)
            machine.load.mib -= 3000
        assert not window.report.is_contended

    machine.rested(scenario)


def test_who_was_there_without_us_is_not_taken_for_us(machine: Machine) -> None:
    """This holds even if process ids do not distinguish us from others."""
    machine.load.processes[69000] = FakeProcess(mib=3500)
    report = machine.one_run(pid=70000)
    assert report.peak_own_bytes == 3000 * MIB


def test_others_are_asked_for_since_the_last_time(machine: Machine) -> None:
    async def scenario(watch: CardWatch) -> None:
        assert not watch.is_used_by_others()
        machine.load.processes[901] = GAME
        await machine.look(watch)
        assert watch.is_used_by_others()
        del machine.load.processes[901]
        await machine.look(watch)
        assert not watch.is_used_by_others()

    machine.rested(scenario)


# The reason it was slow


@pytest.mark.parametrize(
    ("reasons", "flags"),
    [
        (pynvml.nvmlClocksEventReasonSwPowerCap, ()),
        (pynvml.nvmlClocksEventReasonSwPowerCap | pynvml.nvmlClocksEventReasonSyncBoost, ()),
        (pynvml.nvmlClocksEventReasonSwThermalSlowdown, (THROTTLED,)),
        (pynvml.nvmlClocksEventReasonHwThermalSlowdown, (THROTTLED,)),
        (pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown, (THROTTLED,)),
        (pynvml.nvmlClocksEventReasonHwSlowdown, (THROTTLED,)),
    ],
)
@pytest.mark.parametrize("is_old", [False, True], ids=["new", "old"])
def test_heat_throttles_and_a_cap_of_power_does_not(
    machine: Machine, reasons: int, flags: tuple[str, ...], is_old: bool
) -> None:
    if is_old:
        newer = "nvmlDeviceGetCurrentClocksEventReasons"
        machine.driver.errors[newer] = pynvml.NVML_ERROR_FUNCTION_NOT_FOUND
    machine.load.reasons = reasons
    assert machine.one_run().flags == flags


def test_a_moment_of_slowdown_is_none(machine: Machine) -> None:
    async def scenario(watch: CardWatch) -> None:
        async with watch.around() as window:
            with watch.ours(ROOT):
                await machine.look(watch, 30)
                machine.load.reasons = pynvml.nvmlClocksEventReasonHwSlowdown
                await machine.look(watch, 1)
                machine.load.reasons = 0
                await machine.look(watch, 9)
        assert window.report.flags == ()
        assert window.report.throttled_share == pytest.approx(1 / 40)

    machine.rested(scenario)


@pytest.mark.parametrize(("mhz", "is_throttled"), [(2300, False), (1200, True)])
def test_without_reasons_a_clock_that_falls_under_load_is_one(
    machine: Machine, mhz: int, is_throttled: bool
) -> None:
    machine.driver.without("Reasons")

    async def scenario(watch: CardWatch) -> None:
        machine.load.processes[INSIDE] = FakeProcess(mib=3000, percent=90)
        async with watch.around() as window:
            with watch.ours(ROOT):
                machine.inside = {INSIDE}
                await machine.look(watch, FIRST_LOOKS)
                machine.load.sm_mhz = mhz
                await machine.look(watch, 2 * FIRST_LOOKS)
                machine.load.processes[INSIDE].percent, machine.load.sm_mhz = 0, 210  # at its end
                await machine.look(watch, 2 * FIRST_LOOKS)
        assert window.report.is_throttled == is_throttled

    machine.rested(scenario)


# Its memory


def test_an_agent_is_shown_what_the_card_has(machine: Machine) -> None:
    async def scenario(watch: CardWatch) -> None:
        machine.load.processes[901] = FakeProcess(mib=426)
        await machine.look(watch)
        assert watch.memory_limit() == "the card has 8.0 GiB, others use 1.1 GiB"
        machine.load.processes[INSIDE] = FakeProcess(mib=3000, percent=90)
        with watch.ours(ROOT):
            machine.inside = {INSIDE}
            await machine.look(watch)
        assert "others use 1.1 GiB" in (watch.memory_limit() or "")

    machine.rested(scenario)


def test_a_card_that_does_not_report_its_memory_reports_no_limit(machine: Machine) -> None:
    machine.driver.without("Memory")

    async def scenario(watch: CardWatch) -> None:
        assert watch.memory_limit() is None

    machine.rested(scenario)


# How it was lost


async def crash(watch: CardWatch, before: Callable[[], None]) -> None:
    async with watch.around():
        before()
        raise ArnodeError("the candidate crashed")


@pytest.mark.parametrize(
    ("error", "said", "hint"),
    [
        (pynvml.NVML_ERROR_GPU_IS_LOST, "fallen off the bus", "reboot"),
        (pynvml.NVML_ERROR_RESET_REQUIRED, "must be reset", f"nvidia-smi -r -i {UUID}"),
        (pynvml.NVML_ERROR_UNKNOWN, "does not answer", "reboot"),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "not loaded", "modprobe nvidia"),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "updated", "reboot"),
    ],
)
def test_a_lost_card_takes_the_blame_for_what_failed_on_it(
    machine: Machine, error: int, said: str, hint: str
) -> None:
    async def scenario(watch: CardWatch) -> None:
        with pytest.raises(CardLost, match=said) as caught:
            await crash(watch, lambda: machine.driver.fail(error))
        assert UUID in caught.value.message
        assert hint in caught.value.hint
        with pytest.raises(CardLost, match=said):
            await watch.look()

    machine.rested(scenario)


def test_what_fails_on_a_card_that_is_there_fails_as_it_did(machine: Machine) -> None:
    async def scenario(watch: CardWatch) -> None:
        with pytest.raises(ArnodeError, match="the candidate crashed"):
            await crash(watch, lambda: None)

    machine.rested(scenario)


def test_a_run_ends_when_its_card_is_lost(machine: Machine) -> None:
    async def wait_forever(watch: CardWatch) -> None:
        async with watch.around():
            machine.driver.fail(pynvml.NVML_ERROR_GPU_IS_LOST)
            await asyncio.Event().wait()

    async def scenario() -> None:
        async with watching(UUID, every_s=0.0) as watch:
            with pytest.raises(CardLost, match="fallen off the bus"):
                await wait_forever(watch)
            await asyncio.sleep(0)  # the cancellation leaves nothing behind

    asyncio.run(scenario())
    assert machine.driver.open == 0


def test_who_is_cancelled_while_the_card_is_asked_stays_so(machine: Machine) -> None:
    async def scenario() -> None:
        async with watching(UUID, every_s=3600.0) as watch:
            await watch.look()
            machine.driver.hangs = threading.Event()
            task = asyncio.create_task(crash(watch, lambda: None))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            machine.driver.hangs.set()

    asyncio.run(scenario())


def test_who_is_cancelled_stays_so(machine: Machine) -> None:
    async def scenario(watch: CardWatch) -> None:
        begun = asyncio.Event()

        async def block() -> None:
            async with watch.around():
                begun.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(block())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    machine.rested(scenario)


def test_who_is_cancelled_while_the_card_is_lost_stays_so_too(machine: Machine) -> None:
    async def block(watch: CardWatch) -> None:
        async with watch.around():
            machine.driver.fail(pynvml.NVML_ERROR_GPU_IS_LOST)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                task.cancel()
                raise

    async def scenario() -> None:
        nonlocal task
        async with watching(UUID, every_s=0.0) as watch:
            task = asyncio.create_task(block(watch))
            with pytest.raises(asyncio.CancelledError):
                await task

    task: asyncio.Task[None]
    asyncio.run(scenario())


def test_a_driver_that_hangs_is_given_up(machine: Machine) -> None:
    async def scenario() -> None:
        async with watching(UUID) as watch:
            await watch.look()
            watch._hung_s = 0.05  # not before: a busy machine may take longer to open the driver
            machine.driver.hangs = threading.Event()
            with pytest.raises(CardLost, match="hangs"):
                await watch.look()
        # A driver that hangs gets no further calls.
        assert sum(thread.name == "card" for thread in threading.enumerate()) == 1
        machine.driver.hangs.set()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "error", [pynvml.NVML_ERROR_GPU_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED]
)
def test_a_card_that_is_not_there_cannot_be_watched(machine: Machine, error: int) -> None:
    machine.driver.fail(error)

    async def scenario() -> None:
        async with machine.watched():
            pass

    with pytest.raises(CardLost):
        asyncio.run(scenario())
    assert machine.driver.open == 0


def test_one_call_that_always_answers_oddly_is_no_loss(machine: Machine) -> None:
    for name in ("nvmlDeviceGetMemoryInfo", "nvmlDeviceGetProcessUtilization"):
        machine.driver.errors[name] = pynvml.NVML_ERROR_UNKNOWN
    assert machine.one_run().flags == ()


UPDATED = """
import asyncio, ctypes, pathlib, shutil, sys
import pytest
from tests.trainer.nvml import FakeCard, FakeDriver
from trainer.cards.watch import LEAVING_S, CardWatch, watching
from trainer.cards.nvml import CardLost, is_library_replaced

library = pathlib.Path(sys.argv[1]) / "libnvidia-ml.so.1"
shutil.copy(sys.argv[2], library)
ctypes.CDLL(str(library))
FakeDriver(cards=[FakeCard(name="card", mib=8192)]).install(pytest.MonkeyPatch())

async def run():
    async with watching("GPU-card") as watch:
        async with watch.around():
            print("replaced:", is_library_replaced())
        async with watch.around():
            library.unlink()
            raise RuntimeError("CUDA does not start")

try:
    asyncio.run(run())
except CardLost as lost:
    print(lost.message)
"""


def test_an_update_beneath_a_running_node_is_noticed(tmp_path: object) -> None:
    """The old library still answers, so only the mapped file shows it."""
    import _ctypes

    words = [sys.executable, "-c", UPDATED, str(tmp_path), _ctypes.__file__]
    said = subprocess.run(words, capture_output=True, text=True, check=True)
    first, second = said.stdout.splitlines()
    assert first == "replaced: False"
    assert "updated" in second
