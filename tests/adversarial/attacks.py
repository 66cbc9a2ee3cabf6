"""Hostile sources: their targets, how to run one, and how to judge the result.

`hostile/*.txt` is real attack code, kept from linters by its name. Each stands before the honest
baseline, says `refused NAME/ATTEMPT` or `ESCAPED …` for everything that it tries, and then goes
on honestly if it still can. The table of all of them is
`tests.adversarial.hostile_table`. Nothing here needs pytest: the soak plays the same table.
"""

import os
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest import mock

from protocol.runs import Status
from tests.adversarial.bench import HONEST_SEED, hurried
from tests.trainer.audits import audited
from tests.trainer.runners import SPLIT
from trainer.measuring import cost
from trainer.measuring.outcome import RunOutcome
from trainer.runner import Runner
from trainer.sandbox.tier import probe_tier
from trainer.sandbox.visible import visible_tree

HOSTILE = Path(__file__).parent / "hostile"
SECRET = b"-----BEGIN PRIVATE KEY----- a node's secret"
ENVIRONMENT = "ARNODE_TEST_ENVIRONMENT"
_NEEDLES = 12
_NEEDLE_BYTES = 64
_PATIENCE_S = 10.0
EVERY_ROLE = ("train", "serve")


@dataclass(frozen=True, kw_only=True)
class Attack:
    """A hostile source and its required result.

    `refused` and `said`: what its log must show. `group`: refused, it goes on honestly, so that
    in the fast form it may share a run with the others of its group. `hangs_at`: the stage that
    only a limit of time ends. `confined`: how else it may end where there are no namespaces;
    `as_first_process`: how it ends where there are, forked as the first process of one of pids.
    """

    name: str
    status: Status = "ok"
    reason: str | None = None
    refused: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    values: dict[str, str] = field(default_factory=dict)
    roles: tuple[str, ...] = EVERY_ROLE
    group: str | None = None
    is_fast: bool = True
    is_audited: bool = False
    is_as_good: bool = True
    with_processes: bool = False
    hangs_at: str = ""
    confined: tuple[tuple[Status, str], ...] = ()
    as_first_process: tuple[Status, str | None] | None = None

    @property
    def label(self) -> str:
        """Its name with its values."""
        return "-".join([self.name, *self.values.values()])


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of one attack; `fault` says why it was not contained as expected."""

    name: str
    expected: str
    outcome: str
    reason: str | None
    fault: str | None

    @property
    def contained(self) -> bool:
        """It ended as the table says, and touched nothing."""
        return self.fault is None


@dataclass(frozen=True)
class Host:
    """Targets of an attack: files, listening sockets, this process."""

    folder: Path
    listeners: tuple[socket.socket, ...]
    values: dict[str, str]
    nice: int

    def find_damage(self) -> str | None:
        """Return what an attack has done: connected, changed a file, left a descriptor."""
        for listener in self.listeners:
            try:
                listener.accept() if listener.type == socket.SOCK_STREAM else listener.recv(1)
            except BlockingIOError:
                continue
            return f"somebody connected to {listener.getsockname()!r}"
        if sorted(path.name for path in self.folder.iterdir()) != ["key", "socket"]:
            return f"the node's folder holds {os.listdir(self.folder)}"  # noqa: PTH208
        if (self.folder / "key").read_bytes() != SECRET:
            return "the key was changed"
        if Path("/dev/null").stat().st_mode & 0o777 != 0o666:
            return "the mode of /dev/null was changed"
        if os.getpriority(os.PRIO_PROCESS, 0) != self.nice:
            return "the node's priority was changed"
        if any("stray-descriptor" in target for target in _open_files()):
            return "the node keeps a descriptor that it was sent"
        return None


@contextmanager
def hostile_host(folder: Path, runner: Runner) -> Iterator[Host]:
    """Set up what attacks reach for: a key, sockets, a variable of the environment."""
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
        os.environ[ENVIRONMENT] = "a-value-of-the-nodes-environment"
        stack.callback(os.environ.pop, ENVIRONMENT)
        packages = next(
            binding.host.parent
            for binding in visible_tree().bindings
            if binding.inside == "/packages/torch"
        )
        names = (
            os.environ[ENVIRONMENT],
            ENVIRONMENT,
            str(folder),
            str(Path.home()) + "/",
            str(packages),
            str(Path.cwd()),
            socket.gethostname(),
        )
        values = {
            "HOME": str(folder),
            "NODE": str(os.getpid()),
            "TCP": str(tcp.getsockname()[1]),
            "UDP": str(udp.getsockname()[1]),
            "ABSTRACT": abstract,
            "NEEDLES": "|".join(names),
            "PACKAGES_AT": "/".join(packages.parts[-4:]),
            "VALIDATION": "|".join(_validation_text(runner)),
        }
        yield Host(folder, (tcp, udp, *others), values, os.getpriority(os.PRIO_PROCESS, 0))


def source_of(attacks: Sequence[Attack], host: Host, baseline: str) -> str:
    """Return one script that plays these attacks and then trains honestly."""
    parts = [(HOSTILE / "preamble.txt").read_text()]
    for attack in attacks:
        text = re.sub(
            r"/(job|tmp|packages|arnode)\b", r"@\1@", (HOSTILE / f"{attack.name}.txt").read_text()
        )
        for name, value in {**host.values, **attack.values}.items():
            text = text.replace(f"@{name}@", value)
        parts.append(f"play({attack.name!r}, {attack.roles!r}, {text!r})\n")
    return "".join([*parts, "\n", baseline])


async def run_attacks(
    runner: Runner, honest: RunOutcome, attacks: Sequence[Attack], host: Host
) -> list[Result]:
    """Run attacks in one source (several only if each lets it continue), and judge each.

    `honest` is what the baseline gave with the same seed on this runner.
    """
    baseline = runner.task.source["train.py"].decode()
    source = runner.task.source.replacing("train.py", source_of(attacks, host, baseline).encode())
    is_audited = any(attack.is_audited for attack in attacks)
    patience = nullcontext() if attacks[0].status == "timeout" else _patient()
    with hurried(runner, attacks[0].hangs_at), patience:
        outcome = await runner.run(
            source, HONEST_SEED, split=SPLIT, needs_audit=audited(is_audited)
        )
    damage = host.find_damage()
    return [
        Result(
            name=attack.label,
            expected=attack.status,
            outcome=outcome.status,
            reason=outcome.reason,
            fault=damage or find_fault(attack, outcome, honest),
        )
        for attack in attacks
    ]


@contextmanager
def _patient() -> Iterator[None]:
    """Leave CPU seconds for what attacks try before they go on honestly.

    Filling memory up costs more on some machines than an honest run has to spare.
    """
    with ExitStack() as stack:
        # In a crowd training leaves room for the start of scoring, which has its own slack in it.
        of_training = 2 * _PATIENCE_S
        stack.enter_context(mock.patch.object(cost, "_TRAIN_SLACK_S", of_training))
        for slack in ("_START_SLACK_S", "_AUDIT_START_SLACK_S", "_SERVE_SLACK_S"):
            stack.enter_context(mock.patch.object(cost, slack, _PATIENCE_S))
        yield


async def run_attack(runner: Runner, honest: RunOutcome, attack: Attack, host: Host) -> Result:
    """Play one attack alone, then the baseline: the same bits as before, whatever ran."""
    (result,) = await run_attacks(runner, honest, [attack], host)
    again = await runner.run(
        runner.task.source,
        HONEST_SEED,
        split=SPLIT,
        needs_audit=audited(False),
    )
    if (again.metric_nano, again.secret_nano) != (honest.metric_nano, honest.secret_nano):
        fault = f"the next run ended differently: {again.status}, {again.reason}"
        return replace(result, fault=result.fault or fault)
    return result


def find_fault(attack: Attack, outcome: RunOutcome, honest: RunOutcome) -> str | None:
    """Say in what an outcome differs from what the table expects of this attack."""
    has_namespaces = probe_tier().name == "full"
    if attack.confined and not has_namespaces:
        status, reason = next(
            (end for end in attack.confined if end[0] == outcome.status), attack.confined[0]
        )
        attack = replace(attack, status=status, reason=reason, refused=())
    elif attack.as_first_process and has_namespaces:
        status, ended = attack.as_first_process
        attack = replace(attack, status=status, reason=ended)
    log = outcome.log_tail
    escaped = [line for line in log.splitlines() if line.startswith(f"ESCAPED {attack.name}/")]
    if escaped or SECRET.decode() in log:
        return f"not contained: {escaped}"
    ended = f"ended as {outcome.status}, {outcome.reason}: {log[-2000:]}"
    if outcome.status != attack.status:
        return ended
    if attack.reason is None:
        if outcome.reason is not None:
            return ended
    elif outcome.reason is None or not outcome.reason.startswith(attack.reason):
        return ended
    elif not outcome.reason.isprintable():
        return f"a reason that steers a terminal: {outcome.reason!r}"
    expected = [f"refused {attack.name}/{name}: " for name in attack.refused]
    if has_namespaces:  # elsewhere less is there to be looked at
        expected += attack.said
    if attack.status == "ok" and not attack.values:
        expected.append(f"done {attack.name}")
    if missing := [text for text in expected if text not in log]:
        return f"its log lacks {missing}: {log}"
    if attack.status == "ok":
        return _find_other_metric(attack, outcome, honest)
    return None


def _find_other_metric(attack: Attack, outcome: RunOutcome, honest: RunOutcome) -> str | None:
    """A refused attack continues honestly, as did earlier ones on this runner."""
    got, known = (
        (outcome.metric_nano, outcome.secret_nano),
        (honest.metric_nano, honest.secret_nano),
    )
    if attack.is_as_good and got != known:
        return f"another metric than the honest one: {got} instead of {known}"
    if not attack.is_as_good and (got[0] is None or known[0] is None or got[0] <= known[0]):
        return f"a better metric than the honest one: {got} against {known}"
    return None


def _open_files() -> Iterator[str]:
    for link in Path("/proc/self/fd").iterdir():
        try:
            yield str(link.readlink())
        except OSError:
            continue  # closed since


def _validation_text(runner: Runner) -> Iterator[str]:
    """Yield stretches of the text that runs are scored on, in hexadecimal."""
    vocabulary = runner._stages._data.vocabulary
    rows = runner._stages.splits.draw(SPLIT).rows
    for row in rows[:: max(1, len(rows) // _NEEDLES)]:
        text = vocabulary.decode(row.tolist())
        yield text[:_NEEDLE_BYTES].hex()
