"""Looks at what a model or a coding agent wrote before anything of it runs.

The task's rules for sources first, then a child process parses it (`node.vetting.inspection`):
such a text may have been written by whoever wrote the patches that it was asked about.
"""

import asyncio

from agent.source.capabilities import Check, Checked
from node.vetting.inspection import inspect
from protocol.hygiene import check_for_task
from protocol.manifest import TaskManifest
from protocol.source import Source


def check_for(manifest: TaskManifest, baseline: Source) -> Check:
    """Return what says of a source whether it may be run for a task."""

    async def check(source: Source) -> Checked:
        fault = check_for_task(source, manifest, baseline=baseline)
        if fault is not None:
            return Checked(fingerprint=None, fault=fault.reason)
        found = await asyncio.to_thread(inspect, source, baseline=baseline)
        if found.fingerprint is None:  # the child failed, for which no line of the source is named
            return Checked(fingerprint=None, fault=found.marks[0].text)
        return Checked(fingerprint=found.fingerprint, marks=found.marks)

    return check
