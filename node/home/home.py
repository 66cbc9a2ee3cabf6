"""The one folder in which a node keeps everything, and the lock that makes it one node's.

It is 0700: the signing key, the node secret and the control socket live in it. The lock is an
flock, so it dies with the process, however that ends.
"""

import fcntl
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from node.home.faults import FULL, explaining_faults
from protocol.errors import ConfigurationError

PRIVATE_FOLDER = 0o700
_OTHERS = 0o077


class InUseError(ConfigurationError):
    """Another process holds the home's lock."""


@contextmanager
def _naming_the_mend(root: Path) -> Iterator[None]:
    """Raise what is wrong with a home's path as a ConfigurationError; full disks pass through."""
    try:
        yield
    except (FileExistsError, NotADirectoryError) as fault:
        file = next((one for one in (root, *root.parents) if one.is_file()), root)
        what = f"{file} is not one" if file != root else "there is a file"
        raise ConfigurationError(
            f"the home {root} is not a folder: {what}", "set ARNODE_HOME to a folder"
        ) from fault
    except OSError as fault:
        if fault.errno in FULL:
            raise
        reason = (fault.strerror or "refused").lower()
        raise ConfigurationError(
            f"the home {root} cannot be used: {reason}",
            "set ARNODE_HOME to a folder that is yours to write to",
        ) from fault


class _HomePath:
    """A file or folder of a home, by its name there."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, home: "Home", _: object) -> Path:
        return home.root / self._name


def program_file(task: str, text: str = "") -> str:
    """Return the name of the user's text for a task among `Home.programs`; `text` tells several."""
    return f"{task}.{text}.md" if text else f"{task}.md"


@dataclass(frozen=True, slots=True)
class Home:
    """Where things are. Nothing is created before `prepare`."""

    root: Path

    @classmethod
    def locate(cls, env: Mapping[str, str]) -> "Home":
        """Return the home that the environment names, else the platform's usual place."""
        named = env.get("ARNODE_HOME")
        if named:
            return cls(Path(named).expanduser().absolute())
        from platformdirs import user_data_path

        return cls(user_data_path("arnode", appauthor=False))

    @classmethod
    def here(cls) -> "Home":
        """Return the home that this process's own environment means.

        Raises ConfigurationError if there can be none.
        """
        home = cls.locate(os.environ)
        with _naming_the_mend(home.root):
            try:
                if not stat.S_ISDIR(home.root.stat().st_mode):
                    raise NotADirectoryError
            except FileNotFoundError:
                pass  # not made yet
        return home

    store = _HomePath("records.db")  # SQLite
    mirror = _HomePath("own-records.log")  # a second copy of this node's own records
    blobs = _HomePath("blobs")  # content-addressed files
    journal = _HomePath("journal")  # one git repository per task and hardware class
    data = _HomePath("data")  # prepared, of tasks
    key = _HomePath("key")  # the author and transport seeds
    secret = _HomePath("secret")  # that secret splits are drawn with
    config = _HomePath("config.toml")  # the user's settings
    networks = _HomePath("networks")  # of each: the user's definition, and an address book
    programs = _HomePath("programs")  # the user's texts of a task: what proposers are told to do
    people = _HomePath("people.json")  # whom the user named as friends, or blocked
    fleet_list = _HomePath("fleet.txt")  # whose nodes are the user's, signed
    power = _HomePath("power-limits.json")  # the cards' limits before this node lowered them
    replications = _HomePath("replications")  # runs of `arnode replicate`, a file each
    comparisons = _HomePath("comparisons")  # of `arnode compare-programs`: blocks, homes
    web_tokens = _HomePath("web-tokens.json")  # of the server that runs: to read, to steer
    fleet_key = _HomePath("fleet-key")  # with which other nodes of the user read this one
    fleet = _HomePath("fleet.json")  # other nodes of the user, with their fleet keys
    ray_token = _HomePath("ray-token")  # what lets one's own machines into one's own Ray
    socket = _HomePath("node.sock")  # where the running node takes commands
    alerts = _HomePath("alerts.json")  # when the user was last told of what, and what was held back
    log = _HomePath("node.log")  # what the running node says
    lock_file = _HomePath("lock")  # held by the one process that may write here

    def prepare(self) -> None:
        """Create the folder for this user alone, or check that it is one."""
        with explaining_faults(self.root):
            with _naming_the_mend(self.root):
                self.root.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
            self._make_private()
            for folder in (self.blobs, self.journal, self.data):
                folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)

    def _make_private(self) -> None:
        status = self.root.stat()
        if status.st_uid != os.geteuid():
            raise ConfigurationError(
                f"the home {self.root} belongs to another user (uid {status.st_uid})",
                "set ARNODE_HOME to a folder of your own",
            )
        if not status.st_mode & _OTHERS:
            return
        # A folder full of other things (`/tmp`, a home directory) is not ours to close.
        if any(self.root.iterdir()) and not (self.store.exists() or self.key.exists()):
            raise ConfigurationError(
                f"the home {self.root} is open to other users and holds other things",
                "set ARNODE_HOME to a new folder",
            )
        self.root.chmod(PRIVATE_FOLDER)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the home for this process; a second node on it is told whose it is."""
        self.prepare()
        # Not inheritable (Python's default): a run that outlives a killed node cannot keep it.
        with explaining_faults(self.lock_file):
            descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as fault:
                holder = self.lock_holder() or "unknown"
                raise InUseError(
                    f"another node (pid {holder}) runs on the home {self.root}",
                    "stop it with `arnode stop`, or set ARNODE_HOME to another folder",
                ) from fault
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def lock_holder(self) -> int | None:
        """Return the process id that last wrote itself into the lock, if any."""
        try:
            return int(self.lock_file.read_text())
        except (OSError, ValueError):
            return None
