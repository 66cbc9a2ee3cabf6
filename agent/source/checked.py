"""What is known of a source before it costs a second of a device.

A model's text is parsed by nobody's core process: whoever checks it does so in a child, against
the task's rules for sources and its baseline. Only the words of the answer are here.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from agent.source.capabilities import Finding
from protocol.source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Either a `fingerprint`, or why the source may not be run.

    `marks` are what it does beyond arithmetic and the task's baseline does not.
    """

    fingerprint: bytes | None
    fault: str = ""
    marks: tuple[Finding, ...] = ()


Check: TypeAlias = Callable[[Source], Awaitable[Checked]]
