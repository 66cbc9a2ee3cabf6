"""Every hostile source, its variants and what must come of each."""

from collections.abc import Iterator

from protocol.runs import Status
from tests.adversarial.attacks import EVERY_ROLE, Attack
from tests.adversarial.bench import MEMORY_MB


def _variants(
    name: str,
    key: str,
    fast: str,
    endings: dict[str, tuple[Status, str | None]],
    roles: tuple[str, ...] = EVERY_ROLE,
) -> tuple[Attack, ...]:
    return tuple(
        Attack(
            name=name,
            status=status,
            reason=reason,
            values={key: value},
            roles=roles,
            is_fast=value in fast.split("|"),
            is_audited="audit" in value,
        )
        for value, (status, reason) in endings.items()
    )


def _alike(
    name: str, key: str, status: Status, reason: str, values: tuple[str, ...]
) -> tuple[Attack, ...]:
    """Return variants that end alike; the fast form runs the first."""
    return _variants(name, key, values[0], dict.fromkeys(values, (status, reason)))


_TOO_MUCH_MEMORY = f"in training: more than the task's {MEMORY_MB} MB"
_DEATHS = ("exit", "segfault", "abort", "kill")
_HANGS = ("hang", "stop", "storm", "close")
_WARMUP_OVER = "the set-up before the data took more than"
_TRAINING_OVER = "training took more than"
_SCORING_OVER = "scoring took more than"
_AUDIT_OVER = "the audit took more than"
_STAGES = {
    "before the data": ("in training: ", _WARMUP_OVER),
    "training": ("in training: ", _TRAINING_OVER),
    "before the export": ("in training: ", _TRAINING_OVER),
    "within the export": ("in training: ", _TRAINING_OVER),
    "loading": ("in scoring: ", _SCORING_OVER),
    "claiming": ("in scoring: ", _SCORING_OVER),
    "within an answer": ("in scoring: ", _SCORING_OVER),
    "auditing": ("in the audit: ", _AUDIT_OVER),
}
_FAST_DEATHS = {
    ("training", "segfault"),
    ("within the export", "kill"),
    ("within an answer", "hang"),
    ("auditing", "abort"),
}


# While text is scored nobody has the calls with which these send a signal or set a timer, and the
# script fails (`trainer.sandbox.syscall_gate`).
_SCORED = ("claiming", "within an answer", "auditing")
_SIGNALS = ("kill", "stop", "storm")


def _as_first_process(stage: str, way: str) -> tuple[Status, str | None] | None:
    """How it ends where the kernel lets no signal of its own namespace kill or stop it."""
    if way not in ("kill", "stop") or stage in _SCORED:
        return None
    return ("crash", _STAGES[stage][0]) if stage == "within the export" else ("ok", None)


def _deaths() -> Iterator[Attack]:
    for stage, (ended, hung) in _STAGES.items():
        for way in (*_DEATHS, *_HANGS):
            # A script that closes its channel has ended: nothing more can come from it.
            ends = way in (*_DEATHS, "close") or (stage in _SCORED and way in _SIGNALS)
            yield Attack(
                name="die",
                status="crash" if ends else "timeout",
                reason=ended if ends else hung,
                values={"STAGE": stage, "WAY": way},
                is_fast=(stage, way) in _FAST_DEATHS,
                is_audited=stage == "auditing",
                hangs_at="" if ends else stage,
                as_first_process=_as_first_process(stage, way),
            )
    yield Attack(name="die", values={"STAGE": "after the export", "WAY": "hang"}, is_fast=False)


