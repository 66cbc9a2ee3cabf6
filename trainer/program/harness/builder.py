"""A build: a command turns a candidate's files into others, before there is any instance."""

import json
import os
from pathlib import Path

from trainer.program.harness.candidate import as_command, become
from trainer.program.harness.files import File, pack_files, unpack_files, write_files
from trainer.program.harness.tags import BUILT
from trainer.sandbox.inside.channel import JOB, Channel

_MOST_FILES = 64


def work(channel: Channel) -> None:
    """Build, and send what is new or changed. Raises SystemExit if the command fails."""
    tag, payload, descriptor = channel.receive()
    if tag != JOB or descriptor is None:
        raise SystemExit("the first frame must be the job")
    job = json.loads(payload)
    with os.fdopen(descriptor, "rb") as file:
        given = unpack_files(file.read())
    write_files(given, Path.cwd())
    pid = os.fork()
    if not pid:
        become(as_command(job["build"]), os.open(os.devnull, os.O_RDONLY), 2)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        raise SystemExit(f"the build ended with exit code {status}")
    known = {one.path: one.data for one in given}
    made = [one for one in _found(Path.cwd()) if known.get(one.path) != one.data]
    channel.send(BUILT, pack_files(made))


def _found(folder: Path) -> list[File]:
    """Return the files below a folder; whoever made them may have made anything."""
    found: list[File] = []
    for within, _, names in os.walk(folder):
        for name in names:
            path = Path(within, name)
            if path.is_symlink() or not path.is_file():
                continue
            if len(found) == _MOST_FILES:
                raise SystemExit(f"the build made more than {_MOST_FILES} files")
            data, inside = path.read_bytes(), path.relative_to(folder).as_posix()
            # A linker could not say so: the calls that change modes are refused in here.
            is_program = data.startswith((b"\x7fELF", b"#!"))
            found.append(File(path=inside, data=data, is_executable=is_program))
    return found
