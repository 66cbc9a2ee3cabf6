"""The additional files in a sandbox with a card, tested without a card.

A device that every machine has stands for NVIDIA's files.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.hardware import cuda_class
from tests.trainer.inside import inside, profile
from trainer.cards import nvidia
from trainer.host.device import Device
from trainer.language_model.job import program_message
from trainer.program.harness import HARNESS
from trainer.sandbox import sandbox as sandbox_module
from trainer.sandbox.backend import SandboxBackend
from trainer.sandbox.compiled import CompiledCode
from trainer.sandbox.confined import Confined
from trainer.sandbox.inside.channel import DATA, JOB, NEED_DATA
from trainer.sandbox.profile import Profile
from trainer.sandbox.sandbox import Sandbox
from trainer.sandbox.tier import _probe_weaker, probe_tier

CARD = Device(
    hardware_class=cuda_class("NVIDIA GeForce RTX 4090", 24 << 30, compute_capability=(8, 9)),
    cuda="GPU-1",
    minor=1,
)
LIMITS = {"scratch_bytes": 64 << 20, "threads": 128, "single_process": False, "card": CARD}

LOOK = """
import ctypes, json, os, socket, subprocess, sysconfig, threading, time
found = {"card": os.environ["CUDA_VISIBLE_DEVICES"], "home": os.path.exists("@HOME@")}
def tried(what):
    try:
        what()
    except OSError as error:
        return type(error).__name__
    return "done"
found["device"] = tried(lambda: os.read(os.open("/dev/full", os.O_RDWR), 1))
found["other device"] = tried(lambda: os.open("/dev/tty0", os.O_RDWR))
found["topology"] = tried(lambda: os.listdir("/sys/devices/system/cpu"))
found["change topology"] = tried(lambda: os.open("/sys/probe", os.O_CREAT | os.O_WRONLY))
found["own maps"] = tried(lambda: open("/proc/self/maps").read())
thread = threading.Thread(target=time.sleep, args=(2,))
thread.start()
named = f"/proc/self/task/{thread.native_id}/comm"
found["thread's name"] = tried(lambda: open(named, "w").write("cuda"))
found["name"] = open(named).read().strip()
for path in ("/proc/sys/kernel/core_pattern", "/proc/irq/default_smp_affinity", "/proc/1/mem"):
    found[path] = tried(lambda: open(path, "r+b"))
ours, other = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)]
found["listening"] = tried(lambda: (ours.bind("\\0cuda-uvmfd-1-1"), ours.listen()))
found["talking to it"] = tried(lambda: other.connect("\\0cuda-uvmfd-1-1"))
found["letting in"] = tried(ours.accept)
with open("launcher.c", "w") as file:
    file.write("#include <Python.h>\\n#include <math.h>\\nint seven(void) { return 7; }\\n")
made = subprocess.run(
    ["gcc", "-shared", "-fPIC", "-O2", "-I@INCLUDE@", "launcher.c", "-o", "launcher.so", "-lm"],
    capture_output=True, text=True,
)
found["compiler"] = made.stderr
if not made.returncode:
    found["seven"] = ctypes.CDLL(os.path.abspath("launcher.so")).seven()
print(json.dumps(found))
"""
SEEN = {
    "card": "GPU-1",
    "home": False,
    "device": "done",
    "other device": "FileNotFoundError",
    "topology": "done",
    "change topology": "OSError",
    "own maps": "done",
    "thread's name": "done",
    "name": "cuda",
    "/proc/sys/kernel/core_pattern": "OSError",
    "/proc/irq/default_smp_affinity": "OSError",
    "/proc/1/mem": "FileNotFoundError",
    "listening": "done",
    "talking to it": "FileNotFoundError",
    "letting in": "PermissionError",
    "compiler": "",
    "seven": 7,
}


@pytest.fixture(autouse=True)
def _device_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "device_files", lambda _card: (Path("/dev/full"),))


def seen(tmp_path: Path, include: str) -> dict[str, object]:
    code = LOOK.replace("@HOME@", str(tmp_path)).replace("@INCLUDE@", include)
    found = json.loads(inside(code, profile(**LIMITS)).splitlines()[-1])
    assert isinstance(found, dict)
    return found


HEADERS = Path(sysconfig.get_path("include"), "Python.h")
needs_compiler = pytest.mark.skipif(
    shutil.which("gcc") is None or not HEADERS.exists(),
    reason="there is no C compiler, or no headers of Python",
)


@needs_compiler
@pytest.mark.skipif(probe_tier().name != "full", reason="bubblewrap's")
def test_a_card_and_a_compiler_are_there_in_namespaces(tmp_path: Path) -> None:
    assert seen(tmp_path, next(_python_headers())[1]) == SEEN


@needs_compiler
def test_a_card_and_a_compiler_are_there_without_namespaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weaker = _probe_weaker().name
    if weaker == "none":
        pytest.skip("there is no sandbox without namespaces here")

    def confine(limits: Profile) -> SandboxBackend:
        return Confined(limits, as_throwaway=weaker == "container")

    monkeypatch.setattr(sandbox_module, "make_backend", confine)
    found = seen(tmp_path, str(next(_python_headers())[0]))
    refused = [found.pop(name) for name in list(found) if name[:5] in ("other", "chang", "/proc")]
    assert set(refused) <= {"PermissionError", "FileNotFoundError"}
    # With the node's own user, files can be looked up, but not opened.
    assert found == {name: SEEN[name] for name in found} | {"home": weaker == "partial"}


@needs_compiler
def test_a_compiler_proper_that_lies_apart_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian 13 and Ubuntu 24.04 have `cc1` in /usr/libexec, the startup files in /usr/lib."""
    real, apart = shutil.which("gcc"), tmp_path / "libexec"
    apart.mkdir()
    for name in ("cc1", "collect2"):
        asked = subprocess.check_output(["gcc", f"-print-prog-name={name}"], text=True)
        shutil.copy(asked.strip(), apart)
    gcc = tmp_path / "gcc"
    gcc.write_text(
        "#!/bin/sh\ncase $1 in\n"
        f'-print-prog-name=*) echo "{apart}/${{1#*=}}" ;;\n'
        f'*) exec {real} "$@" ;;\nesac\n'
    )
    gcc.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    nvidia.compiler_files.cache_clear()
    try:
        shown = dict(nvidia.compiler_files())
    finally:
        nvidia.compiler_files.cache_clear()
    assert shown[apart] == str(apart)
    assert any((Path(path) / "crtbegin.o").exists() for path in shown.values())
    assert any(Path(path).name.startswith("libisl.so") for path in shown.values()), "cc1's own"