_MALFORMED = "weights are not well-formed safetensors"
ATTACKS: tuple[Attack, ...] = (
    Attack(
        name="read_secrets",
        refused=("key-0", "key-1", "data-4", "passwd", "disk"),
        group="reaching out",
    ),
    Attack(
        name="sockets",
        refused=("tcp", "udp", "abstract", "named", "netlink", "pair", "name"),
        group="reaching out",
    ),
    Attack(
        name="ptrace_and_signals",
        refused=("signal", "group", "priority", "limits"),
        group="reaching out",
    ),
    Attack(name="leaks", refused=("other-processes",), said=("looked at 4",), group="reaching out"),
    Attack(
        name="inherited",
        refused=("write-end-1", "far-end", "owner", "peer", "bind", "listen", "send-to"),
        group="reaching out",
    ),
    Attack(
        name="signals",
        refused=("node", "node-thread", "node-queue"),
        said=("sent signals/everybody",),
        group="reaching out",
    ),
    Attack(
        name="siblings",
        refused=("parent", "children"),
        said=("looked in memory",),
        group="reaching out",
    ),
    Attack(
        name="write_outside",
        refused=("key", "core-pattern", "init", "chmod", "fchmod", "acl", "remove", "mknod"),
        group="changing the host",
    ),
    Attack(
        name="proc_files",
        refused=("self-mem", "1-mem", "self-oom_score_adj", "1-comm", "sysrq-trigger", "read-kmsg"),
        group="changing the host",
    ),
    Attack(
        name="devices",
        refused=("/sys", "/dev/kmsg", "/dev/fuse", "terminal", "type", "type-above"),
        group="changing the host",
    ),
    Attack(
        name="symlinks",
        refused=("weights", "train.py", "key", "hard", "up"),
        group="changing the host",
    ),
    Attack(
        name="of_the_user",
        refused=("inotify", "aio", "queues", "timers", "lease", "notify", "pending", "terminals"),
        group="changing the host",
    ),
    Attack(
        name="fork_bomb",
        refused=("fork", "vfork", "clone", "clone3", "spawn", "command"),
        group="getting more",
    ),
    Attack(
        name="nested_namespaces",
        refused=("unshare-user", "clone-user", "clone3", "setns", "mount", "io_uring", "bpf"),
        group="getting more",
    ),
    Attack(
        name="privileges",
        refused=("setuid", "groups", "capset", "ambient", "securebits", "core-scheduling"),
        group="getting more",
    ),
    Attack(
        name="newer_calls",
        refused=("memfd_secret", "statmount", "open_tree_attr", "io_setup", "lookup_dcookie"),
        group="getting more",
    ),
    Attack(
        name="scheduler",
        refused=("fifo", "deadline", "nice", "io-priority", "affinity"),
        group="getting more",
    ),
    Attack(
        name="sealed_data",
        refused=("write", "reopen-write", "reopen-map", "punch", "seals"),
        group="getting more",
    ),
    Attack(name="hide_memory", refused=("memfd", "shared", "zero", "segment"), group="filling up"),
    Attack(
        name="fill_disk",
        refused=("/job", "/tmp", "/dev/shm"),  # noqa: S108
        roles=("train",),
        group="filling up",
    ),
    Attack(name="descriptors", refused=("files", "pipes", "events", "folders"), group="filling up"),
    Attack(
        name="left_behind",
        refused=("/packages/torch", "/proc"),
        said=("written /job",),
        group="filling up",
    ),
    Attack(
        name="pull_the_rug",
        refused=("followed", "job", "exchange", "over-harness"),
        group="filling up",
    ),
    Attack(
        name="search_text",
        said=("searched 1000",),
        roles=("train",),
        group="filling up",
        values={"ROOTS": "/arnode|/lib|/lib64|/python/lib|/tmp|/dev/shm"},
    ),
    Attack(
        name="search_text",
        said=("searched 1000",),
        roles=("train",),
        is_fast=False,
        values={"ROOTS": "/packages"},
    ),
    Attack(
        name="odd_files",
        refused=("deep", "long", "sparse"),
        roles=("train",),
        confined=(("crash", "in training: more files than allowed"),),
    ),
    Attack(
        name="many_files",
        status="crash",
        reason="in training: more files than allowed",
        roles=("train",),
    ),
    Attack(name="passed_descriptors", said=("pushed 250",)),
    Attack(
        name="swap_harness", said=("swapped",), roles=("train",), is_audited=True, is_as_good=False
    ),
    *_variants(
        "after_close",
        "WAY",
        "crumbs",
        {
            "closed": ("ok", None),
            "late": ("ok", None),
            "crumbs": ("ok", None),
        },
        roles=("train",),
    ),
    Attack(
        name="mount_table",
        refused=("1/cmdline", "self/mountinfo"),
        roles=("train",),
    ),
    Attack(name="hog_memory", status="oom", reason=_TOO_MUCH_MEMORY),
    *_alike(
        "hide_hog",
        "HOW",
        "oom",
        _TOO_MUCH_MEMORY,
        ("named", "undumpable", "unreserved", "locked", "in files"),
    ),
    Attack(name="flood_output", status="crash", reason="in training: more output than allowed"),
    Attack(name="threads", status="crash", reason="in training: more threads or processes"),
    Attack(name="spin", status="timeout", reason="training used more than"),
    *(
        Attack(
            name="hang",
            status="timeout",
            reason=_STAGES[stage][1],
            values={"ROLE": role},
            is_fast=role == "train",
            hangs_at=stage,
        )
        for role, stage in {"train": "before the data", "serve": "loading"}.items()
    ),
    *_deaths(),
    *_alike("escapes", "WAY", "crash", "in training: ", ("name", "line", "group", "deep", "exit")),
    *_variants(
        "forged_frames",
        "FORGERY",
        "an escape for a tag|a length of 2**63|a short audit",
        {
            "ready again": ("rejected", "in training: expected frame N, got b'R'"),
            "weights before the data": ("rejected", "in training: expected frame N, got b'W'"),
            "no request but a text": ("rejected", "in training: a frame of 5 bytes"),
            "an escape for a tag": ("rejected", "in training: expected frame N, got b'\\x1b'"),
            "a job for the node": ("rejected", "in training: expected frame N, got b'J'"),
            "data asked for again": (
                "ok",
                None,
            ),  # like a source that reads all parts and begins again
            "a length of 2**63": ("rejected", f"in training: a frame of {1 << 63} bytes"),
            "a million empty frames": ("rejected", "in training: expected frame N or W, got b'S'"),
            "half a header": ("crash", "in training: "),
            "byte by byte": ("ok", None),
            "weights again and again": ("ok", None),
            "an answer before the question": ("rejected", "in scoring: expected frame S, got b'A'"),
            "serving twice": ("rejected", "in scoring: a frame that the protocol of runs forbids"),
            "a short answer": ("rejected", "in scoring: a frame that the protocol of runs forbids"),
            "a long answer": ("rejected", "in scoring: a frame that the protocol of runs forbids"),
            "a short audit": (
                "rejected",
                "in the audit: a frame that the protocol of runs forbids",
            ),
        },
    ),
    *_variants(
        "forged_weights",
        "FORGERY",
        "other shape|a name of escapes",
        {
            "other shape": ("crash", "in scoring: "),
            "other type": ("ok", None),
            "one too few": ("crash", "in scoring: "),
            "one too many": ("crash", "in scoring: "),
            "not a number": ("nan", "nan: weight "),
            "infinite": ("nan", "nan: "),
            "too large": ("rejected", "weights of 4.2 MB; the task allows 4"),
            "nothing": ("rejected", _MALFORMED),
            "no tensors": ("crash", "in scoring: "),
            "overlapping": ("rejected", _MALFORMED),
            "beyond the end": ("rejected", _MALFORMED),
            "huge header": ("rejected", _MALFORMED),
            "overflowing shape": ("rejected", _MALFORMED),
            "the same name twice": ("rejected", _MALFORMED),
            "deep": ("rejected", _MALFORMED),
            "not utf-8": ("rejected", _MALFORMED),
            "a name of escapes": ("nan", "nan: weight "),
            "many": ("rejected", _MALFORMED),
            "cut": ("rejected", _MALFORMED),
            "noise": ("rejected", _MALFORMED),
        },
        roles=("train",),
    ),
    *_alike("pickles", "FORGERY", "rejected", _MALFORMED, ("torch", "pickle", "zip", "numpy")),
    Attack(
        name="daemon",
        status="crash",
        reason="in training: left a daemon behind",
        with_processes=True,
    ),
    Attack(
        name="bomb_where_allowed",
        status="crash",
        with_processes=True,
        reason="in training: more threads or processes than allowed",
        # Who may not read how its pages are shared counts them in full: seven torches are too many.
        confined=(
            ("crash", "in training: more threads or processes than allowed"),
            ("oom", "in training: more than the task's"),
        ),
    ),
)
