"""Landlock, from the view of a process that restricted itself."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest

from trainer.sandbox.inside.landlock import landlock_abi
from trainer.sandbox.landlock import Access, everything_but

pytestmark = pytest.mark.skipif(not landlock_abi(), reason="the kernel has no Landlock")

PROBE = """
import json, os, sys
from pathlib import Path
from trainer.sandbox import landlock
from trainer.sandbox.landlock import LIST, READ, WRITE, restrict_self
here = Path(sys.argv[1])
restrict_self({here / "read": READ, here / "list": LIST, here / "write": WRITE,
               here / "read" / "missing": READ, here / "single": READ})
attempts = {
    "read": lambda: (here / "read" / "file").read_text(),
    "read by link": lambda: (here / "write" / "link").read_text(),
    "read out": lambda: (here / "file").read_text(),
    "single": lambda: (here / "single").read_text(),
    "list": lambda: os.listdir(here / "list"),
    "read listed": lambda: (here / "list" / "file").read_text(),
    "list out": lambda: os.listdir(here),
    "write": lambda: (here / "write" / "new").write_text("x"),
    "write read": lambda: (here / "read" / "file").write_text("x"),
    "truncate": lambda: os.open(here / "read" / "file", os.O_WRONLY | os.O_TRUNC),
    "remove": lambda: (here / "read" / "file").unlink(),
    "move out": lambda: (here / "write" / "new").rename(here / "new"),
    "move in": lambda: (here / "read" / "file").rename(here / "write" / "stolen"),
    "socket file": lambda: os.mkfifo(here / "write" / "pipe"),
    "execute": lambda: os.execv("/bin/true", ["true"]),
}
done = []
for name, attempt in attempts.items():
    try:
        attempt()
        done.append(name)
    except OSError:
        pass
print(json.dumps(done))
"""


def test_only_what_is_named_can_be_done(tmp_path: Path) -> None:
    for name in ("read", "list", "write"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "file").write_text("outside")
    (tmp_path / "single").write_text("single")
    (tmp_path / "write" / "link").symlink_to(tmp_path / "file")
    said = subprocess.run(
        [sys.executable, "-c", PROBE, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert json.loads(said.stdout) == ["read", "single", "list", "write"]
    assert (tmp_path / "read" / "file").read_text() == "read"


ASKED = """
import fcntl, os, termios
from pathlib import Path
from trainer.sandbox.landlock import CARD, DEVICE, restrict_self
restrict_self({Path("/dev/null"): DEVICE, Path("/dev/full"): CARD})
for path in ("/dev/null", "/dev/full"):
    file = os.open(path, os.O_RDWR)
    try:
        fcntl.ioctl(file, termios.TIOCGWINSZ, bytes(8))
    except OSError as error:
        print(error.errno)
"""


@pytest.mark.skipif(
    Access.IOCTL_DEV not in Access.known_to(landlock_abi()), reason="the kernel cannot refuse it"
)
def test_only_a_cards_driver_is_asked_for_more_than_reading_and_writing() -> None:
    said = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True, check=True)
    assert [int(word) for word in said.stdout.split()] == [errno.EACCES, errno.ENOTTY]


def test_everything_but_leaves_out_what_is_hidden_and_nothing_else(tmp_path: Path) -> None:
    for name in ("shown", "hidden", "hidden/below"):
        (tmp_path / name).mkdir()
    rules = everything_but([tmp_path / "hidden"])
    assert tmp_path / "shown" in rules
    for path in (tmp_path / "hidden", tmp_path / "hidden" / "below", *tmp_path.parents, tmp_path):
        assert path not in rules
    assert Path("/usr") in rules


def test_a_kernel_is_asked_only_for_what_it_knows() -> None:
    assert Access.REFER not in Access.known_to(1)
    assert Access.TRUNCATE not in Access.known_to(2)
    assert Access.TRUNCATE in Access.known_to(3)
    assert Access.IOCTL_DEV in Access.known_to(5)
