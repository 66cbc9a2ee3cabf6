"""Builds a candidate, or runs its function or command on instances, inside the sandbox.

A build makes new files from a candidate's files before any instance is known. A function is
imported before any instance is known, and then called. A command replaces this process, or is a
child of it if new processes are allowed.
"""

import importlib.util
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from trainer.program.harness import handing
from trainer.program.harness.codec import decode, encode
from trainer.program.harness.files import File, link_data, pack_files, unpack_files, write_files
from trainer.program.harness.linker import show_linker
from trainer.program.harness.tags import BUILT, INSTANCE, MESSAGE, MODELS, OUTPUT, REPLY, TALK, USED
from trainer.sandbox.inside.channel import ANSWER, JOB, SERVING, Channel
from trainer.sandbox.inside.restrictions import load_filter

_MOST_BUILT = 64  # files
_NOT_FOUND = 127  # as in a shell


def work(channel: Channel) -> None:
    """Receive a job and do it. Raises whatever the candidate raises."""
    tag, payload, descriptor = channel.receive()
    if tag == MODELS and descriptor is not None:
        from trainer.program.harness.endpoint import open_endpoint

        open_endpoint(channel, descriptor, json.loads(payload))
        channel.send(SERVING)
        tag, payload, descriptor = channel.receive()
    if tag != JOB or descriptor is None:
        raise SystemExit("the first frame must be the job")
    job = json.loads(payload)
    write_files(unpack_files(_read(descriptor)), Path.cwd())
    link_data(Path.cwd())
    os.environ["ARNODE_SEED"] = str(job["seed"])
    if job["module"]:
        from trainer.program.harness import module

        _confine(job)
        module.serve(channel, job)
    elif job["entry"]:
        _confine(job)
        _call(channel, job)
    else:
        if job["waits"]:
            show_linker()
        channel.send(SERVING)
        _execute(channel, job)


def build(channel: Channel) -> None:
    """Run the build command and send new and changed files. Raises SystemExit if it fails."""
    tag, payload, descriptor = channel.receive()
    if tag != JOB or descriptor is None:
        raise SystemExit("the first frame must be the job")
    job = json.loads(payload)
    given = unpack_files(_read(descriptor))
    write_files(given, Path.cwd())
    before = {one.path: _written_ns(one.path) for one in given}
    show_linker()
    pid = os.fork()
    if not pid:
        _become(_as_command(job["build"]), os.open(os.devnull, os.O_RDONLY), 2)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        raise SystemExit(f"the build ended with exit code {status}")
    known = {one.path: one.data for one in given}
    made = [
        one
        for one in _found(Path.cwd())
        if known.get(one.path) != one.data or before[one.path] != _written_ns(one.path)
    ]
    channel.send(BUILT, pack_files(made))


def _written_ns(path: str) -> tuple[int, int]:
    """Return a file's inode and write time, which change even if the same content is written."""
    found = Path(path).stat()
    return found.st_ino, found.st_mtime_ns


def _found(folder: Path) -> list[File]:
    """Return the files below a folder. A build may have put anything there."""
    found: list[File] = []
    for within, _, names in os.walk(folder):
        for name in names:
            path = Path(within, name)
            if path.is_symlink() or not path.is_file():
                continue
            if len(found) == _MOST_BUILT:
                raise SystemExit(f"the build made more than {_MOST_BUILT} files")
            data, inside = path.read_bytes(), path.relative_to(folder).as_posix()
            # The linker cannot set the executable bit: this sandbox refuses changes of modes.
            is_program = data.startswith((b"\x7fELF", b"#!"))
            found.append(File(path=inside, data=data, is_executable=is_program))
    return found


def _confine(job: dict[str, Any]) -> None:
    """Give up the rights to start processes and load filters, which the candidate must not have."""
    if job["filter"]:
        load_filter(bytes.fromhex(job["filter"]))


def _call(channel: Channel, job: dict[str, Any]) -> None:
    """Import the function and call it on each instance received: warm-ups first."""
    encoding = job["encoding"]
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # it is killed once it has answered
    function = _imported(job["entry"])
    channel.send(SERVING)
    while True:
        tag, payload, descriptor = channel.receive()
        if tag == MESSAGE:
            channel.send(REPLY, encode(function(decode(payload, encoding)), encoding))
        elif tag == INSTANCE and descriptor is not None:
            answer = function(decode(_read(descriptor), encoding))
            channel.send(ANSWER, encode(answer, encoding))
        else:
            raise SystemExit(f"unknown request {tag!r}")


def _imported(entry: str) -> Callable[[Any], Any]:
    path, _, name = entry.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    module_name = Path(path).stem
    spec = importlib.util.spec_from_file_location(module_name, Path.cwd() / path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} is not a Python module")
    module: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        raise SystemExit(f"{path} has no function {name}")
    return function  # type: ignore[no-any-return]  # it is called as one


def _execute(channel: Channel, job: dict[str, Any]) -> None:
    """Run the command with the instance as its input and the answer as its output."""
    instance = None
    while True:
        tag, _, descriptor = channel.receive()
        if descriptor is None:
            raise SystemExit("the frame has no descriptor")
        if tag == INSTANCE:
            instance = descriptor
        elif tag == OUTPUT and instance is not None:
            reading, writing = instance, descriptor
            break
        elif tag == TALK:
            reading = writing = descriptor
            break
    has_file = handing.is_asked(job["run"], handing.OUT)
    if handing.is_asked(job["run"], handing.IN):
        reading = handing.put(reading, job["encoding"])
    command = _as_command(handing.named(job["run"]))
    if not job["waits"]:
        _become(command, reading, writing)
    pid = os.fork()
    if not pid:
        _confine(job)
        _become(command, reading, 2 if has_file else writing)
    if not has_file:
        os.close(writing)
    if reading != writing:
        os.close(reading)
    _, status, used = os.wait4(pid, 0)
    usage = {"exit": os.waitstatus_to_exitcode(status), "cpu_s": used.ru_utime + used.ru_stime}
    if has_file and not usage["exit"]:
        handing.hand_over(writing, job["encoding"])
    channel.send(USED, json.dumps({**usage, "peak_kib": used.ru_maxrss}).encode())


def _as_command(words: list[str]) -> list[str]:
    """Return a command with `python` replaced by the current interpreter."""
    if words[0] in ("python", "python3"):
        return [sys.executable, "-B", "-S", "-s", *words[1:]]
    return words


def _become(command: list[str], reading: int, writing: int) -> None:
    """Replace this process by a command; close all descriptors but standard input and outputs."""
    os.environ["PYTHONPATH"] = sys.path[1]  # the path of packages in this sandbox
    os.dup2(reading, 0)
    os.dup2(writing, 1)
    os.closerange(3, 1 << 16)
    try:
        os.execvp(command[0], command)  # noqa: S606 -- its purpose
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        os._exit(_NOT_FOUND)


def _read(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as file:
        return file.read()
