"""The first message to a sandbox: the job for its harness, and the files of a source.

Inside the sandbox, `trainer.language_model.harness.session` makes a `SandboxJob` of it again. This
module is independent of sandboxes.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from protocol.manifest import TaskManifest
from protocol.source import Source
from trainer.language_model.data import TaskData
from trainer.language_model.harness.job import SandboxJob
from trainer.language_model.scoring import batch_rows
from trainer.language_model.text.vocabulary import SPLIT_PATTERN
from trainer.sandbox.profile import Role


def job_message(job: SandboxJob, source: Source) -> bytes:
    """Return the payload of a JOB frame: a job and the files of a source."""
    files = {path: base64.b64encode(data).decode() for path, data in source.files}
    return json.dumps({**asdict(job), "files": files}).encode()


def run_job(
    role: Role,
    seed: int,
    source: Source,
    manifest: TaskManifest,
    data: TaskData,
    *,
    parts: int,
    card: Mapping[str, Any],
) -> SandboxJob:
    """Return the job of a run in a role.

    `parts` is the number of parts that the training data is handed over in. `card` holds the card's
    self-test results that scripts may use.
    """
    vocabulary, has_tokens = data.vocabulary, manifest.budget.unit == "tokens"
    return SandboxJob(
        role=role,
        seed=seed,
        entry=source.files[0][0],
        context=manifest.context,
        budget_tokens=manifest.budget.amount if has_tokens else 0,
        budget_seconds=0.0 if has_tokens else float(manifest.budget.amount),
        parts=parts,
        batch_rows=batch_rows(manifest.context),
        vocabulary_size=vocabulary.size,
        bos=vocabulary.bos,
        vocabulary={
            "pattern": SPLIT_PATTERN,
            "ranks": [token.hex() for token in vocabulary.ranks],
        },
        card=dict(card),
    )


def program_message(code: str, role: Role) -> bytes:
    """Return the payload that runs one of our own programs, without a task."""
    job = SandboxJob(role=role)
    return job_message(job, Source.of({job.entry: code.encode()}))
