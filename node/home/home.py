"""The folder in which a node keeps everything, and the lock that reserves it for one process.

The folder is 0700, since the signing key, the node secret and the control socket are in it. The
lock is an flock, so it is released when the process ends, for whatever reason.
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
def _with_hint(root: Path) -> Iterator[None]:
    """Raise errors about a home's path as a ConfigurationError, except full-disk errors."""
    try:
        yield
    except (FileExistsError, NotADirectoryError) as fault:
        file = next((one for one in (root, *root.parents) if one.is_file()), root)
        what = f"{file} is a file" if file != root else "it is a file"
        raise ConfigurationError(
            f"the home {root} is not a folder: {what}", "set ARNODE_HOME to a folder"
        ) from fault
    except OSError as fault:
        if fault.errno in FULL:
            raise
        reason = (fault.strerror or "refused").lower()
        raise ConfigurationError(
            f"the home {root} cannot be used: {reason}",
            "set ARNODE_HOME to a folder that you can write to",
        ) from fault


class _HomePath:
    """A descriptor that returns the path of the file or folder `name` in a home.

    `holds` is what the user is told that it holds.
    """

    def __init__(self, name: str, holds: str) -> None:
        self._name = name
        self.holds = holds

    def __get__(self, home: "Home", _: object) -> Path:
        return home.root / self._name


def program_file(task: str, text: str = "") -> str:
    """Return the name of a task's instructions file in `Home.programs`.

    `text` distinguishes several instructions for one task.
    """
    return f"{task}.{text}.md" if text else f"{task}.md"


@dataclass(frozen=True, slots=True)
class Home:
    """The paths in a home. Nothing is created before `prepare`."""

    root: Path

    @classmethod
    def locate(cls, env: Mapping[str, str]) -> "Home":
        """Return the home that the environment names, else the platform's default folder."""
        named = env.get("ARNODE_HOME")
        if named:
            return cls(Path(named).expanduser().absolute())
        from platformdirs import user_data_path

        return cls(user_data_path("arnode", appauthor=False))

    @classmethod
    def here(cls) -> "Home":
        """Return the home that this process's own environment names.

        Raises ConfigurationError if there cannot be a home at that path.
        """
        home = cls.locate(os.environ)
        with _with_hint(home.root):
            try:
                if not stat.S_ISDIR(home.root.stat().st_mode):
                    raise NotADirectoryError
            except FileNotFoundError:
                pass  # not created yet
        return home

    store = _HomePath("records.db", "all records, experiments and jobs (SQLite)")
    mirror = _HomePath("own-records.log", "a second copy of this node's own records")
    blobs = _HomePath("blobs", "sources and other files, by their digest")
    journal = _HomePath("journal", "one git repository for each task and hardware class")
    data = _HomePath("data", "prepared data of tasks")
    key = _HomePath("key", "this node's private keys: back them up, show them to nobody")
    secret = _HomePath("secret", "the secret from which secret splits are drawn: show it to nobody")
    config = _HomePath("config.toml", "your settings")
    networks = _HomePath("networks", "for each network: your definition, and an address book")
    programs = _HomePath("programs", "your instructions to proposers, by task")
    people = _HomePath("people.json", "your friends and blocked keys")
    fleet_list = _HomePath("fleet.txt", "the signed list of your nodes")
    power = _HomePath("power-limits.json", "the cards' limits before this node lowered them")
    replications = _HomePath("replications", "one file for each run of `arnode task replicate`")
    comparisons = _HomePath("comparisons", "blocks and homes of `arnode agent compare`")
    web_tokens = _HomePath("web-tokens.json", "tokens of the running page: to read, to control")
    fleet_key = _HomePath("fleet-key", "the key with which your other nodes read this one")
    fleet = _HomePath("fleet.json", "your other nodes, with their fleet keys")
    ray_token = _HomePath("ray-token", "the token with which machines join your Ray cluster")
    socket = _HomePath("node.sock", "where the running node takes commands")
    alerts = _HomePath("alerts.json", "when alerts were last sent, and those not sent yet")
    log = _HomePath("node.log", "the log of the node")
    lock_file = _HomePath("lock", "held by the one process that may write here")

    def contents(self) -> dict[str, tuple[Path, str]]:
        """Return the path of each file and folder of a home by its name, with what it holds."""
        return {
            name: (getattr(self, name), one.holds)
            for name, one in vars(Home).items()
            if isinstance(one, _HomePath)
        }

    def prepare(self) -> None:
        """Create the folder for this user alone, or check that it is private."""
        with explaining_faults(self.root):
            with _with_hint(self.root):
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
        # Do not change a folder with other files in it (`/tmp`, a user's home directory).
        if any(self.root.iterdir()) and not (self.store.exists() or self.key.exists()):
            raise ConfigurationError(
                f"the home {self.root} is open to other users and contains other files",
                "set ARNODE_HOME to a new folder",
            )
        self.root.chmod(PRIVATE_FOLDER)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the home for this process; a context manager. Raises InUseError if it is locked."""
        self.prepare()
        # Not inheritable (Python's default), so a run that outlives a killed node cannot keep it.
        with explaining_faults(self.lock_file):
            descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as fault:
                holder = self.lock_holder() or "unknown"
                raise InUseError(
                    f"a node (pid {holder}) is running on the home {self.root}",
                    "see `arnode status`; `arnode stop` ends it; ARNODE_HOME names another home",
                ) from fault
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def is_locked(self) -> bool:
        """Return True while a process holds the lock."""
        try:
            descriptor = os.open(self.lock_file, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def lock_holder(self) -> int | None:
        """Return the id of the process that last took the lock; None if unknown."""
        try:
            return int(self.lock_file.read_text())
        except (OSError, ValueError):
            return None
