"""One job inside the sandbox: its settings, its seed, and the script run as `__main__`."""

import base64
import builtins
import importlib.util
import json
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainer.language_model.harness.job import SandboxJob
from trainer.sandbox.inside.channel import Channel

_SEED_MASK = (1 << 63) - 1


channel: Channel
job: SandboxJob


def begin(opened: Channel, payload: bytes) -> None:
    """Start the job: write the source's files, set up the card and seed torch."""
    global channel, job
    message = json.loads(payload)
    files = message.pop("files")
    channel, job = opened, SandboxJob(**message)
    for path, data in files.items():
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(base64.b64decode(data))
    if job.role == "serve" or not job.card.get("compiled", 1) or not _can_compile():
        # `torch.compile` returns its argument then. Scoring is always eager, so that the numbers
        # are the same everywhere.
        os.environ["TORCHDYNAMO_DISABLE"] = "1"
    if share := job.card.get("memory_share"):
        _limit_memory(share)
    require_card()
    _seed_torch(job.seed)
    sys.path.insert(0, str(Path.cwd()))


def run_script() -> None:
    """Execute the entry file as `__main__`, as `python train.py` would.

    Raises RuntimeError if a training script ends without an evaluation.
    """
    path = Path.cwd() / job.entry
    module = types.ModuleType("__main__")
    module.__file__ = str(path)
    sys.modules["__main__"] = module
    sys.argv = [str(path)]
    builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment]  # -S leaves them out
    exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)  # noqa: S102
    if job.role == "train":
        raise RuntimeError(f"{job.entry} ended without calling evaluate_bpb")


def require_card() -> None:
    """Raise RuntimeError if CUDA does not start in a sandbox with a card.

    Otherwise torch would continue on the processor for hours.
    """
    import torch

    has_card = torch.version.cuda is not None and os.environ.get("CUDA_VISIBLE_DEVICES")
    if has_card and not torch.cuda.is_available():
        torch.cuda.init()  # type: ignore[no-untyped-call]
        raise RuntimeError("CUDA starts here but finds no card")


def _can_compile() -> bool:
    import torch

    # Compiling for a processor needs a C++ compiler, which sandboxes do not have.
    return torch.cuda.is_available() and importlib.util.find_spec("triton") is not None


def _limit_memory(share: float) -> None:
    """Limit torch to a share of the card's memory."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(share)


def _seed_torch(seed: int) -> None:
    """Make the run's seed decide initialisation, even in scripts that set a fixed seed."""
    import torch

    def mixing(seed_with: Callable[[int], Any]) -> Callable[[int], Any]:
        return lambda script_seed: seed_with((int(script_seed) * 1_000_003 + seed) & _SEED_MASK)

    torch.manual_seed = mixing(torch.manual_seed)  # type: ignore[assignment]
    torch.cuda.manual_seed = mixing(torch.cuda.manual_seed)  # type: ignore[assignment]
    seed_all = mixing(torch.cuda.manual_seed_all)
    torch.cuda.manual_seed_all = seed_all  # type: ignore[assignment]
    torch.manual_seed(0)
