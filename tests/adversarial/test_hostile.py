"""Sources that attack the machine: contained, each with its outcome, and the next run is clean.

`hostile/*.txt` is real attack code, kept from linters by its name. Each stands before the honest
baseline, says `refused NAME` or `ESCAPED NAME` for everything that it tries, and then goes on
honestly if it still can.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from protocol.runs import Status
from tests.adversarial.conftest import Bench
from trainer.outcome import RunOutcome

HOSTILE = Path(__file__).parent / "hostile"
SECRET = b"-----BEGIN PRIVATE KEY----- a node's secret"


@dataclass(frozen=True, kw_only=True)
class Attack:
    """A hostile source and what must come of it. `refused`: attempts that its log must show."""

    name: str
    status: Status = "ok"
    reason: str | None = None
    refused: tuple[str, ...] = ()
    values: dict[str, str] = field(default_factory=dict)


ATTACKS = (
    Attack(name="read_secrets", refused=("key-0", "key-1", "data-4", "passwd", "disk")),
    Attack(name="sockets", refused=("tcp", "udp", "abstract", "named", "netlink", "pair", "name")),
    Attack(
        name="write_outside",
        refused=("key", "core-pattern", "init", "chmod", "fchmod", "acl", "remove", "mknod"),
    ),
    Attack(name="fork_bomb", refused=("fork", "vfork", "clone", "clone3", "spawn", "command")),
    Attack(name="fill_disk", refused=("/job", "/tmp", "/dev/shm")),  # noqa: S108
    Attack(name="hide_memory", refused=("memfd", "shared", "zero", "segment")),
    Attack(name="symlinks", refused=("weights", "train.py", "key", "hard", "up")),
    Attack(name="ptrace_and_signals", refused=("signal", "group", "priority", "limits")),
    Attack(
        name="nested_namespaces",
        refused=("unshare-user", "clone-user", "clone3", "setns", "mount", "io_uring", "bpf"),
    ),
    Attack(name="hog_memory", status="oom", reason="in training: more than the task's 700 MB"),
    Attack(name="flood_output", status="crash", reason="in training: more output than allowed"),
    Attack(name="spin", status="timeout", reason="training used more than"),
    Attack(
        name="hang",
        status="timeout",
        reason="what comes before the data took more than 8 s",
        values={"ROLE": "train"},
    ),
    Attack(
        name="hang",
        status="timeout",
        reason="scoring took more than 15 s",
        values={"ROLE": "serve"},
    ),
)
WITH_PROCESSES = (
    Attack(name="daemon", status="crash", reason="in training: left a daemon behind"),
    Attack(
        name="bomb_where_allowed",
        status="crash",
        reason="in training: more threads or processes than allowed",
    ),
)


@dataclass(frozen=True)
class Host:
    """What an attack could get at: files, listening sockets, this process."""

    folder: Path
    listeners: tuple[socket.socket, ...]
    values: dict[str, str]

    def check_that_it_is_untouched(self) -> None:
        """Nobody connected, no file changed, no device's mode."""
        for listener in self.listeners:
            with pytest.raises(BlockingIOError):
                listener.accept() if listener.type == socket.SOCK_STREAM else listener.recv(1)
        assert sorted(path.name for path in self.folder.iterdir()) == ["key", "socket"]
        assert (self.folder / "key").read_bytes() == SECRET
        assert Path("/dev/null").stat().st_mode & 0o777 == 0o666


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("home")
    (folder / "key").write_bytes(SECRET)
    with ExitStack() as stack:

        def listening(family: int, kind: int, address: object) -> socket.socket:
            listener = stack.enter_context(socket.socket(family, kind))
            listener.bind(address)  # type: ignore[arg-type]
            listener.setblocking(False)
            if kind == socket.SOCK_STREAM:
                listener.listen()
            return listener

        abstract = f"arnode-test-{os.getpid()}"
        tcp = listening(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))
        udp = listening(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))
        others = [
            listening(socket.AF_UNIX, socket.SOCK_STREAM, name)
            for name in (f"\0{abstract}", str(folder / "socket"))
        ]
        values = {
            "HOME": str(folder),
            "NODE": str(os.getpid()),
            "TCP": str(tcp.getsockname()[1]),
            "UDP": str(udp.getsockname()[1]),
            "ABSTRACT": abstract,
        }
        yield Host(folder, (tcp, udp, *others), values)


def hostile_source(attack: Attack, host: Host, baseline: str) -> str:
    text = (HOSTILE / "preamble.txt").read_text() + (HOSTILE / f"{attack.name}.txt").read_text()
    for name, value in {**host.values, **attack.values}.items():
        text = text.replace(f"@{name}@", value)
    return text + "\n" + baseline


def check(attack: Attack, outcome: RunOutcome, host: Host) -> None:
    assert "ESCAPED" not in outcome.log_tail
    assert SECRET.decode() not in outcome.log_tail
    assert outcome.status == attack.status, (outcome.reason, outcome.log_tail)
    if attack.reason is None:
        assert outcome.reason is None
    else:
        assert outcome.reason is not None
        assert outcome.reason.startswith(attack.reason)
        assert outcome.reason.isprintable()
    for name in attack.refused:
        assert f"refused {name}:" in outcome.log_tail, outcome.log_tail
    host.check_that_it_is_untouched()


def identity(attack: Attack) -> str:
    return "-".join([attack.name, *attack.values.values()])


@pytest.mark.parametrize("attack", ATTACKS, ids=identity)
def test_an_attack_is_contained(attack: Attack, bench: Bench, host: Host) -> None:
    outcome = bench.run(hostile_source(attack, host, bench.baseline), needs_audit=False)
    check(attack, outcome, host)
    if attack.status == "ok":
        # Refused, it went on honestly, and so did whatever ran before it on this runner.
        assert outcome.metric_nano == bench.honest.metric_nano
        assert outcome.secret_nano == bench.honest.secret_nano
    else:
        bench.check_that_the_next_run_is_clean()


@pytest.mark.parametrize("attack", WITH_PROCESSES, ids=identity)
def test_processes_end_with_their_sandbox(
    attack: Attack, bench_with_processes: Bench, host: Host
) -> None:
    bench = bench_with_processes
    check(attack, bench.run(hostile_source(attack, host, bench.baseline)), host)


def test_every_hostile_source_is_in_the_table() -> None:
    known = {attack.name for attack in (*ATTACKS, *WITH_PROCESSES)}
    assert known == {path.stem for path in HOSTILE.glob("*.txt")} - {"preamble"}
