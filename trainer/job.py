"""The first message to a sandbox: what its harness is asked for, and the files of a source.

`trainer.harness.session` reads it inside, into the same `Job`. It knows no sandbox.
"""

import base64
import json
from dataclasses import asdict

from protocol.source import Source
from trainer.harness.session import Job
from trainer.sandbox.profile import Role

_ENTRY = "train.py"


def job_message(job: Job, source: Source) -> bytes:
    """Return the payload of a JOB frame: this job, on these files."""
    files = {path: base64.b64encode(data).decode() for path, data in source.files}
    return json.dumps({**asdict(job), "files": files}).encode()


def program_message(code: str, role: Role) -> bytes:
    """Return the payload that runs a program of our own, which knows of no task."""
    job = Job(
        role=role,
        seed=0,
        entry=_ENTRY,
        context=1,
        budget_tokens=0,
        budget_seconds=0.0,
        parts=1,
        batch_rows=1,
        vocabulary_size=2,
        bos=1,
        vocabulary={"pattern": "", "ranks": []},
    )
    return job_message(job, Source.of({_ENTRY: code.encode()}))
