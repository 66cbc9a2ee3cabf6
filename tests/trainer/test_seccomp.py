"""The seccomp filter on both architectures, run in a small evaluator of classic BPF."""

import struct
from dataclasses import dataclass

import pytest

from protocol.errors import SafetyError
from trainer.sandbox import calls
from trainer.sandbox.seccomp import (
    gate_program,
    last_program,
    networked_program,
    seccomp_program,
    unaltered_program,
)

MACHINES = ("x86_64", "aarch64")
ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
OTHER_ARCHITECTURES = {"i386": 0x40000003, "arm": 0x40000028, "riscv64": 0xC00000F3}
LOAD, AND, RETURN = 0x20, 0x54, 0x06
JUMPS = {0x15: "equal", 0x35: "at least", 0x45: "any bit"}
ALLOWED, KILLED, EPERM, ENOSYS, DONE = "allowed", "killed", "EPERM", "ENOSYS", "done"
ASKED, ENOENT = "asked", "ENOENT"  # asked: the listener decides
ANSWERS = {0x7FFF0000: ALLOWED, 0x80000000: KILLED, 0x50001: EPERM, 0x50026: ENOSYS, 0x50000: DONE}
ANSWERS |= {0x7FC00000: ASKED, 0x50002: ENOENT}
X32 = 0x40000000

SIGCHLD, THREAD = 17, 0x3D0F00  # the flags that glibc's fork and pthread_create pass to clone
NAMESPACES = {
    "time": 0x80, "mount": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000,
    "user": 0x10000000, "pid": 0x20000000, "network": 0x40000000,
}  # fmt: skip
TIOCSTI, TCGETS = 0x5412, 0x5401
GET_FLAGS, SET_LEASE, NOTIFY = 3, 1024, 1026
SET_NAME, SCHED_CORE = 15, 62
COUNTERS_OFF, COUNTERS_ON = 31, 32
SET_DEATH_SIGNAL, SET_DUMPABLE, FUTEX_HASH = 1, 4, 78
PRIVATE_ANONYMOUS, SHARED_ANONYMOUS, SHARED_FILE = 0x22, 0x21, 0x01

# Numbers from the kernel's tables (asm/unistd_64.h, asm-generic/unistd.h).
NUMBERS = {
    "x86_64": {
        "read": 0, "write": 1, "openat": 257, "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12,
        "futex": 202, "exit_group": 231, "getrandom": 318, "clone": 56, "ioctl": 16, "kill": 62,
        "sendmsg": 46, "recvmsg": 47, "execve": 59, "prctl": 157, "rseq": 334,
        "socket": 41, "socketpair": 53, "ptrace": 101, "process_vm_readv": 310,
        "process_vm_writev": 311, "perf_event_open": 298, "bpf": 321, "userfaultfd": 323,
        "keyctl": 250, "add_key": 248, "request_key": 249, "mount": 165, "umount2": 166,
        "pivot_root": 155, "chroot": 161, "setns": 308, "unshare": 272, "open_by_handle_at": 304,
        "chmod": 90, "fchmod": 91, "fchmodat": 268, "fchown": 93, "fchownat": 260,
        "setxattr": 188, "fsetxattr": 190, "shmget": 29, "msgget": 68, "semget": 64,
        "vmsplice": 278, "memfd_create": 319, "sched_setaffinity": 203, "fork": 57, "vfork": 58,
        "io_setup": 206, "mq_open": 240, "inotify_init": 253, "inotify_init1": 294, "fcntl": 72,
    },
    "aarch64": {
        "read": 63, "write": 64, "openat": 56, "mmap": 222, "mprotect": 226, "munmap": 215,
        "brk": 214, "futex": 98, "exit_group": 94, "getrandom": 278, "clone": 220, "ioctl": 29,
        "kill": 129, "sendmsg": 211, "recvmsg": 212, "execve": 221, "prctl": 167, "rseq": 293,
        "socket": 198, "socketpair": 199, "ptrace": 117, "process_vm_readv": 270,
        "process_vm_writev": 271, "perf_event_open": 241, "bpf": 280, "userfaultfd": 282,
        "keyctl": 219, "add_key": 217, "request_key": 218, "mount": 40, "umount2": 39,
        "pivot_root": 41, "chroot": 51, "setns": 268, "unshare": 97, "open_by_handle_at": 265,
        "fchmod": 52, "fchmodat": 53, "fchown": 55, "fchownat": 54, "setxattr": 5,
        "fsetxattr": 7, "shmget": 194, "msgget": 186, "semget": 190, "vmsplice": 75,
        "memfd_create": 279, "sched_setaffinity": 122, "io_setup": 0, "mq_open": 180,
        "inotify_init1": 26, "fcntl": 25,
    },
}  # fmt: skip
SHARED_NUMBERS = {
    "pidfd_send_signal": 424, "io_uring_setup": 425, "io_uring_enter": 426, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "pidfd_open": 434, "clone3": 435, "pidfd_getfd": 438,
    "mount_setattr": 442, "memfd_secret": 447, "fchmodat2": 452, "statmount": 457,
    "listmount": 458, "open_tree_attr": 467,
}  # fmt: skip

