"""The system calls a candidate may not make, as a classic BPF program.

bubblewrap loads the program just before it starts the command, so it binds every thread of the
sandbox for good. Anything that reaches other processes, the kernel's configuration, a network or
a new namespace is refused; clone3 answers ENOSYS so that libc falls back to clone, whose flags a
filter can read. Source: seccomp(2), linux/filter.h, the kernel's syscall tables.
"""

import platform

from trainer.sandbox import bpf

_NAMESPACE_FLAGS = 0x7E020000  # every CLONE_NEW* that clone(2) accepts
_CLONE_THREAD = 0x00010000
# Hiding from the watchdog's eyes (/proc), and outliving the node.
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_COUNTERS_OFF, _COUNTERS_ON = 31, 32  # PR_TASK_PERF_EVENTS_*: whose, manuals and kernels differ
_TIOCSTI = 0x5412  # pushes bytes into the terminal's input
_SETOWN, _SETSIG, _SETOWN_EX = 8, 10, 15  # signals for input, to whom one likes
_SETLEASE, _NOTIFY = 1024, 1026  # a lease holds up whoever wants to write that file of the host
_SCHED_CORE = 62  # keeps strangers off the other half of a processor's core

_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435
_PRCTL = {"x86_64": 157, "aarch64": 167}
_IOCTL = {"x86_64": 16, "aarch64": 29}
_FCNTL = {"x86_64": 72, "aarch64": 25}
_MMAP = {"x86_64": 9, "aarch64": 222}
_SHARED_ANONYMOUS = 0x21

