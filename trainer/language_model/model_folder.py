"""A trained model as a folder that needs no arnode: weights, script, and a program to sample.

`model.pt` holds the weights for `torch.load(weights_only=True)`. They come from a sandbox as
checked safetensors, so loading them runs no code. Sampling does run the training script, outside
any sandbox, up to the point where it has built its model.
"""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from protocol.manifest import TaskManifest
from protocol.source import Source
from trainer.host.interpreter import program_command
from trainer.language_model.data import TaskData
from trainer.language_model.job import run_job

WEIGHTS_FILE: Final = "model.pt"
DESCRIPTION_FILE: Final = "model.json"
_TAKEN_HOME: Final = Path(__file__).with_name("take_home")
_LEFT_OUT: Final = {"role", "parts", "batch_rows"}  # fields of a job that model.json omits


def write_model(
    folder: Path,
    source: Source,
    weights: bytes,
    *,
    manifest: TaskManifest,
    data: TaskData,
    seed: int,
    extra_fields: Mapping[str, Any],
) -> tuple[str, ...]:
    """Write a model into a folder, created if needed; return the files' names.

    `weights` are checked safetensors. `extra_fields` holds further entries for `model.json`.
    Raises OSError and CalledProcessError.
    """
    job = run_job("serve", seed, source, manifest, data, parts=1, card={})
    description = {name: value for name, value in asdict(job).items() if name not in _LEFT_OUT}
    files = {
        **dict(source.files),
        **{path.name: path.read_bytes() for path in sorted(_TAKEN_HOME.glob("*.py"))},
        DESCRIPTION_FILE: json.dumps({**extra_fields, **description}, indent=1).encode() + b"\n",
    }
    for name, content in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    saving = [*program_command("trainer.language_model.saving"), str(folder / WEIGHTS_FILE)]
    subprocess.run(saving, input=weights, check=True)
    return (WEIGHTS_FILE, *files)
