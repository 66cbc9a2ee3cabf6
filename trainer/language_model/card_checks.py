"""Checks that torch can use a card in a sandbox, each with a fix if it fails.

Checks that only read files come first, since they can name a precise fix. The last one tries CUDA
in a sandbox, as runs use it.
"""

import asyncio
import errno
import os
import shutil
from pathlib import Path
from typing import Final

from protocol.errors import ConfigurationError, SafetyError
from trainer.cards import nvidia
from trainer.cards.cards import GraphicsCard
from trainer.cards.install_torch import torch_hint
from trainer.cards.torch_build import codes_of, cuda_reached, fitting_build, installed, serves
from trainer.host.device import Device
from trainer.language_model.harness import HARNESS
from trainer.language_model.job import program_message
from trainer.sandbox.frames import SandboxEnded
from trainer.sandbox.inside.channel import JOB
from trainer.sandbox.profile import Profile
from trainer.sandbox.sandbox import Sandbox
from trainer.sandbox.tier import probe_tier

_TURING: Final = (7, 5)  # every CUDA build since 11 supports it
_TRY_S = 120.0
_TRY = "import torch; torch.ones(8, device='cuda').sum().item(); print('works', flush=True)"

# Prints a line for each file that cannot be opened, then a line that it has finished.
_OPEN = """
import os
for path, mode in {files!r}:
    try:
        os.close(os.open(path, mode))
    except OSError as error:
        print("refused", error.errno, path)
print("tried", flush=True)
"""
_REFUSALS: Final = {
    errno.EACCES: "`sudo chmod a+rw {path}`: runs here may have another user than you",
    errno.EPERM: "the container may not use the card: start it with `--gpus all`, or rent another",
}