ORDINARY = (
    "read", "write", "openat", "mprotect", "munmap", "brk", "futex", "exit_group", "getrandom",
    "kill", "sendmsg", "recvmsg", "execve", "prctl", "rseq", "pidfd_send_signal",
)  # fmt: skip
ONLY_WITHOUT_PROCESSES = ("sched_setaffinity", "fork", "vfork")
WITH_ARGUMENTS = ("clone", "clone3", "fcntl", "ioctl", "mmap")


@dataclass(frozen=True)
class Instruction:
    code: int
    if_true: int
    if_false: int
    value: int


def instructions(program: bytes) -> list[Instruction]:
    return [Instruction(*fields) for fields in struct.iter_unpack("HBBI", program)]


def run(program: bytes, *, arch: int, number: int, arguments: tuple[int, ...] = ()) -> str:
    """Return the filter's answer to one system call."""
    padded = (*arguments, *[0] * (6 - len(arguments)))
    call = struct.pack("<IIQ6Q", number, arch, 0, *padded)
    steps, at, accumulator = instructions(program), 0, 0
    while True:
        step = steps[at]
        at += 1
        match step.code:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", call, step.value)
            case 0x54:
                accumulator &= step.value
            case 0x06:
                return ANSWERS[step.value]
            case _:
                holds = {
                    "equal": accumulator == step.value,
                    "at least": accumulator >= step.value,
                    "any bit": bool(accumulator & step.value),
                }[JUMPS[step.code]]
                at += step.if_true if holds else step.if_false


def answer(machine: str, name: str, *arguments: int, single_process: bool = True) -> str:
    program = seccomp_program(single_process=single_process, machine=machine)
    number = {**NUMBERS[machine], **SHARED_NUMBERS}[name]
    return run(program, arch=ARCH[machine], number=number, arguments=arguments)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("single_process", [True, False])
def test_the_kernel_would_accept_the_program(machine: str, single_process: bool) -> None:
    steps = instructions(seccomp_program(single_process=single_process, machine=machine))
    assert len(steps) <= 4096  # BPF_MAXINSNS
    assert steps[-1] == Instruction(RETURN, 0, 0, 0x7FFF0000)
    for at, step in enumerate(steps):
        if step.code in JUMPS:
            assert at + 1 + max(step.if_true, step.if_false) < len(steps)
        elif step.code == LOAD:
            assert step.value % 4 == 0
            assert step.value < 64  # struct seccomp_data
        elif step.code == RETURN:
            assert step.value in ANSWERS
        else:
            assert step.code == AND


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("single_process", [True, False])
def test_every_ordinary_call_is_allowed(machine: str, single_process: bool) -> None:
    for name in ORDINARY:
        arguments = (SET_NAME,) if name == "prctl" else ()
        assert answer(machine, name, *arguments, single_process=single_process) == ALLOWED, name


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("single_process", [True, False])
def test_what_reaches_beyond_the_process_is_refused(machine: str, single_process: bool) -> None:
    names = {**NUMBERS[machine], **SHARED_NUMBERS}
    for name in names:
        if name not in (*ORDINARY, *ONLY_WITHOUT_PROCESSES, *WITH_ARGUMENTS):
            assert answer(machine, name, single_process=single_process) == EPERM, name