# Modes, owners and attributes: under root a candidate owns the host's device nodes, which are
# bound from /dev, and could take them from everybody.
# inotify, asynchronous I/O and message queues come out of pools that all programs of the user, or
# of the machine, share: emptied in here, the next call of a database out there would fail.
# Same numbers on both architectures: everything added since 2019.
_REFUSED_COMMON = {
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433,
    "pidfd_open": 434, "pidfd_getfd": 438, "process_madvise": 440, "mount_setattr": 442,
    "quotactl_fd": 443, "memfd_secret": 447, "process_mrelease": 448,
    "fchmodat2": 452, "statmount": 457, "listmount": 458, "setxattrat": 463,
    "removexattrat": 466, "open_tree_attr": 467, "file_setattr": 469, "listns": 470,
}  # fmt: skip
_REFUSED = {
    "x86_64": {
        "socket": 41, "socketpair": 53, "ptrace": 101, "syslog": 103, "personality": 135,
        "modify_ldt": 154, "pivot_root": 155, "adjtimex": 159, "chroot": 161, "acct": 163,
        "settimeofday": 164, "mount": 165, "umount2": 166, "swapon": 167, "swapoff": 168,
        "reboot": 169, "sethostname": 170, "setdomainname": 171, "iopl": 172, "ioperm": 173,
        "init_module": 175, "delete_module": 176, "quotactl": 179, "clock_settime": 227,
        "mbind": 237, "set_mempolicy": 238, "kexec_load": 246, "add_key": 248,
        "request_key": 249, "keyctl": 250, "migrate_pages": 256, "unshare": 272,
        "move_pages": 279, "perf_event_open": 298, "fanotify_init": 300,
        "shmget": 29, "semget": 64, "msgget": 68, "vmsplice": 278,
        "chmod": 90, "fchmod": 91, "chown": 92, "fchown": 93, "lchown": 94, "fchownat": 260,
        "fchmodat": 268, "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190,
        "removexattr": 197, "lremovexattr": 198, "fremovexattr": 199,
        "name_to_handle_at": 303, "open_by_handle_at": 304, "clock_adjtime": 305, "setns": 308,
        "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "finit_module": 313,
        "kexec_file_load": 320, "bpf": 321, "userfaultfd": 323,
        "io_setup": 206, "mq_open": 240, "inotify_init": 253, "inotify_init1": 294,
    },
    "aarch64": {
        "umount2": 39, "mount": 40, "pivot_root": 41, "chroot": 51, "quotactl": 60, "acct": 89,
        "personality": 92, "unshare": 97, "kexec_load": 104, "init_module": 105,
        "delete_module": 106, "clock_settime": 112, "syslog": 116, "ptrace": 117, "reboot": 142,
        "sethostname": 161, "setdomainname": 162, "settimeofday": 170, "adjtimex": 171,
        "socket": 198, "socketpair": 199, "add_key": 217, "request_key": 218, "keyctl": 219,
        "swapon": 224, "swapoff": 225, "mbind": 235, "set_mempolicy": 237,
        "migrate_pages": 238, "move_pages": 239, "perf_event_open": 241, "fanotify_init": 262,
        "name_to_handle_at": 264, "open_by_handle_at": 265, "clock_adjtime": 266, "setns": 268,
        "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272, "finit_module": 273,
        "vmsplice": 75, "msgget": 186, "semget": 190, "shmget": 194,
        "fchmod": 52, "fchmodat": 53, "fchownat": 54, "fchown": 55, "setxattr": 5,
        "lsetxattr": 6, "fsetxattr": 7, "removexattr": 14, "lremovexattr": 15,
        "fremovexattr": 16,
        "bpf": 280, "userfaultfd": 282, "kexec_file_load": 294,
        "io_setup": 0, "inotify_init1": 26, "mq_open": 180,
    },
}  # fmt: skip
# CPU time is metered per process, so a token-budget run stays one process on its processor.
# Memory is watched as what is mapped: nothing may be kept in memory that is not (SysV segments and
# pages in pipes above, memfd and shared anonymous mappings, which outlast MADV_DONTNEED, here).
# Nor may it leave a mark that a later process finds: what of a shared file is cached (fadvise,
# readahead; asked by mincore, preadv2, cachestat), which locks are held on it.
_REFUSED_TO_SINGLE = {
    "x86_64": {
        "fork": 57, "vfork": 58, "sched_setaffinity": 203, "memfd_create": 319,
        "mincore": 27, "flock": 73, "readahead": 187, "fadvise64": 221, "preadv2": 327,
        "cachestat": 451,
    },
    "aarch64": {
        "sched_setaffinity": 122, "memfd_create": 279,
        "flock": 32, "readahead": 213, "fadvise64": 223, "mincore": 232,
        "preadv2": 286, "cachestat": 451,
    },
}  # fmt: skip
_LOCKS = (6, 7, 37, 38)  # F_SETLK(W), F_OFD_SETLK(W)
_MADVISE = {"x86_64": 28, "aarch64": 233}
_EVICTIONS = (20, 21)  # MADV_COLD, MADV_PAGEOUT
# Everything that looks a name up. The names that were looked up stay cached after a process has
# ended, and the next one can time that.
_PATHS = {
    "x86_64": {
        "open": 2, "stat": 4, "lstat": 6, "access": 21, "execve": 59, "truncate": 76,
        "getdents": 78, "chdir": 80, "rename": 82, "mkdir": 83, "rmdir": 84, "creat": 85,
        "link": 86, "unlink": 87, "symlink": 88, "readlink": 89, "utime": 132, "mknod": 133,
        "uselib": 134, "statfs": 137, "getxattr": 191, "lgetxattr": 192, "listxattr": 194,
        "llistxattr": 195, "getdents64": 217, "utimes": 235, "openat": 257, "mkdirat": 258,
        "mknodat": 259, "futimesat": 261, "newfstatat": 262, "unlinkat": 263, "renameat": 264,
        "linkat": 265, "symlinkat": 266, "readlinkat": 267, "faccessat": 269, "utimensat": 280,
        "renameat2": 316, "execveat": 322, "statx": 332,
    },
    "aarch64": {
        "getxattr": 8, "lgetxattr": 9, "listxattr": 11, "llistxattr": 12, "mknodat": 33,
        "mkdirat": 34, "unlinkat": 35, "symlinkat": 36, "linkat": 37, "renameat": 38,
        "statfs": 43, "truncate": 45, "faccessat": 48, "chdir": 49, "openat": 56,
        "getdents64": 61, "readlinkat": 78, "newfstatat": 79, "utimensat": 88, "execve": 221,
        "renameat2": 276, "execveat": 281, "statx": 291,
    },
}  # fmt: skip
_PATHS_COMMON = {
    "openat2": 437, "faccessat2": 439, "getxattrat": 464, "listxattrat": 465,
    "file_getattr": 468,
}  # fmt: skip


# Old Landlock does not know truncate; priorities and limits of others need no file.
_REFUSED_TO_CONFINED = {
    "x86_64": {
        "truncate": 76, "setpriority": 141, "sched_setparam": 142, "sched_setscheduler": 144,
        "ioprio_set": 251, "sched_setattr": 314,
    },
    "aarch64": {
        "truncate": 45, "setpriority": 140, "sched_setparam": 118, "sched_setscheduler": 119,
        "ioprio_set": 30, "sched_setattr": 274,
    },
}  # fmt: skip
_PRLIMIT = {"x86_64": 302, "aarch64": 261}
_EVERY_BIT = 0xFFFFFFFF

