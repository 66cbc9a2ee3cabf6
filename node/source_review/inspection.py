"""Inspection of untrusted source in a child process.

The child (`agent.source.inspector`) may crash, hang or send false messages. It runs in a sandbox
(`with_masked_home`) with a time limit, no environment, and no file descriptors except one file to
read and one to write. Source that cannot be inspected gets a mark, and so counts as code with a
capability that the baseline lacks.
"""

import signal
import subprocess
import tempfile
from dataclasses import dataclass
from typing import BinaryIO

from agent.source.capabilities import CapabilityFinding
from agent.source.inspector import CPU_S, MESSAGE_BYTES, Inspected, InspectionRequest
from node.home.home import Home
from node.processes.child import BARE
from protocol.encoding import decode, encode
from protocol.errors import Rejected, SafetyError
from protocol.hygiene import MAX_FILE_BYTES
from protocol.manifest import MAX_FILES
from protocol.source import Source
from trainer.host.interpreter import program_command
from trainer.sandbox.masked_home import with_masked_home

LIMIT_S = 6 * CPU_S  # wall-clock; on a busy machine the child gets only part of a processor
_REASONS = {
    -signal.SIGXCPU: "it took more than {cpu_s} CPU seconds",
    -signal.SIGKILL: "it took more than {cpu_s} CPU seconds or was killed",
    -signal.SIGSEGV: "it crashed Python's parser",
    -signal.SIGABRT: "it crashed Python's parser",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """A tree's capabilities that its task's baseline lacks, and the tree without its prose.

    `fingerprint` is None if the tree could not be inspected. `stripped` is None if no base was
    given, and `Rejected` if prose could not be separated from code.
    """

    marks: tuple[CapabilityFinding, ...]
    fingerprint: bytes | None
    stripped: Source | Rejected | None


def inspector_command() -> list[str]:
    """Return the command for a sandboxed inspector, which answers one request on stdin.

    Raises SafetyError if there is no sandbox.
    """
    command = program_command("agent.source.inspector")
    return with_masked_home(command, hidden=[Home.here().root], is_networked=False)


def inspect(tree: Source, *, kind: str, baseline: Source, base: Source | None = None) -> Inspection:
    """Inspect `tree` in a child process. With a `base`, also remove the prose that `base` lacks.

    `kind` is the task's kind. Capabilities on the allow-list of this kind are no marks.
    """
    sources = [source for source in (tree, baseline, base) if source]
    if any(
        len(source.files) > MAX_FILES or any(len(data) > MAX_FILE_BYTES for _, data in source.files)
        for source in sources
    ):
        return _uninspectable(tree, "it is larger than a source may be")
    answer = _ask(InspectionRequest(kind=kind, tree=tree, baseline=baseline, base=base))
    if isinstance(answer, Rejected):
        return _uninspectable(tree, answer.reason)
    stripped: Source | Rejected | None = answer.stripped
    if base is not None and answer.stripped is None:
        stripped = Rejected(answer.refusal or "no reason given")
    return Inspection(marks=answer.marks, fingerprint=answer.fingerprint, stripped=stripped)


def _ask(request: InspectionRequest) -> Inspected | Rejected:
    # Files, not pipes: neither process can block the other, and a limit on the child bounds the
    # file size.
    with tempfile.TemporaryFile() as question, tempfile.TemporaryFile() as reply:
        question.write(encode(request.to_value()))
        question.seek(0)
        fault = _run(question, reply)
        if fault is not None:
            return Rejected(fault)
        reply.seek(0)
        value = decode(reply.read(MESSAGE_BYTES + 1), limit_bytes=MESSAGE_BYTES)
    answer = value if isinstance(value, Rejected) else Inspected.from_value(value)
    if isinstance(answer, Rejected):
        return Rejected(f"the inspector's answer is invalid: {answer.reason}")
    if answer.stripped and _paths(answer.stripped) != _paths(request.tree):
        return Rejected("the inspector returned other files than it was given")
    return answer


def _run(question: BinaryIO, reply: BinaryIO) -> str | None:
    """Run the child. Return the reason if it failed, else None."""
    try:
        code = subprocess.run(
            inspector_command(),
            stdin=question,
            stdout=reply,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=BARE,
            timeout=LIMIT_S,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        return f"it took more than {LIMIT_S} seconds"
    except SafetyError as fault:
        return fault.message
    except OSError as fault:
        return f"the inspector could not be started ({fault.strerror})"
    if code == 0:
        return None
    return _REASONS.get(code, "the inspector failed ({code})").format(cpu_s=CPU_S, code=code)


def _paths(source: Source) -> list[str]:
    return [path for path, _ in source.files]


def _uninspectable(tree: Source, reason: str) -> Inspection:
    mark = CapabilityFinding(
        path=_paths(tree)[0] if tree.files else "",
        line=1,
        what="uninspectable",
        text=f"cannot be inspected: {reason}",
    )
    return Inspection(marks=(mark,), fingerprint=None, stripped=Rejected(mark.text))