@pytest.mark.parametrize("machine", MACHINES)
def test_a_run_of_one_process_stays_one(machine: str) -> None:
    for name in ONLY_WITHOUT_PROCESSES:
        if name in NUMBERS[machine]:
            assert answer(machine, name) == EPERM, name
            assert answer(machine, name, single_process=False) == ALLOWED, name
    assert answer(machine, "clone", SIGCHLD) == EPERM
    assert answer(machine, "clone", SIGCHLD, single_process=False) == ALLOWED


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("single_process", [True, False])
def test_threads_are_allowed_and_namespaces_are_not(machine: str, single_process: bool) -> None:
    def clone(flags: int) -> str:
        return answer(machine, "clone", flags, single_process=single_process)

    assert clone(THREAD) == ALLOWED
    for name, flag in NAMESPACES.items():
        if name == "time":  # a flag of clone3 and unshare only; in clone these bits are a signal
            continue
        assert clone(THREAD | flag) == EPERM, name
        assert clone(SIGCHLD | flag) == EPERM, name


@pytest.mark.parametrize("machine", MACHINES)
def test_clone3_seems_not_to_exist_so_that_libc_falls_back(machine: str) -> None:
    for single_process in (True, False):
        assert answer(machine, "clone3", single_process=single_process) == ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
def test_nobody_types_into_the_terminal(machine: str) -> None:
    assert answer(machine, "ioctl", 0, TIOCSTI) == EPERM
    assert answer(machine, "ioctl", 0, TIOCSTI | 7 << 32) == EPERM  # the kernel only reads 32 bits
    assert answer(machine, "ioctl", 0, TCGETS) == ALLOWED
    assert answer(machine, "ioctl", TIOCSTI, TCGETS) == ALLOWED  # a descriptor with that number


@pytest.mark.parametrize("machine", MACHINES)
def test_nobody_outside_is_held_up(machine: str) -> None:
    assert answer(machine, "fcntl", 5, GET_FLAGS) == ALLOWED
    assert answer(machine, "fcntl", 5, SET_LEASE) == EPERM
    assert answer(machine, "fcntl", 5, NOTIFY) == EPERM
    assert answer(machine, "prctl", SET_NAME) == ALLOWED
    assert answer(machine, "prctl", SCHED_CORE) == EPERM
    for option in (COUNTERS_OFF, COUNTERS_ON, SET_DEATH_SIGNAL, SET_DUMPABLE, FUTEX_HASH, 9999):
        assert answer(machine, "prctl", option) == EPERM, option


@pytest.mark.parametrize("machine", MACHINES)
def test_no_memory_is_kept_that_no_size_shows(machine: str) -> None:
    def map_memory(flags: int, *, single_process: bool = True) -> str:
        return answer(machine, "mmap", 0, 4096, 3, flags, single_process=single_process)

    assert map_memory(SHARED_ANONYMOUS) == EPERM
    assert map_memory(SHARED_ANONYMOUS | 0x8000) == EPERM  # MAP_POPULATE
    assert map_memory(PRIVATE_ANONYMOUS) == ALLOWED
    assert map_memory(SHARED_FILE) == ALLOWED
    assert map_memory(SHARED_ANONYMOUS, single_process=False) == ALLOWED


@pytest.mark.parametrize("machine", MACHINES)
def test_another_call_convention_is_killed(machine: str) -> None:
    program = seccomp_program(single_process=True, machine=machine)
    other = next(ARCH[name] for name in MACHINES if name != machine)
    for arch in (*OTHER_ARCHITECTURES.values(), other):
        assert run(program, arch=arch, number=0) == KILLED
    for number in (X32, X32 + 41, X32 + 512, 0xFFFFFFFF):
        assert run(program, arch=ARCH[machine], number=number) == KILLED


def test_an_unknown_architecture_runs_nothing() -> None:
    with pytest.raises(SafetyError, match="riscv64"):
        seccomp_program(single_process=True, machine="riscv64")


UNIX, INTERNET, INTERNET_6, NETLINK, PACKET, VSOCK = 1, 2, 10, 16, 17, 40
STREAM, DATAGRAM, CLOSE_ON_EXEC = 1, 2, 0o2000000
OF_PROGRAMS = ("pidfd_open", "inotify_init", "inotify_init1", "memfd_create", "sched_setaffinity")
MODES = ("chmod", "fchmod", "fchmodat", "fchmodat2", "fchown", "fchownat")


def in_agent_sandbox(machine: str, name: str, *arguments: int, is_confined: bool = False) -> str:
    program = networked_program(is_confined=is_confined, machine=machine)
    number = {**NUMBERS[machine], **SHARED_NUMBERS}[name]
    return run(program, arch=ARCH[machine], number=number, arguments=arguments)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("is_confined", [True, False])
