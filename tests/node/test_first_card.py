"""A start on a machine with an NVIDIA card. The driver is faked."""

import asyncio
import json
import logging
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pynvml
import pytest

from node.commands.maintenance import _selftest_cards
from node.home.config import Config
from node.home.consent import Wishes
from node.home.control_socket import Message, call, document
from node.home.home import Home
from node.home.keyfile import load_keys
from node.line.open_task import named_task
from node.loop.session_plan import Goal
from node.reporting.status_text import print_status
from node.running import first_card, program, stand_in
from node.running.card_selftest import StoppedError, passes_selftest
from node.running.first_card import TaskHere, task_here
from protocol.errors import ConfigurationError
from tests.node.scripted import until
from tests.trainer.nvml import FakeCard, FakeDriver, FakeLoad, FakeProcess
from tests.trainer.provable import working_driver
from trainer.card_selftest import machine
from trainer.card_selftest.report import (
    Fault,
    SelfTestConditions,
    SelfTestReport,
    SelfTestStep,
    load_report,
    save_report,
    with_selftest_result,
)
from trainer.cards.cards import GraphicsCard, probe_cards
from trainer.host.device import Device
from trainer.language_model import card_checks
from trainer.language_model.card_checks import CardFault

TOLD = {"attention": "varlen", "compiled": True, "size": [6, 512, 128, 2048, 65536, 32]}
VARLEN = Fault(name="attention-varlen", said="no", hint="none", instead="a mask", is_kept=True)
OOM = Fault(name="no-size-fits", said="none", hint="free some")


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    """A machine whose card lacks nothing."""
    return working_driver(monkeypatch, FakeCard(name="NVIDIA GeForce RTX 4090", mib=24564))


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    caplog.set_level(logging.INFO, logger="node")
    return lambda: "\n".join(caplog.messages)


def selftest_report(
    device: Device, *, usable: bool = True, faults: tuple[Fault, ...] = ()
) -> SelfTestReport:
    step = SelfTestStep(name="abilities", detail="", seconds=1.0, faults=faults)
    return SelfTestReport(
        setting=SelfTestConditions.of(device), steps=(step,), script_settings=TOLD if usable else {}
    )


def the_card() -> GraphicsCard:
    (card,) = probe_cards().cards
    return card


def test_without_a_card_it_is_tiny(home: Home, said: Callable[[], str]) -> None:
    assert task_here(home, Config()) == TaskHere(task="tiny")
    assert named_task(home, "auto") == "tiny"
    assert said() == ""


def test_a_card_that_lacks_nothing_is_to_prove_itself(
    home: Home, driver: FakeDriver, said: Callable[[], str]
) -> None:
    here = task_here(home, Config())
    assert here.task == "nanochat"
    assert here.untested_card is not None
    assert here.untested_card.card == the_card()
    assert "nanochat is fetched for NVIDIA GeForce RTX 4090: about 1.3 GB in 13 files" in said()
    assert "the first run waits for" in said()
    assert named_task(home, "auto") == "tiny"  # not before it has


def test_of_two_cards_the_one_that_is_named_proves_itself(home: Home, driver: FakeDriver) -> None:
    driver.cards = (*driver.cards, FakeCard(name="NVIDIA GeForce RTX 4090", mib=24564))
    first, second = probe_cards().cards
    for named, card in (((), first), (("0",), first), (("1",), second)):
        untested_card = task_here(home, Config(gpus=named)).untested_card
        assert untested_card is not None
        assert untested_card.card == card


def test_of_two_classes_the_one_with_more_cards_works_and_the_other_is_reported(
    home: Home, driver: FakeDriver, said: Callable[[], str]
) -> None:
    older = FakeCard(name="NVIDIA GeForce RTX 3090", mib=24576, capability=(8, 6))
    useless = FakeCard(name="NVIDIA GeForce GT 710", mib=2048, capability=(3, 5))
    driver.cards = (older, useless, *driver.cards, *driver.cards)
    untested_card = task_here(home, Config()).untested_card
    assert untested_card is not None
    assert untested_card.device.slug == "rtx4090-24g"
    command = f"ARNODE_HOME={home.root}-rtx3090-24g arnode start --gpus rtx3090-24g"
    line = (
        f"this node uses NVIDIA GeForce RTX 4090; start another one for NVIDIA GeForce RTX 3090:"
        f" `{command}`"
    )
    assert line in said()
    assert "GT 710" not in said()
    untested_card = task_here(home, Config(gpus=("rtx3090-24g",))).untested_card
    assert untested_card is not None
    assert untested_card.device.slug == "rtx3090-24g"
    assert said().count("start another") == 1  # a user who names cards knows them