class CardFault(ConfigurationError):  # noqa: N818 -- a fault of a card is an error
    """The reason a card cannot be used, with a fix; `name` is a stable identifier of the reason."""

    def __init__(self, name: str, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.name = name


def card_fault(card: GraphicsCard) -> CardFault | None:
    """Return the reason runs cannot use a card, with a fix; None if they can."""
    return software_fault(card) or file_fault(card) or trial_fault(card)


def software_fault(card: GraphicsCard) -> CardFault | None:
    """Return the reason the installed torch cannot use a card; None if it can."""
    reached = _cuda_reached(card)
    fixed = torch_hint(reached, card.compute_capability)
    if fitting_build(None, [card.compute_capability]) is None:
        return CardFault("card-too-old", f"torch no longer supports {_named(card)}", fixed)
    built = torch_cuda()
    if built is None:
        return CardFault("cpu-build", "the installed torch is built for the CPU only", fixed)
    named = f"{built[0]}.{built[1]}"
    codes = torch_codes() or codes_of(built)
    if not serves(codes, card.compute_capability):
        is_old = card.compute_capability < _TURING
        return CardFault(
            "card-too-old" if is_old else "card-too-new",
            f"torch's build for CUDA {named} has no machine code for {_named(card)}, only "
            + " ".join(codes),
            fixed,
        )
    if reached is not None and reached < built[0]:
        return CardFault(
            "driver-too-old",
            f"the driver ({card.env.get('driver', 'unknown')}) supports CUDA"
            f" {card.env.get('cuda_driver', reached or 10)} at most, but torch is built for"
            f" {named}",
            fixed,
        )
    if shutil.which("gcc") is None:
        return CardFault(
            "no-compiler",
            "there is no C compiler, which torch.compile needs",
            "install your distribution's package `gcc`",
        )
    return None


def torch_cuda() -> tuple[int, int] | None:
    """Return the CUDA version of the installed torch; None without CUDA or without torch."""
    found = installed()
    return found.cuda if found else None


def torch_codes() -> tuple[str, ...]:
    """Return the architectures of the installed torch, such as `sm_90`; empty if unreadable."""
    found = installed()
    return found.codes if found else ()


def _cuda_reached(card: GraphicsCard) -> int | None:
    """Return the newest CUDA major version that a card's driver runs; None if unknown."""
    if cuda := card.env.get("cuda_driver"):
        return int(str(cuda).partition(".")[0])
    return cuda_reached(str(driver)) if (driver := card.env.get("driver")) else None


def _named(card: GraphicsCard) -> str:
    major, minor = card.compute_capability
    return f"cards of compute capability {major}.{minor}"


def file_fault(card: GraphicsCard, dev: Path = Path("/dev")) -> CardFault | None:
    """Return the first file that CUDA needs and that is missing or cannot be opened, if any."""
    if not (dev / "dxg").exists():
        wanted = ["nvidiactl", "nvidia-uvm"]
        wanted += [] if card.minor is None else [f"nvidia{card.minor}"]
        for name in wanted:
            if not (dev / name).exists():
                return CardFault(
                    "no-device-file",
                    f"{dev / name} is not there",
                    "`sudo nvidia-modprobe -u -c=0` makes it; in Docker start with `--gpus all`",
                )
    for path in nvidia.device_files(card.device, dev):
        if why := _refused(path):
            return CardFault(
                "device-file-refused",
                f"{path} cannot be opened ({why})",
                "add the user to the file's group; in a container or pod, ask for the card when it"
                " is started: in Docker `--gpus all`",
            )
    if not nvidia.driver_libraries():
        return CardFault(
            "no-driver-library",
            "the driver's library libcuda.so.1 is not found",
            "install NVIDIA's driver (WSL2: in Windows only); in Docker start with `--gpus all`",
        )
    if not Path("/sys/devices").is_dir():
        return CardFault("no-sys", "/sys is not mounted, but CUDA reads it", "mount it")
    return None


def _refused(path: Path) -> str:
    """Return the reason a device file does not open, or "". A container may refuse even root."""
    try:
        os.close(os.open(path, _way(path) | os.O_CLOEXEC))
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _way(path: Path) -> int:
    """Return the mode for opening a device file: capability files of MIG slices are read-only."""
    return os.O_RDONLY if path.name.startswith("nvidia-cap") else os.O_RDWR


async def sandbox_fault(card: GraphicsCard) -> CardFault | None:
    """Start a sandbox with a card's device files and open them; return the fault, if any."""
    tier = probe_tier()
    if tier.name == "none":
        return CardFault("no-sandbox", tier.detail, tier.hint)
    files = [(str(path), _way(path)) for path in nvidia.device_files(card.device)]
    try:
        said = await _said(card, _OPEN.format(files=files))
    except SafetyError as error:
        return CardFault("no-sandbox", error.message, error.hint)
    return opening_fault(said)


def opening_fault(said: str) -> CardFault | None:
    """Return the fault in the output of the program that opens the device files, if any."""
    lines = said.splitlines()
    refused = next((line for line in lines if line.startswith("refused ")), None)
    if refused is not None:
        _, number, path = refused.split(" ", 2)
        hint = _REFUSALS.get(int(number), "`nvidia-smi` must work").format(path=path)
        why = os.strerror(int(number))
        return CardFault("device-file-refused", f"{path} is not opened in a sandbox: {why}", hint)
    if "tried" in lines:
        return None
    last = said.strip().rpartition("\n")[2] or "no answer"
    hint = "`arnode doctor` tries sandboxes without the card"
    return CardFault("no-sandbox", f"a sandbox with the card failed: {last}", hint)


def trial_fault(card: GraphicsCard) -> CardFault | None:
    """Try CUDA in a sandbox, as runs use it; return the fault, if any."""
    said = asyncio.run(_said(card, _TRY))
    if said.splitlines()[-1:] == ["works"]:
        return None
    last = said.strip().rpartition("\n")[2] or "no answer"
    return CardFault(
        "sandbox-without-cuda",
        f"CUDA does not work in a sandbox: {last}",
        "update NVIDIA's driver; `nvidia-smi` must work",
    )


def profile_of(device: Device, *, memory_bytes: int = 16 << 30) -> Profile:
    """Return the sandbox profile of our own test programs, which use a device as training does."""
    return Profile(
        role="train",
        harness=HARNESS,
        memory_bytes=memory_bytes,
        scratch_bytes=1 << 30,
        threads=1024,
        single_process=False,
        card=device if device.cuda is not None else None,
    )


async def _said(card: GraphicsCard, program: str) -> str:
    """Return a program's output in a sandbox with the card.

    Raises SafetyError if no sandbox starts.
    """
    sandbox = await Sandbox.launch(profile_of(card.device))
    try:
        await sandbox.send(JOB, program_message(program, "train"))
        async with asyncio.timeout(_TRY_S):
            await sandbox.receive(JOB)
    except (SandboxEnded, TimeoutError):
        await sandbox.settled()
    finally:
        await sandbox.close()
    return sandbox.output_tail()