def test_an_agent_sandbox_has_the_internet_and_no_socket_of_the_machine(
    machine: str, is_confined: bool
) -> None:
    """Local sockets lead to D-Bus, systemd, Docker and agents with keys."""
    for family in (INTERNET, INTERNET_6, NETLINK):
        assert in_agent_sandbox(machine, "socket", family, is_confined=is_confined) == ALLOWED
    for family in (0, UNIX, PACKET, VSOCK, UNIX | 1 << 32):
        assert in_agent_sandbox(machine, "socket", family, is_confined=is_confined) == EPERM
    assert in_agent_sandbox(machine, "socketpair", UNIX, STREAM | CLOSE_ON_EXEC) == ALLOWED
    assert in_agent_sandbox(machine, "socketpair", UNIX, DATAGRAM | CLOSE_ON_EXEC) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_an_agent_sandbox_runs_ordinary_programs_and_no_other(machine: str) -> None:
    arguments = (*WITH_ARGUMENTS, "socket", "socketpair")
    attributes = ("setxattr", "fsetxattr")
    free = (*ORDINARY, *ONLY_WITHOUT_PROCESSES, *OF_PROGRAMS, *MODES, *attributes)
    for name in {**NUMBERS[machine], **SHARED_NUMBERS}:
        if name not in arguments:
            assert in_agent_sandbox(machine, name) == (ALLOWED if name in free else EPERM), name
    assert in_agent_sandbox(machine, "clone", SIGCHLD) == ALLOWED
    assert in_agent_sandbox(machine, "clone", SIGCHLD | NAMESPACES["user"]) == EPERM
    assert in_agent_sandbox(machine, "clone3") == ENOSYS
    assert in_agent_sandbox(machine, "ioctl", 0, TIOCSTI) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_what_landlock_does_not_know_only_seems_to_be_done(machine: str) -> None:
    """They concern modes and owners of any file, and the signal that ends it with the node."""
    for name in MODES:
        if name in {**NUMBERS[machine], **SHARED_NUMBERS}:
            assert in_agent_sandbox(machine, name, is_confined=True) == DONE, name
    assert in_agent_sandbox(machine, "prctl", SET_DEATH_SIGNAL, is_confined=True) == DONE
    assert in_agent_sandbox(machine, "prctl", SET_DEATH_SIGNAL) == ALLOWED
    assert in_agent_sandbox(machine, "prctl", SET_NAME, is_confined=True) == ALLOWED
    assert in_agent_sandbox(machine, "setxattr", is_confined=True) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_without_a_network_no_socket_is_made(machine: str) -> None:
    program = networked_program(is_confined=False, is_networked=False, machine=machine)
    numbers = {**NUMBERS[machine], **SHARED_NUMBERS}

    def call(name: str, *arguments: int) -> str:
        number = numbers[name]
        return run(program, arch=ARCH[machine], number=number, arguments=arguments)

    for family in (UNIX, INTERNET, INTERNET_6, NETLINK):
        assert call("socket", family) == EPERM
    assert call("socketpair", UNIX, STREAM) == ALLOWED  # event loops wake themselves through one


OPEN = {"x86_64": ((2, 1), (257, 2)), "aarch64": ((56, 2),)}  # open, openat: their flags' position
OPENAT2 = 437
TIMES = {"x86_64": (132, 235, 261, 280), "aarch64": (88,)}
WRITE_ONLY, TRUNCATE, CLOSE = 1, 0o1000, 0o2000000


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("version", [1, 2, 3, 7])
def test_what_old_landlock_lets_a_masked_program_do_to_files_is_refused(
    machine: str, version: int
) -> None:
    program, arch = unaltered_program(version, machine=machine), ARCH[machine]
    for number in TIMES[machine]:
        assert run(program, arch=arch, number=number) == EPERM
    for number, place in OPEN[machine]:
        for flags in (0, WRITE_ONLY | CLOSE, TRUNCATE, WRITE_ONLY | TRUNCATE):
            arguments = (0,) * place + (flags,)
            is_refused = version < 3 and flags & TRUNCATE
            said = run(program, arch=arch, number=number, arguments=arguments)
            assert said == (EPERM if is_refused else ALLOWED)
    assert run(program, arch=arch, number=OPENAT2) == (ENOSYS if version < 3 else ALLOWED)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("is_confined", [True, False])
def test_an_agent_sandbox_kills_another_call_convention(machine: str, is_confined: bool) -> None:
    program = networked_program(is_confined=is_confined, machine=machine)
    assert run(program, arch=OTHER_ARCHITECTURES["i386"], number=0) == KILLED
    assert run(program, arch=ARCH[machine], number=X32 + 41) == KILLED