# What an ordinary program needs and a candidate does not (`workshop_program`).
_OF_PROGRAMS = frozenset({"socket", "socketpair", "inotify_init", "inotify_init1", "pidfd_open"})
_MODES = frozenset(
    {"chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat"}
)
_ATTRIBUTES = frozenset(
    {"setxattr", "lsetxattr", "fsetxattr", "setxattrat"}
    | {"removexattr", "lremovexattr", "fremovexattr", "removexattrat"}
)
_SOCKET = {"x86_64": 41, "aarch64": 198}
_SOCKETPAIR = {"x86_64": 53, "aarch64": 199}
_FAMILIES = (2, 10, 16)  # AF_INET, AF_INET6, AF_NETLINK: the last to ask for one's addresses
_TYPE_MASK, _DATAGRAM = 0xF, 2

# What a program needs in a network where nobody else is (`seccomp_program`).
_UNIX, _INTERNET, _STREAM = (1,), (2, 10), (1,)
_TCP = (0, 6)  # by default, and by its name
_SETSOCKOPT = {"x86_64": 54, "aarch64": 208}
_TCP_ULP = 31  # parts of the kernel that are only loaded on demand


def seccomp_program(
    *,
    single_process: bool,
    is_confined: bool = False,
    has_card: bool = False,
    has_loopback: bool = False,
    machine: str | None = None,
) -> bytes:
    """Return the filter for this machine.

    `single_process` also refuses new processes (threads stay allowed) and processor affinity,
    `is_confined` what namespaces would make harmless (tiers container and partial). `has_card`
    leaves NVIDIA's driver the memory that it shares with the card. `has_loopback` lets a program
    speak TCP, which is only for a network namespace of its own, and make pairs of streams, with
    which event loops wake themselves up. Raises SafetyError on an architecture without a table.
    """
    machine = machine or platform.machine()
    program = _to_all(machine)
    refused = set(_REFUSED_COMMON.values()) | set(_REFUSED[machine].values())
    if has_loopback:
        program += _streams(machine)
        refused -= {_SOCKET[machine], _SOCKETPAIR[machine]}
    if single_process:
        refused |= set(_REFUSED_TO_SINGLE[machine].values())
        if has_card:
            refused.remove(_REFUSED_TO_SINGLE[machine]["memfd_create"])
    if is_confined:
        refused |= set(_REFUSED_TO_CONFINED[machine].values())
    for option in (_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _COUNTERS_OFF, _COUNTERS_ON):
        program += bpf.check_argument(_PRCTL[machine], 0, option)
    if is_confined:  # one's own limits only: pid 0
        program += bpf.check_argument(_PRLIMIT[machine], 0, _EVERY_BIT, test=bpf.JUMP_ANY_BIT)
    if single_process:
        for lock in _LOCKS:
            program += bpf.check_argument(_FCNTL[machine], 1, lock)
        for eviction in _EVICTIONS:
            program += bpf.check_argument(_MADVISE[machine], 2, eviction)
        program += bpf.check_argument(
            _CLONE[machine], 0, _CLONE_THREAD, test=bpf.JUMP_ANY_BIT, refuse_if=False
        )
    if single_process and not has_card:
        program += [
            bpf.jump(bpf.JUMP_EQUAL, _MMAP[machine], 0, 5),
            bpf.statement(bpf.LOAD_WORD, bpf.ARGUMENTS[3]),
            bpf.statement(bpf.AND, _SHARED_ANONYMOUS),
            bpf.jump(bpf.JUMP_EQUAL, _SHARED_ANONYMOUS, 0, 1),
            bpf.statement(bpf.RETURN, bpf.EPERM),
            bpf.statement(bpf.LOAD_WORD, bpf.NUMBER),
        ]
    for number in sorted(refused):
        program += bpf.answer(number, bpf.EPERM)
    return b"".join([*program, bpf.statement(bpf.RETURN, bpf.ALLOW)])