@pytest.mark.parametrize("answer", ["echo crtbegin.o", "exit 1"])
def test_of_a_compiler_without_files_of_its_own_nothing_is_shown(
    answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path that it does not find would be that of the current folder."""
    gcc = tmp_path / "gcc"
    gcc.write_text(f"#!/bin/sh\n{answer}\n")
    gcc.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert nvidia.compiler_files.__wrapped__() == ()


def _python_headers() -> Iterator[tuple[Path, str]]:
    """Yield the headers' folder outside and inside the sandbox."""
    for host, shown in nvidia.compiler_files():
        if shown.startswith("/python/include"):
            yield host, shown
    yield Path("/usr/include"), "/usr/include"


@pytest.mark.skipif(probe_tier().name != "full", reason="bubblewrap's")
def test_next_to_a_candidates_process_ours_is_the_first_and_out_of_sight() -> None:
    """Our process answers for the candidate, which could change its memory by a file of `/proc`."""

    async def seen() -> tuple[str, list[Path]]:
        ours = Profile(
            role="solve", harness=HARNESS, memory_bytes=1 << 30, scratch_bytes=64 << 20,
            single_process=False, card=CARD,
        )  # fmt: skip
        sandbox = await Sandbox.launch(ours)
        try:
            root = Path(f"/proc/{sandbox.pid}")
            numbers = re.search(r"^NSpid:.*", (root / "status").read_text(), re.MULTILINE)
            assert numbers is not None
            return numbers[0].split()[-1], list((root / "root" / "proc" / "1").iterdir())
        finally:
            await sandbox.close()

    assert asyncio.run(seen()) == ("1", [])


@pytest.mark.soak
@pytest.mark.skipif(probe_tier().name != "full", reason="bubblewrap's")
def test_what_a_compiler_made_is_there_in_the_next_run_of_a_source(tmp_path: Path) -> None:
    code = CompiledCode(tmp_path, baseline=bytes(32), setting="a-card")
    program = """
import os, time
from trainer.language_model.harness import session
from trainer.sandbox.inside.channel import NEED_DATA
folder = os.environ["TRITON_CACHE_DIR"]
os.makedirs(folder, exist_ok=True)
print(sorted(os.listdir(folder)), flush=True)
open(folder + "/kernel", "w").write("code")
session.channel.send(NEED_DATA)
session.channel.receive()
open(folder + "/learned", "w").write("after the data")
session.channel.send(NEED_DATA)
time.sleep(60)
"""

    async def run() -> str:
        sandbox = await Sandbox.launch(replace(profile(**LIMITS), role="train"))
        try:
            sandbox.fill_compiled(code, b"tree")
            await sandbox.send(JOB, program_message(program, "train"))
            await sandbox.receive(NEED_DATA)
            sandbox.keep_compiled(code, b"tree")
            await sandbox.send(DATA)
            await sandbox.receive(NEED_DATA)
            sandbox.keep_compiled(code, b"tree")
        finally:
            await sandbox.close()
        return sandbox.output_tail().strip()

    assert [asyncio.run(run()) for _ in range(2)] == ["[]", "['kernel']"]
    assert list(Path(tempfile.gettempdir()).glob(f"arnode.compiled-{os.getpid()}-*")) == []


def test_a_sandbox_without_a_card_has_none_of_it() -> None:
    code = """
import os
paths = ("/sys/kernel", "/usr/bin/gcc", "/usr/include")
print([os.path.exists(path) for path in paths])
print("CUDA_VISIBLE_DEVICES" in os.environ)
"""
    if probe_tier().name == "full":
        assert inside(code).split("\n")[:2] == ["[False, False, False]", "False"]


def test_wsl_has_windows_own_libraries_whatever_else_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvidia, "_located", lambda name: Path("/lib", name))  # a driver for Linux
    for name in ("lib/libcuda.so.1", "lib/libdxcore.so", "drivers/nv_dispi.inf/libcuda.so.1.1"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = nvidia.driver_libraries(tmp_path)
    ours = [path for path in found if path.name in ("libcuda.so.1", "libdxcore.so")]
    assert {path.name: path.parent for path in ours} == {
        "libcuda.so.1": tmp_path / "lib",
        "libdxcore.so": tmp_path / "lib",
    }
    assert found[-2:] == (tmp_path / "lib", tmp_path / "drivers")
    on_linux = nvidia.driver_libraries(tmp_path / "nowhere")
    assert on_linux == tuple(Path("/lib", name) for name in nvidia._DRIVER_LIBRARIES)


def test_libraries_are_found_by_the_loaders_path_as_in_pods(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("libcuda.so.1", "libnvidia-gpucomp.so.580.95.05", "libcuda.so.580.95.05"):
        (tmp_path / name).touch()
    monkeypatch.setenv("LD_LIBRARY_PATH", f":{tmp_path / 'nowhere'}:{tmp_path}")
    nvidia.driver_libraries.cache_clear()
    found = nvidia.driver_libraries(tmp_path / "no WSL")
    nvidia.driver_libraries.cache_clear()
    assert {tmp_path / "libcuda.so.1", tmp_path / "libnvidia-gpucomp.so.580.95.05"} <= {*found}


@pytest.mark.parametrize(
    ("files", "card", "expected"),
    [
        (
            ["nvidiactl", "nvidia-uvm", "nvidia0", "nvidia1", "nvidia-modeset"],
            CARD,
            ["nvidiactl", "nvidia-uvm", "nvidia1"],
        ),
        (
            ["nvidiactl", "nvidia-uvm", "nvidia0", "nvidia10", "nvidiax"],
            Device(hardware_class=CARD.hardware_class, cuda="GPU-1"),
            ["nvidiactl", "nvidia-uvm", "nvidia0", "nvidia10"],
        ),
        (
            ["nvidiactl", "nvidia-uvm", "nvidia0", "nvidia-caps/nvidia-cap21"],
            Device(
                hardware_class=cuda_class(
                    "NVIDIA A100-SXM4-40GB",
                    40 << 30,
                    compute_capability=(8, 0),
                    mig_profile="3g.20gb",
                ),
                cuda="MIG-1",
                minor=0,
            ),
            ["nvidiactl", "nvidia-uvm", "nvidia0", "nvidia-caps/nvidia-cap21"],
        ),
        (["dxg", "nvidiactl"], CARD, ["dxg"]),
        ([], CARD, []),
    ],
    ids=["one of two", "unnumbered", "slice", "WSL2", "none"],
)
def test_a_card_has_its_own_device_files(
    tmp_path: Path, files: list[str], card: Device, expected: list[str]
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = DEVICE_FILES(card, tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in found] == expected


def test_a_slice_has_its_own_rights_and_no_others(tmp_path: Path) -> None:
    """As an A100's driver lists them: for each GPU instance, and each compute instance in it."""
    rights, files = tmp_path / "rights", ["nvidiactl", "nvidia-uvm", "nvidia0"]
    (tmp_path / "nvidia-caps").mkdir()
    for part, number in ("gi1", 12), ("gi1/ci0", 13), ("gi2", 21), ("gi2/ci0", 22), ("gi2/ci1", 23):
        folder = rights / "gpu0" / "mig" / part
        folder.mkdir(parents=True)
        (folder / "access").write_text(f"DeviceFileMinor: {number}\nDeviceFileMode: 292\n")
        files.append(f"nvidia-caps/nvidia-cap{number}")
    for name in files:
        (tmp_path / name).touch()
    whole = cuda_class("A100", 40 << 30, compute_capability=(8, 0), mig_profile="3g.20gb")
    part = Device(hardware_class=whole, cuda="MIG-1", minor=0, instance=(2, 1))

    def caps(device: Device) -> list[str]:
        found = DEVICE_FILES(device, tmp_path, rights)
        return [path.name.removeprefix("nvidia-cap") for path in found if "cap" in path.name]

    assert caps(part) == ["21", "23"]
    assert caps(replace(part, instance=(1, 0))) == ["12", "13"]
    # If the driver lists none, a slice gets all, since it would not run otherwise.
    assert len(caps(replace(part, instance=None))) == 5
    assert len(caps(replace(part, instance=(3, 0)))) == 5
    (rights / "gpu0" / "mig" / "gi1" / "access").write_text("nothing that reads\n")
    assert len(caps(replace(part, instance=(1, 0)))) == 5


DEVICE_FILES = nvidia.device_files