RAW, SEQUENCED, NON_BLOCKING = 3, 5, 0o4000
TCP, MULTIPATH = 6, 262
SETSOCKOPT = {"x86_64": 54, "aarch64": 208}
TCP_NODELAY, TCP_ULP = 1, 31


def with_loopback(machine: str, number: int, *arguments: int, single_process: bool = True) -> str:
    program = seccomp_program(single_process=single_process, has_loopback=True, machine=machine)
    return run(program, arch=ARCH[machine], number=number, arguments=arguments)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("single_process", [True, False])
def test_with_a_loopback_of_its_own_a_program_speaks_tcp_alone(
    machine: str, single_process: bool
) -> None:
    number = NUMBERS[machine]["socket"]

    def made(*arguments: int) -> str:
        return with_loopback(machine, number, *arguments, single_process=single_process)

    for family in (INTERNET, INTERNET_6):
        for kind in (STREAM, STREAM | NON_BLOCKING | CLOSE_ON_EXEC):
            assert made(family, kind, 0) == made(family, kind, TCP) == ALLOWED
            assert made(family, kind, MULTIPATH) == EPERM
        for kind in (DATAGRAM, RAW, DATAGRAM | CLOSE_ON_EXEC):
            assert made(family, kind, 0) == EPERM
    for family in (UNIX, NETLINK, PACKET, VSOCK):
        assert made(family, STREAM, 0) == EPERM
    assert answer(machine, "socket", INTERNET, STREAM, TCP) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_with_a_loopback_pairs_lead_to_nobody_else(machine: str) -> None:
    number = NUMBERS[machine]["socketpair"]
    assert with_loopback(machine, number, UNIX, STREAM | CLOSE_ON_EXEC) == ALLOWED
    assert with_loopback(machine, number, UNIX, SEQUENCED | CLOSE_ON_EXEC) == ALLOWED
    assert with_loopback(machine, number, UNIX, DATAGRAM) == EPERM
    assert with_loopback(machine, number, INTERNET, STREAM) == EPERM
    number = SETSOCKOPT[machine]
    assert with_loopback(machine, number, 0, TCP, TCP_NODELAY) == ALLOWED
    assert with_loopback(machine, number, 0, TCP, TCP_ULP) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_a_loopback_lets_nothing_else_through(machine: str) -> None:
    for name, number in {**NUMBERS[machine], **SHARED_NUMBERS}.items():
        if name not in ("socket", "socketpair"):
            assert with_loopback(machine, number) == answer(machine, name), name


FCNTL = {"descriptors": (0, 1, 2, 3, 4, 1030), "locks": (5, 6, 7, 36, 37, 38)}
FCNTL["marks"] = (8, 9, 10, 11, 1024, 1025, 1026, 1027, 1031, 1032, 1035, 1036, 1037, 1038, 9999)
COLLAPSE, COLD, PAGEOUT, HUGEPAGE, MERGEABLE, POISON = 25, 20, 21, 14, 12, 100
FUTEX_WAIT, FUTEX_WAKE, PRIVATE = 0, 1, 128
SET_RW_HINT, SET_VMA, SET_SECCOMP = 1036, 0x53564D41, 22
# System call numbers that only this test needs.
MORE = {
    "x86_64": {
        "madvise": 28, "futex": 202, "sendto": 44, "seccomp": 317, "landlock_add_rule": 445,
        "connect": 42, "bind": 49, "listen": 50, "setsockopt": 54, "pipe2": 293, "sysinfo": 99,
        "fadvise64": 221, "mincore": 27, "preadv2": 327, "utimensat": 280, "newfstatat": 262,
        "readlinkat": 267, "chdir": 80, "fchdir": 81, "getdents64": 217, "io_uring_setup": 425,
        "mq_unlink": 241, "recvfrom": 45, "close": 3, "clock_gettime": 228,
        "clock_nanosleep": 230, "timer_create": 222, "getsockopt": 55,
        "sendmmsg": 307, "socketpair": 53, "socket": 41,
    },
    "aarch64": {
        "madvise": 233, "futex": 98, "sendto": 206, "seccomp": 277, "landlock_add_rule": 445,
        "connect": 203, "bind": 200, "listen": 201, "setsockopt": 208, "pipe2": 59,
        "sysinfo": 179, "fadvise64": 223, "mincore": 232, "preadv2": 286, "utimensat": 88,
        "newfstatat": 79, "readlinkat": 78, "chdir": 49, "fchdir": 50, "getdents64": 61,
        "io_uring_setup": 425, "mq_unlink": 181, "recvfrom": 207, "close": 57,
        "clock_gettime": 113, "clock_nanosleep": 115, "timer_create": 107, "getsockopt": 209,
        "sendmmsg": 269, "socketpair": 199, "socket": 198,
    },
}  # fmt: skip