def workshop_program(*, is_confined: bool, machine: str | None = None) -> bytes:
    """Return the filter of a program that may use the network (`trainer.workshop.workshop`).

    Sockets of the machine's own (AF_UNIX) are refused: behind them are a session's D-Bus and
    systemd, Docker and agents with keys, which start programs or answer outside of any sandbox.
    `is_confined` refuses what namespaces would make harmless; changes of modes and owners, which
    Landlock does not know, then seem to succeed, because programs give up over them.
    Raises SafetyError on an architecture without a table.
    """
    machine = machine or platform.machine()
    program = [*_to_all(machine), *_sockets(machine)]
    refused = _REFUSED_COMMON | _REFUSED[machine]
    answered = dict.fromkeys(refused.keys() - _OF_PROGRAMS - _MODES - _ATTRIBUTES, bpf.EPERM)
    if is_confined:
        refused |= _REFUSED_TO_CONFINED[machine]
        answered |= dict.fromkeys(_ATTRIBUTES | _REFUSED_TO_CONFINED[machine].keys(), bpf.EPERM)
        answered |= dict.fromkeys(_MODES, bpf.DONE)
        program += bpf.check_argument(_PRLIMIT[machine], 0, _EVERY_BIT, test=bpf.JUMP_ANY_BIT)
        program += bpf.check_argument(_PRCTL[machine], 0, _PR_SET_PDEATHSIG, refusal=bpf.DONE)
    for name in sorted(answered.keys() & refused.keys()):
        program += bpf.answer(refused[name], answered[name])
    return b"".join([*program, bpf.statement(bpf.RETURN, bpf.ALLOW)])


def _to_all(machine: str) -> list[bytes]:
    """Refuse what is for nobody, whatever else a program may do."""
    program = [
        *bpf.opening(machine),
        *bpf.answer(_CLONE3, bpf.ENOSYS),
        *bpf.check_argument(_CLONE[machine], 0, _NAMESPACE_FLAGS, test=bpf.JUMP_ANY_BIT),
        *bpf.check_argument(_IOCTL[machine], 1, _TIOCSTI),
        *bpf.check_argument(_PRCTL[machine], 0, _SCHED_CORE),
    ]
    for command in (_SETOWN, _SETSIG, _SETOWN_EX, _SETLEASE, _NOTIFY):
        program += bpf.check_argument(_FCNTL[machine], 1, command)
    return program


def _sockets(machine: str) -> list[bytes]:
    """Refuse sockets but those of the internet, and pairs that could send to other sockets."""
    return [
        *bpf.allow_only(_SOCKET[machine], 0, _FAMILIES),
        bpf.jump(bpf.JUMP_EQUAL, _SOCKETPAIR[machine], 0, 5),
        bpf.statement(bpf.LOAD_WORD, bpf.ARGUMENTS[1]),
        bpf.statement(bpf.AND, _TYPE_MASK),
        bpf.jump(bpf.JUMP_EQUAL, _DATAGRAM, 0, 1),
        bpf.statement(bpf.RETURN, bpf.EPERM),
        bpf.statement(bpf.LOAD_WORD, bpf.NUMBER),
    ]


def _streams(machine: str) -> list[bytes]:
    """Refuse sockets but those of TCP, and pairs but of streams, which lead to nobody else."""
    return [
        *bpf.allow_only(_SOCKET[machine], 0, _INTERNET),
        *bpf.allow_only(_SOCKET[machine], 1, _STREAM, mask=_TYPE_MASK),
        *bpf.allow_only(_SOCKET[machine], 2, _TCP),
        *bpf.allow_only(_SOCKETPAIR[machine], 0, _UNIX),
        *bpf.allow_only(_SOCKETPAIR[machine], 1, _STREAM, mask=_TYPE_MASK),
        *bpf.check_argument(_SETSOCKOPT[machine], 2, _TCP_ULP),
    ]


def path_program(machine: str | None = None) -> bytes:
    """Return a filter that asks its listener about every look-up (`trainer.sandbox.gate`).

    Loaded on top of `seccomp_program`, which has refused what is not for any sandbox.
    """
    machine = machine or platform.machine()
    program = [bpf.statement(bpf.LOAD_WORD, bpf.NUMBER)]
    for number in sorted({*_PATHS[machine].values(), *_PATHS_COMMON.values()}):
        program += [bpf.jump(bpf.JUMP_EQUAL, number, 0, 1), bpf.statement(bpf.RETURN, bpf.ASK)]
    return b"".join([*program, bpf.statement(bpf.RETURN, bpf.ALLOW)])
