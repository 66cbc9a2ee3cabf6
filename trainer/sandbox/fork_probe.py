"""A test of forked sandboxes on this machine: forks one, which runs the self-test's attacks.

A kernel may allow namespaces only to bubblewrap, or lack clone3. Then every sandbox is started as a
new process.
"""

import json
import os
import socket
from dataclasses import asdict
from pathlib import Path

from trainer.sandbox import bubblewrap, confined
from trainer.sandbox.confined import BOXES, make_box, release_uid, throwaway_uid
from trainer.sandbox.forked import confined_request, namespace_request
from trainer.sandbox.inside.channel import FORKS
from trainer.sandbox.inside.zygote import READY, ForkRequest
from trainer.sandbox.profile import Profile
from trainer.sandbox.visible import INSIDE
from trainer.sandbox.zygote import Started

_TIMEOUT_S = 20.0
_PROFILE = Profile(role="serve", harness=INSIDE, memory_bytes=1 << 30, scratch_bytes=1 << 20)


def fork_once(*, in_namespaces: bool, as_throwaway: bool) -> str:
    """Return a forked sandbox's self-test report: `contained`, or the attacks that succeeded.

    Return an empty text if there is no report. Raises OSError, and SafetyError if no uid is free.
    """
    uid = throwaway_uid() if as_throwaway else None
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with ours, theirs:
            ours.settimeout(_TIMEOUT_S)
            started = _start(
                theirs.fileno(), in_namespaces=in_namespaces, as_throwaway=as_throwaway
            )
            theirs.close()
            with started.process:  # it ends when its socket is closed
                if ours.recv(len(READY)) != READY:
                    return ""
                said = _said(ours, _request(started, uid))
                ours.close()
                return said
    finally:
        if uid is not None:
            release_uid(uid)


def _start(control: int, *, in_namespaces: bool, as_throwaway: bool) -> Started:
    arguments = [str(control), FORKS, str(Path.home())]
    program = f"arnode/{INSIDE}/selftest.py"
    if in_namespaces:
        return bubblewrap.start_zygote(_PROFILE, control, [f"/{program}", *arguments])
    return confined.start_zygote(
        _PROFILE, control, [program, *arguments], as_throwaway=as_throwaway
    )


def _request(started: Started, uid: int | None) -> ForkRequest:
    if started.folder is None:
        return namespace_request(_PROFILE)
    folder = make_box(uid, within=started.folder / BOXES)
    return confined_request(_PROFILE, folder, started.folder, uid=uid)


def _said(control: socket.socket, request: ForkRequest) -> str:
    output, printed = os.pipe()
    nothing = os.open(os.devnull, os.O_RDWR)
    with os.fdopen(output, "rb") as lines:
        try:
            asked = json.dumps(asdict(request)).encode()
            socket.send_fds(control, [asked], [nothing, printed, nothing])
        finally:
            os.close(nothing)
            os.close(printed)
        return lines.read().decode(errors="replace").strip().rpartition("\n")[2]