def answer_of(program: bytes, machine: str, name: str, *arguments: int) -> str:
    number = {**NUMBERS[machine], **SHARED_NUMBERS, **MORE[machine]}[name]
    return run(program, arch=ARCH[machine], number=number, arguments=arguments)


def to_candidate(machine: str, name: str, *arguments: int, **kind: bool) -> str:
    program = seccomp_program(machine=machine, **{"single_process": True, **kind})
    return answer_of(program, machine, name, *arguments)


@pytest.mark.parametrize("machine", MACHINES)
def test_of_calls_with_many_meanings_only_listed_ones_are_allowed(machine: str) -> None:
    for command in FCNTL["descriptors"]:
        assert to_candidate(machine, "fcntl", 5, command) == ALLOWED, command
    for command in (*FCNTL["marks"], *FCNTL["locks"]):
        assert to_candidate(machine, "fcntl", 5, command) == EPERM, command
    for command in FCNTL["locks"]:
        assert to_candidate(machine, "fcntl", 5, command, single_process=False) == ALLOWED
    for command in FCNTL["marks"]:
        assert to_candidate(machine, "fcntl", 5, command, single_process=False) == EPERM
    for advice in range(256):
        is_listed = advice in (*range(5), 8, 10, 11, *range(14, 20), 22, 23, 102, 103)
        expected = ALLOWED if is_listed else EPERM
        assert to_candidate(machine, "madvise", 0, 4096, advice) == expected, advice
    for unlisted in (0x40049409, 0x40086602, 0x5412, 0xC0502100, 0x46, 0xC0464601, 1):
        assert to_candidate(machine, "ioctl", 0, unlisted) == EPERM, unlisted


@pytest.mark.parametrize("machine", MACHINES)
def test_with_a_card_its_driver_is_spoken_to_and_no_file_system(machine: str) -> None:
    for command in (0xC00446C8, 0xC020462A, 0x30000001, 0x30000002, 0x25, 0x4B):
        assert to_candidate(machine, "ioctl", 0, command, has_card=True) == ALLOWED, hex(command)
    for command in (0x40049409, 0x40086602, 0x5412, 0xC0502100, 0x30000003):
        assert to_candidate(machine, "ioctl", 0, command, has_card=True) == EPERM, hex(command)


@pytest.mark.parametrize("machine", MACHINES)
def test_with_a_card_a_socket_is_listened_on_to_which_nobody_connects(machine: str) -> None:
    """Without it CUDA does not start. The type's upper bits are flags, such as non-blocking."""
    unix, inet, stream, datagrams, packets = 1, 2, 1, 2, 5
    for kind in (packets, packets | 0o2000000 | 0o4000):
        assert to_candidate(machine, "socket", unix, kind, 0, has_card=True) == ALLOWED
    for kind in (stream, datagrams):
        assert to_candidate(machine, "socket", unix, kind, 0, has_card=True) == EPERM
    assert to_candidate(machine, "socket", inet, packets, 0, has_card=True) == EPERM
    assert to_candidate(machine, "socket", inet, stream, 0, has_card=True) == EPERM
    for name in ("bind", "listen"):
        assert to_candidate(machine, name, has_card=True) == ALLOWED, name
    for name in ("setsockopt", "socketpair"):
        assert to_candidate(machine, name, has_card=True) == EPERM, name
    assert to_candidate(machine, "connect", has_card=True) == ENOENT


