"""A separate process that reads untrusted source: capability findings, fingerprint, stripping.

Python's parser can be made to crash, to use up memory or to run forever. So `ast` never sees
untrusted code in the node's process. This module runs in a child process, which
`node.source_review.inspection` starts. It speaks canonical msgpack on stdin and stdout, sets its
resource limits before it reads, and opens nothing else.
    request {kind, tree files, baseline files, base files|nil}; files = [[path, bytes]]
    answer  {marks [{path, line, what, text}] ≤ 100, fingerprint, stripped files|nil,
             refusal text|nil}; with a base either stripped or refusal, else neither
"""

import resource
import sys
from dataclasses import dataclass, replace
from typing import Annotated, Final, TypeAlias

from agent.source.allow_lists import allow_list
from agent.source.canonical import fingerprint
from agent.source.capabilities import (
    MAX_PATH,
    MAX_TEXT,
    CapabilityFinding,
    beyond,
    findings,
    unread,
)
from agent.source.stripping import strip_prose
from protocol.codecs import Codec, binary, fit_line, listing, pair, single_line
from protocol.encoding import decode, encode
from protocol.errors import Rejected
from protocol.fields import Digest, Identifier, Items, Mapped
from protocol.hygiene import MAX_FILE_BYTES
from protocol.manifest import MAX_FILES
from protocol.source import Source

MESSAGE_BYTES: Final = 4 * MAX_FILES * MAX_FILE_BYTES
CPU_S: Final = 5  # a source of 1,000 ordinary lines takes a tenth of a second
MEMORY_BYTES: Final = 1 << 30  # the AST of 256 KiB of `1,1,1` takes about 100 MB
_MAX_MARKS = 100

_FILES: Final = listing(pair(single_line(1, MAX_PATH), binary(0, MAX_FILE_BYTES)), high=MAX_FILES)
_SOURCE: Final = Codec(
    lambda value: _source(_FILES.read(value)), lambda source: _FILES.write(source.files)
)
_Source: TypeAlias = Annotated[Source, _SOURCE]


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectionRequest(Mapped):
    """A tree, the task's baseline, and, to strip the tree, the base to strip it against.

    `kind` is the kind of the task, which selects the allow-list.
    """

    kind: Identifier
    tree: _Source
    baseline: _Source
    base: _Source | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected(Mapped):
    """The findings that the baseline does not have, the fingerprint, and the stripped tree."""

    marks: Annotated[tuple[CapabilityFinding, ...], Items(0, _MAX_MARKS)]
    fingerprint: Digest
    stripped: _Source | None
    refusal: Annotated[str | None, single_line(0, MAX_TEXT)]


def answer(request: InspectionRequest) -> Inspected:
    """Return the findings, the fingerprint and, if requested, the stripped tree."""
    allowed = allow_list(request.kind)
    marks = (
        *unread(request.tree, request.baseline),
        *beyond(findings(request.tree, allowed), findings(request.baseline, allowed)),
    )
    result = None if request.base is None else strip_prose(request.tree, request.base)
    return Inspected(
        marks=tuple(
            replace(finding, text=fit_line(finding.text, MAX_TEXT))
            for finding in marks[:_MAX_MARKS]
        ),
        fingerprint=fingerprint(request.tree),
        stripped=result if isinstance(result, Source) else None,
        refusal=fit_line(result.reason, MAX_TEXT) if isinstance(result, Rejected) else None,
    )


def main() -> None:
    """Answer one request; an invalid one ends the process with a reason."""
    for limit, most in (
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, MESSAGE_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (most, most))
    value = decode(sys.stdin.buffer.read(MESSAGE_BYTES + 1), limit_bytes=MESSAGE_BYTES)
    request = value if isinstance(value, Rejected) else InspectionRequest.from_value(value)
    if isinstance(request, Rejected):
        raise SystemExit(f"not a request: {request.reason}")
    sys.stdout.buffer.write(encode(answer(request).to_value()))


def _source(files: tuple[tuple[str, bytes], ...] | Rejected) -> Source | Rejected:
    return files if isinstance(files, Rejected) else Source.of(dict(files))