def test_a_card_that_is_to_prove_itself_keeps_no_start_from_its_task(
    home: Home, driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The self-test decides whether CUDA works in a sandbox; if not, `tiny` runs."""
    started = []

    async def run(start: program._Start) -> None:
        started.append((start.config.task, start.untested_card is not None))

    monkeypatch.setattr(program, "_run_awaited", run)
    monkeypatch.setattr(program, "keep_to_oneself", lambda: None)  # of this process, for good
    monkeypatch.setattr(
        stand_in, "why_no_card", lambda _gpus: ConfigurationError("CUDA fails", "fix it")
    )
    goal, offline = Goal(), Wishes(network="none")
    program.start_node(home, Config(agent=("search",)), goal, offline)
    assert started == [("nanochat", True)]
    save_report(selftest_report(the_card().device), home.data)
    with pytest.raises(ConfigurationError, match="CUDA fails"):
        program.start_node(home, Config(agent=("search",)), goal, offline)


def test_one_that_has_is_not_asked_again(
    home: Home, driver: FakeDriver, said: Callable[[], str]
) -> None:
    save_report(selftest_report(the_card().device), home.data)
    assert task_here(home, Config()) == TaskHere(task="nanochat")
    assert named_task(home, "auto") == "nanochat"
    device = with_selftest_result(the_card().device, home.data)
    assert device.script_settings == TOLD
    assert device.environment["attention"] == "varlen"
    assert device.environment["size"] == "6x512x128x2048x65536x32"
    driver.driver = "580.65.06"  # another driver: the self-test runs again
    assert task_here(home, Config()).untested_card is not None
    assert with_selftest_result(the_card().device, home.data).script_settings == {}


def test_what_failed_before_and_would_again_is_known(home: Home, driver: FakeDriver) -> None:
    save_report(selftest_report(the_card().device, usable=False, faults=(VARLEN, OOM)), home.data)
    here = task_here(home, Config())
    assert here.untested_card is not None
    assert here.untested_card.known == (VARLEN,)


def test_a_task_that_somebody_names_is_that_task(home: Home, driver: FakeDriver) -> None:
    untested_card = task_here(home, Config(task="nanochat"))
    assert (untested_card.task, untested_card.untested_card is None) == ("nanochat", False)
    save_report(selftest_report(the_card().device), home.data)
    assert task_here(home, Config(task="tiny")) == TaskHere(task="tiny")
    assert task_here(home, Config(task="nanochat")) == TaskHere(task="nanochat")


def test_one_that_somebody_names_and_that_cannot_run_is_refused(
    home: Home, driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    full_disk(driver, monkeypatch)
    with pytest.raises(ConfigurationError, match=r"^disk-full: 2\.6 GB are needed") as caught:
        task_here(home, Config(task="nanochat"))
    assert "free some space" in caught.value.hint
    driver.cards = ()
    assert task_here(home, Config(task="nanochat")) == TaskHere(task="nanochat")


def cpu_build(_: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_checks, "torch_cuda", lambda: None)


def taken(driver: FakeDriver, _: pytest.MonkeyPatch) -> None:
    driver.load = FakeLoad(processes={4_000_000: FakeProcess(mib=20_000)})


def lost(driver: FakeDriver, _: pytest.MonkeyPatch) -> None:
    driver.errors["nvmlDeviceGetHandleByUUID"] = pynvml.NVML_ERROR_GPU_IS_LOST


def full_disk(_: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1_000_000_000))


def no_answer(driver: FakeDriver, _: pytest.MonkeyPatch) -> None:
    driver.fault = pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH


def pod(_: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(_: GraphicsCard) -> CardFault:
        return CardFault("device-file-refused", "/dev/nvidia0 is not opened in a sandbox", "chmod")

    monkeypatch.setattr(card_checks, "sandbox_fault", refused)


@pytest.mark.parametrize(
    ("break_it", "name"),
    [
        (cpu_build, "cpu-build: the installed torch is built for the CPU only; `tiny` runs"),
        (cpu_build, f"run `{sys.executable} -I -m trainer.cards.install_torch cu1"),
        (taken, "card-taken: other programs use"),
        (lost, "card-lost: the card GPU-"),
        (full_disk, "disk-full: 2.6 GB are needed under"),
        (pod, "device-file-refused: /dev/nvidia0 is not opened in a sandbox; `tiny` runs"),
        (no_answer, "NVIDIA's driver does not answer"),
    ],
)
def test_what_keeps_it_from_the_card_is_said_before_anything_is_fetched(
    home: Home,
    driver: FakeDriver,
    monkeypatch: pytest.MonkeyPatch,
    said: Callable[[], str],
    break_it: Callable[[FakeDriver, pytest.MonkeyPatch], None],
    name: str,
) -> None:
    break_it(driver, monkeypatch)
    assert task_here(home, Config()) == TaskHere(task="tiny")
    assert name in said()
    assert "is fetched" not in said()


@pytest.mark.parametrize("usable", [True, False])
def test_what_a_card_proves_is_kept_for_the_next_start(
    home: Home, driver: FakeDriver, monkeypatch: pytest.MonkeyPatch, usable: bool
) -> None:
    here = task_here(home, Config())
    assert here.untested_card is not None
    result = selftest_report(
        here.untested_card.device, usable=usable, faults=() if usable else (OOM,)
    )

    class Proves:
        async def run(self) -> SelfTestReport:
            return result

    monkeypatch.setattr(first_card, "selftest_of", lambda *_args, **_how: Proves())
    assert asyncio.run(here.untested_card.run_selftest(home)) is usable
    again = task_here(home, Config())
    assert again.task == "nanochat"
    assert (again.untested_card is None) is usable


def test_a_card_that_proves_itself_is_paused_resumed_asked_and_stopped(
    home: Home,
    driver: FakeDriver,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    begun = list[int]()

    class Proves:
        async def run(self) -> SelfTestReport:
            begun.append(1)
            await asyncio.Event().wait()
            raise AssertionError("nobody sets it")

    monkeypatch.setattr(first_card, "selftest_of", lambda *_args, **_how: Proves())
    untested_card = task_here(home, Config()).untested_card
    assert untested_card is not None
    load_keys(home)

    async def ask(command: str, arguments: dict[str, Message] | None = None) -> Message:
        return await asyncio.to_thread(call, home.socket, command, arguments)

    async def work() -> None:
        working = asyncio.create_task(passes_selftest(home, Config(), untested_card))
        await until(lambda: len(begun) == 1)
        reported = document(await ask("status"))
        assert (reported["running"], reported["lines"]) == (True, [])
        stage = "NVIDIA GeForce RTX 4090 runs its self-test"
        assert reported["self_test"] == {"stage": stage, "paused": False, "until": None}
        reported = document(await ask("pause", {"for_s": 3600}))
        assert (reported["runs_ended"], reported["until"] is None) == (1, False)
        status = document(await ask("status"))
        print_status(status)
        assert status["self_test"]["paused"] is True  # type: ignore[index, call-overload]
        assert "\npaused until " in capsys.readouterr().out
        assert document(await ask("pause"))["runs_ended"] == 0
        assert len(begun) == 1
        await ask("resume")
        await until(lambda: len(begun) == 2)
        await ask("stop")
        with pytest.raises(StoppedError):
            await working

    asyncio.run(work())
    assert load_report(SelfTestConditions.of(untested_card.device), home.data) is None


def test_a_pause_at_the_end_lets_a_card_prove_itself_and_holds_what_follows(
    home: Home, driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_keys(home)
    begun, may_end = list[int](), asyncio.Event()
    untested_card = task_here(home, Config()).untested_card
    assert untested_card is not None

    class Proves:
        async def run(self) -> SelfTestReport:
            begun.append(1)
            await may_end.wait()
            return selftest_report(untested_card.device)

    monkeypatch.setattr(first_card, "selftest_of", lambda *_args, **_how: Proves())

    async def work() -> bool:
        working = asyncio.create_task(passes_selftest(home, Config(), untested_card))
        await until(lambda: begun != [])
        reported = document(await asyncio.to_thread(call, home.socket, "pause", {"at_end": True}))
        assert (reported["paused"], reported["runs_ended"]) == (True, 0)
        may_end.set()
        await until(
            lambda: load_report(SelfTestConditions.of(untested_card.device), home.data) is not None
        )
        status = document(await asyncio.to_thread(call, home.socket, "status"))
        assert status["self_test"]["stage"] == "paused"  # type: ignore[index, call-overload]
        assert not working.done()
        await asyncio.to_thread(call, home.socket, "resume")
        return await working

    assert asyncio.run(work()) is True
    assert begun == [1]


def test_doctor_repeats_the_selftest_keeps_it_and_writes_a_report_that_names_nobody(
    home: Home, driver: FakeDriver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Home, "here", lambda: home)
    device = the_card().device
    card = the_card()
    monkeypatch.setattr(
        machine,
        "run_selftests",
        lambda _wanted, say: [(selftest_report(device, faults=(VARLEN,)), card)],
    )
    _selftest_cards(as_json=False)
    (report,) = json.loads((tmp_path / "gpu-report.json").read_text())
    assert report["card"]["name"] == "NVIDIA GeForce RTX 4090"
    assert report["steps"][0]["faults"][0]["name"] == "attention-varlen"
    assert card.uuid not in json.dumps(report)
    assert named_task(home, "auto") == "nanochat"


def test_doctor_without_a_card_names_the_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeDriver().install(monkeypatch)
    with pytest.raises(ConfigurationError, match=r"^no-driver: .*`tiny` runs on the processor"):
        _selftest_cards(as_json=False)
