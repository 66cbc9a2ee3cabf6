"""Whether a card that the driver tells of can be used by torch in a sandbox, and what to mend.

What can be read is looked at first, as it names its own mend; then CUDA is tried where runs use it.
"""

import asyncio
import os
import re
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from protocol.errors import ConfigurationError
from trainer.cards import nvidia
from trainer.cards.cards import Card
from trainer.language_model.harness import HARNESS
from trainer.language_model.job import program_message
from trainer.sandbox.inside.channel import JOB
from trainer.sandbox.profile import Profile
from trainer.sandbox.sandbox import Sandbox, SandboxEnded

_TURING: Final = (7, 5)
_LAST_BEFORE_TURING: Final = (12, 6)  # the newest CUDA whose torch builds know older cards
_TRY_S = 120.0
_TRY = "import torch; torch.ones(8, device='cuda').sum().item(); print('works', flush=True)"


class CardFault(ConfigurationError):  # noqa: N818 -- what is wrong with a card is one
    """Why a card cannot be used, with what to mend; `name` tells it from others for good."""

    def __init__(self, name: str, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.name = name


def card_fault(card: Card) -> CardFault | None:
    """Return why runs cannot use a card, with what to mend; None if they can."""
    return software_fault(card) or file_fault(card) or trial_fault(card)


def torch_cuda() -> tuple[int, int] | None:
    """Return the CUDA version that the installed torch was built for, None for none.

    Read from its version file: importing torch takes a second.
    """
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    text = Path(spec.origin).with_name("version.py").read_text()
    found = re.search(r"^cuda\b.*= '(\d+)\.(\d+)'", text, re.MULTILINE)
    return (int(found[1]), int(found[2])) if found else None


def software_fault(card: Card) -> CardFault | None:
    """Return why torch as it is installed cannot use a card."""
    built = torch_cuda()
    if built is None:
        return CardFault(
            "cpu-build",
            "torch here is built for the CPU alone",
            "install its CUDA build: pip install --force-reinstall torch",
        )
    named = f"{built[0]}.{built[1]}"
    if (0, 0) < card.compute_capability < _TURING and built > _LAST_BEFORE_TURING:
        older = ".".join(map(str, _LAST_BEFORE_TURING))
        return CardFault(
            "card-too-old",
            f"torch's build for CUDA {named} knows no cards before Turing",
            f"install torch's build for CUDA {older}",
        )
    driver = str(card.env.get("cuda_driver", ""))
    if driver and int(driver.partition(".")[0]) < built[0]:
        return CardFault(
            "driver-too-old",
            f"the driver ({card.env.get('driver', 'unknown')}) reaches CUDA {driver},"
            f" torch is built for {named}",
            "update NVIDIA's driver, or install torch's build for that CUDA",
        )
    if shutil.which("gcc") is None:
        return CardFault(
            "no-compiler",
            "there is no C compiler, which torch.compile needs",
            "install your distribution's package `gcc`",
        )
    return None


def file_fault(card: Card, dev: Path = Path("/dev")) -> CardFault | None:
    """Return which file is missing, or may not be opened, of those that CUDA needs."""
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
        if not os.access(path, os.R_OK | os.W_OK):
            return CardFault(
                "device-file-refused",
                f"{path} may not be opened by this user",
                "add the user to the file's group",
            )
    if not nvidia.driver_libraries():
        return CardFault(
            "no-driver-library",
            "the driver's library libcuda.so.1 is not found",
            "install NVIDIA's driver; in Docker start with `--gpus all`",
        )
    if not Path("/sys/devices").is_dir():
        return CardFault("no-sys", "/sys is not mounted, which CUDA reads", "mount it")
    return None


def trial_fault(card: Card) -> CardFault | None:
    """Return what CUDA says where runs use it."""
    said = asyncio.run(_tried(card))
    if said.splitlines()[-1:] == ["works"]:
        return None
    last = said.strip().rpartition("\n")[2] or "no answer"
    return CardFault(
        "sandbox-without-cuda",
        f"CUDA does not work in a sandbox: {last}",
        "update NVIDIA's driver; `nvidia-smi` must work",
    )


async def _tried(card: Card) -> str:
    """Return what a program said that uses the card in a sandbox."""
    profile = Profile(
        role="train",
        harness=HARNESS,
        memory_bytes=16 << 30,
        scratch_bytes=1 << 30,
        threads=1024,
        single_process=False,
        card=card.device,
    )
    sandbox = await Sandbox.launch(profile)
    try:
        await sandbox.send(JOB, program_message(_TRY, "train"))
        async with asyncio.timeout(_TRY_S):
            await sandbox.receive(JOB)
    except (SandboxEnded, TimeoutError):
        await sandbox.settled()
    finally:
        await sandbox.close()
    return sandbox.output_tail()