@pytest.mark.parametrize("machine", MACHINES)
def test_with_a_card_and_a_network_of_its_own_both_kinds_of_sockets_are_there(machine: str) -> None:
    for family, kind in ((1, 5), (2, 1), (10, 1)):
        allowed = to_candidate(machine, "socket", family, kind, 0, has_card=True, has_loopback=True)
        assert allowed == ALLOWED
    for name in ("connect", "bind", "listen"):
        assert to_candidate(machine, name, has_card=True, has_loopback=True) == ALLOWED, name
    netlink = to_candidate(machine, "socket", 16, 3, 0, has_card=True, has_loopback=True)
    assert netlink == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_a_socket_that_is_there_gets_no_name_and_looks_none_up(machine: str) -> None:
    for name in ("connect", "bind", "listen", "setsockopt"):
        assert to_candidate(machine, name) == EPERM, name
        assert to_candidate(machine, name, single_process=False) == EPERM, name
        assert to_candidate(machine, name, has_loopback=True) == ALLOWED, name
    assert to_candidate(machine, "sendto", 3, 0, 1, 0, 0, 0) == ALLOWED
    for address in (1, 0x7FFF_0000_1000, 1 << 32):
        assert to_candidate(machine, "sendto", 3, 0, 1, 0, address, 16) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("single_process", [True, False])
def test_an_event_loop_has_pairs_of_sockets_and_nothing_else_of_a_network(
    machine: str, single_process: bool
) -> None:
    def made(name: str, *arguments: int, has_pairs: bool = True) -> str:
        return to_candidate(
            machine, name, *arguments, single_process=single_process, has_pairs=has_pairs
        )

    for kind in (STREAM, STREAM | NON_BLOCKING | CLOSE_ON_EXEC, SEQUENCED | CLOSE_ON_EXEC):
        assert made("socketpair", UNIX, kind) == ALLOWED
        assert made("socketpair", UNIX, kind, has_pairs=False) == EPERM
        for family in (INTERNET, INTERNET_6, NETLINK, VSOCK):
            assert made("socketpair", family, kind) == EPERM
    for kind in (DATAGRAM, RAW, DATAGRAM | CLOSE_ON_EXEC):  # a datagram can be sent to others
        assert made("socketpair", UNIX, kind) == EPERM
    for family in (UNIX, INTERNET, INTERNET_6, NETLINK, VSOCK):
        assert made("socket", family, STREAM) == EPERM
    for name in ("connect", "bind", "listen", "setsockopt"):  # no name, and no larger buffer
        assert made(name) == EPERM, name
    assert made("sendto", 3, 0, 1, 0, 1, 16) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_with_pairs_no_descriptor_is_sent_to_where_nobody_counts_it(machine: str) -> None:
    for name in ("sendmsg", "sendmmsg"):
        assert to_candidate(machine, name, has_pairs=True) == EPERM, name
        assert to_candidate(machine, name, has_pairs=True, single_process=False) == EPERM, name
        assert to_candidate(machine, name) == ALLOWED, name


@pytest.mark.parametrize("machine", MACHINES)
def test_where_memory_is_weighed_no_file_changes_without_a_write(machine: str) -> None:
    private, shared, fixed = 0x02, 0x01, 0x10
    for flags in (shared, shared | fixed):
        weighed = to_candidate(machine, "mmap", 0, 4096, 3, flags, 3, weighs_memory=True)
        assert weighed == EPERM
        assert to_candidate(machine, "mmap", 0, 4096, 3, flags, 3) == ALLOWED
    mapped = to_candidate(machine, "mmap", 0, 4096, 3, private, 3, weighs_memory=True)
    assert mapped == ALLOWED


@pytest.mark.parametrize("machine", MACHINES)
def test_restrictions_are_the_harness_s_until_a_candidate_s_turn(machine: str) -> None:
    for name in ("seccomp", "landlock_add_rule"):
        assert to_candidate(machine, name) == EPERM
        assert to_candidate(machine, name, restricts_later=True) == ALLOWED
        for program in (last_program(machine=machine), gate_program(machine=machine)):
            assert answer_of(program, machine, name) == EPERM
    assert to_candidate(machine, "prctl", SET_SECCOMP) == EPERM
    assert to_candidate(machine, "prctl", SET_VMA) == ALLOWED
    assert answer_of(last_program(machine=machine), machine, "openat") == ALLOWED


@pytest.mark.parametrize("machine", MACHINES)
def test_no_number_that_counts_for_the_whole_machine_is_read(machine: str) -> None:
    """A pidfd's inode, a socket's cookie, and the CPU time of another process."""
    for single_process in (True, False):
        kind = {"single_process": single_process}
        assert to_candidate(machine, "clone", THREAD, **kind) == ALLOWED
        assert to_candidate(machine, "clone", THREAD | 0x1000, **kind) == EPERM
        for name in ("clock_gettime", "clock_nanosleep", "timer_create"):
            for clock in range(12):
                assert to_candidate(machine, name, clock, **kind) == ALLOWED
            for pid in (0, 1, 4_000_000):
                assert to_candidate(machine, name, (~pid << 3 | 2) % (1 << 64), **kind) == EPERM
        for option in (3, 4, 38, 39):
            assert to_candidate(machine, "getsockopt", 3, 1, option, **kind) == ALLOWED
        for option in (57, 77, 25):
            assert to_candidate(machine, "getsockopt", 3, 1, option, **kind) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_what_one_process_needs_to_wait_for_its_threads_wakes_no_other(machine: str) -> None:
    for operation in (FUTEX_WAIT, FUTEX_WAIT | 256, 9, FUTEX_WAKE | PRIVATE, 11 | PRIVATE):
        assert to_candidate(machine, "futex", 0, operation) == ALLOWED, operation
    for operation in (FUTEX_WAKE, 3, 4, 5, 10, 6, 7):
        assert to_candidate(machine, "futex", 0, operation) == EPERM, operation
        assert to_candidate(machine, "futex", 0, operation, single_process=False) == ALLOWED


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_cached_is_nobody_s_to_ask_or_change(machine: str) -> None:
    for single_process in (True, False):
        for name in ("fadvise64", "mincore", "preadv2"):
            assert to_candidate(machine, name, single_process=single_process) == EPERM
        times = ("utimensat", 5, 0)
        assert to_candidate(machine, *times, single_process=single_process) == DONE
        for path in (1, 1 << 32):
            times = ("utimensat", 5, path)
            assert to_candidate(machine, *times, single_process=single_process) == EPERM
    for name in ("pipe2", "sysinfo"):
        assert to_candidate(machine, name) == EPERM
        assert to_candidate(machine, name, single_process=False) == ALLOWED
    assert to_candidate(machine, "pipe2", has_card=True) == ALLOWED


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("has_card", [True, False])
def test_the_syscall_gate_asks_about_everything_that_is_not_computing(
    machine: str, *, has_card: bool
) -> None:
    """This includes system calls of future kernels."""
    gate = gate_program(machine=machine, has_card=has_card)
    for name in ("write", "futex", "recvmsg", "recvfrom", "sendto", "close"):
        assert answer_of(gate, machine, name) == ALLOWED, name
    on_a_card = ALLOWED if has_card else ASKED
    assert answer_of(gate, machine, "mmap", 0, 4096, 3, PRIVATE_ANONYMOUS) == ALLOWED
    assert answer_of(gate, machine, "mmap", 0, 4096, 1, 2, 5) == on_a_card  # a file's pages
    for name in ("read", "clone"):
        assert answer_of(gate, machine, name) == on_a_card, name
    names = ("openat", "newfstatat", "readlinkat", "chdir", "fchdir", "getdents64", "execve")
    for name in (*names, "connect", "bind", "utimensat", "mq_unlink", "io_uring_setup"):
        assert answer_of(gate, machine, name) == ASKED, name
    for number in range(471, 600):
        assert run(gate, arch=ARCH[machine], number=number) == ASKED
    for advice in (COLLAPSE, COLD, PAGEOUT, HUGEPAGE, MERGEABLE, 3):
        assert answer_of(gate, machine, "madvise", 0, 4096, advice) == ASKED, advice
    assert answer_of(gate, machine, "madvise", 0, 4096, 4) == ALLOWED
    assert run(gate, arch=OTHER_ARCHITECTURES["i386"], number=0) == KILLED
    assert run(gate, arch=ARCH[machine], number=X32 + 2) == KILLED


@pytest.mark.parametrize("machine", MACHINES)
def test_pairs_of_streams_alone_make_no_other_socket(machine: str) -> None:
    program = seccomp_program(single_process=False, has_pairs=True, machine=machine)

    def made(number: int, *arguments: int) -> str:
        return run(program, arch=ARCH[machine], number=number, arguments=arguments)

    numbers = calls.NUMBERS[machine]
    assert made(numbers["socketpair"], UNIX, STREAM | CLOSE_ON_EXEC) == ALLOWED
    assert made(numbers["socketpair"], UNIX, DATAGRAM) == EPERM
    for family in (UNIX, INTERNET, NETLINK):
        assert made(numbers["socket"], family, STREAM, 0) == EPERM
    for name in ("connect", "bind", "listen", "accept4"):
        assert made(numbers[name], 3) == EPERM
