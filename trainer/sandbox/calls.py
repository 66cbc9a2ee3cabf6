"""System-call numbers by name, and the sets of calls that the filters use.

If an architecture lacks a call, its table does too, and `numbers` skips the name. Sources:
the kernel's arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
"""

from collections.abc import Iterable

# Calls added since 2019 have the same number on both architectures.
_COMMON = {
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433,
    "pidfd_open": 434, "clone3": 435, "close_range": 436, "openat2": 437, "pidfd_getfd": 438,
    "faccessat2": 439, "process_madvise": 440, "mount_setattr": 442, "quotactl_fd": 443,
    "landlock_create_ruleset": 444, "landlock_add_rule": 445, "landlock_restrict_self": 446,
    "memfd_secret": 447, "process_mrelease": 448, "futex_waitv": 449,
    "set_mempolicy_home_node": 450, "cachestat": 451, "fchmodat2": 452, "futex_wake": 454,
    "futex_wait": 455, "futex_requeue": 456, "statmount": 457, "listmount": 458,
    "lsm_set_self_attr": 460, "setxattrat": 463, "removexattrat": 466, "open_tree_attr": 467,
    "file_setattr": 469, "listns": 470,
}  # fmt: skip
_X86_64 = {
    "read": 0, "write": 1, "open": 2, "close": 3, "fstat": 5, "poll": 7, "lseek": 8, "mmap": 9,
    "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14,
    "rt_sigreturn": 15, "ioctl": 16, "pread64": 17, "pwrite64": 18, "readv": 19, "writev": 20,
    "pipe": 22, "select": 23, "sched_yield": 24, "mremap": 25, "msync": 26, "mincore": 27,
    "madvise": 28, "shmget": 29, "dup": 32, "dup2": 33, "nanosleep": 35, "getpid": 39,
    "socket": 41, "connect": 42, "accept": 43, "sendto": 44, "recvfrom": 45, "sendmsg": 46,
    "recvmsg": 47, "shutdown": 48, "bind": 49, "listen": 50, "socketpair": 53, "setsockopt": 54,
    "getsockopt": 55, "clone": 56, "fork": 57, "vfork": 58, "exit": 60, "uname": 63, "semget": 64,
    "msgget": 68, "fcntl": 72, "flock": 73, "truncate": 76, "chmod": 90, "fchmod": 91, "chown": 92,
    "fchown": 93, "lchown": 94, "gettimeofday": 96, "getrlimit": 97, "getrusage": 98,
    "sysinfo": 99, "times": 100, "ptrace": 101, "getuid": 102, "syslog": 103, "getgid": 104,
    "geteuid": 107, "getegid": 108, "getppid": 110, "sigaltstack": 131, "utime": 132,
    "personality": 135, "setpriority": 141, "sched_setparam": 142, "sched_getparam": 143,
    "sched_setscheduler": 144, "sched_getscheduler": 145, "mlock": 149, "munlock": 150,
    "modify_ldt": 154, "pivot_root": 155, "prctl": 157, "arch_prctl": 158, "adjtimex": 159,
    "chroot": 161, "acct": 163, "settimeofday": 164, "mount": 165, "umount2": 166, "swapon": 167,
    "swapoff": 168, "reboot": 169, "sethostname": 170, "setdomainname": 171, "iopl": 172,
    "ioperm": 173, "init_module": 175, "delete_module": 176, "quotactl": 179, "gettid": 186,
    "readahead": 187, "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190, "removexattr": 197,
    "lremovexattr": 198, "fremovexattr": 199, "time": 201, "futex": 202, "sched_setaffinity": 203,
    "sched_getaffinity": 204, "io_setup": 206, "set_tid_address": 218, "restart_syscall": 219,
    "fadvise64": 221, "timer_create": 222, "clock_settime": 227, "clock_gettime": 228,
    "clock_getres": 229, "clock_nanosleep": 230, "exit_group": 231, "epoll_wait": 232,
    "epoll_ctl": 233, "tgkill": 234, "utimes": 235, "mbind": 237, "set_mempolicy": 238,
    "mq_open": 240, "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250,
    "ioprio_set": 251, "inotify_init": 253, "migrate_pages": 256, "openat": 257, "fchownat": 260,
    "futimesat": 261, "fchmodat": 268, "pselect6": 270, "ppoll": 271, "unshare": 272,
    "set_robust_list": 273, "vmsplice": 278, "move_pages": 279, "utimensat": 280,
    "epoll_pwait": 281, "accept4": 288, "eventfd2": 290, "epoll_create1": 291, "dup3": 292,
    "pipe2": 293, "inotify_init1": 294, "perf_event_open": 298, "fanotify_init": 300,
    "prlimit64": 302, "name_to_handle_at": 303, "open_by_handle_at": 304, "clock_adjtime": 305,
    "setns": 308, "getcpu": 309, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312,
    "sendmmsg": 307, "finit_module": 313, "sched_setattr": 314, "seccomp": 317, "getrandom": 318,
    "memfd_create": 319, "kexec_file_load": 320, "bpf": 321, "userfaultfd": 323, "membarrier": 324,
    "preadv2": 327, "rseq": 334,
}  # fmt: skip
_AARCH64 = {
    "io_setup": 0, "setxattr": 5, "lsetxattr": 6, "fsetxattr": 7, "removexattr": 14,
    "lremovexattr": 15, "fremovexattr": 16, "eventfd2": 19, "epoll_create1": 20, "epoll_ctl": 21,
    "epoll_pwait": 22, "dup": 23, "dup3": 24, "fcntl": 25, "inotify_init1": 26, "ioctl": 29,
    "ioprio_set": 30, "flock": 32, "umount2": 39, "mount": 40, "pivot_root": 41, "truncate": 45,
    "chroot": 51, "fchmod": 52, "fchmodat": 53, "fchownat": 54, "fchown": 55, "openat": 56,
    "close": 57, "pipe2": 59, "quotactl": 60, "lseek": 62, "read": 63, "write": 64, "readv": 65,
    "writev": 66, "pread64": 67, "pwrite64": 68, "pselect6": 72, "ppoll": 73, "vmsplice": 75,
    "fstat": 80, "utimensat": 88, "acct": 89, "personality": 92, "exit": 93, "exit_group": 94,
    "set_tid_address": 96, "unshare": 97, "futex": 98, "set_robust_list": 99, "nanosleep": 101,
    "kexec_load": 104, "init_module": 105, "delete_module": 106, "timer_create": 107,
    "clock_settime": 112, "clock_gettime": 113, "clock_getres": 114, "clock_nanosleep": 115,
    "syslog": 116, "ptrace": 117, "sched_setparam": 118, "sched_setscheduler": 119,
    "sched_getscheduler": 120, "sched_getparam": 121, "sched_setaffinity": 122,
    "sched_getaffinity": 123, "sched_yield": 124, "restart_syscall": 128, "tgkill": 131,
    "sigaltstack": 132, "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139,
    "setpriority": 140, "reboot": 142, "times": 153, "uname": 160, "sethostname": 161,
    "setdomainname": 162, "getrlimit": 163, "getrusage": 165, "prctl": 167, "getcpu": 168,
    "gettimeofday": 169, "settimeofday": 170, "adjtimex": 171, "getpid": 172, "getppid": 173,
    "getuid": 174, "geteuid": 175, "getgid": 176, "getegid": 177, "gettid": 178, "sysinfo": 179,
    "mq_open": 180, "msgget": 186, "semget": 190, "shmget": 194, "socket": 198, "socketpair": 199,
    "bind": 200, "listen": 201, "accept": 202, "connect": 203, "sendto": 206, "recvfrom": 207,
    "setsockopt": 208, "getsockopt": 209, "shutdown": 210, "sendmsg": 211, "recvmsg": 212,
    "readahead": 213, "brk": 214, "munmap": 215, "mremap": 216, "add_key": 217, "request_key": 218,
    "keyctl": 219, "clone": 220, "mmap": 222, "fadvise64": 223, "swapon": 224, "swapoff": 225,
    "mprotect": 226, "msync": 227, "mlock": 228, "munlock": 229, "mincore": 232, "madvise": 233,
    "mbind": 235, "set_mempolicy": 237, "migrate_pages": 238, "move_pages": 239,
    "perf_event_open": 241, "accept4": 242, "sendmmsg": 269, "prlimit64": 261, "fanotify_init": 262,
    "name_to_handle_at": 264, "open_by_handle_at": 265, "clock_adjtime": 266, "setns": 268,
    "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272, "finit_module": 273,
    "sched_setattr": 274, "seccomp": 277, "getrandom": 278, "memfd_create": 279, "bpf": 280,
    "userfaultfd": 282, "membarrier": 283, "preadv2": 286, "rseq": 293, "kexec_file_load": 294,
}  # fmt: skip
NUMBERS = {"x86_64": _X86_64 | _COMMON, "aarch64": _AARCH64 | _COMMON}

# Calls that reach other processes, the kernel's configuration, a network or a new namespace. Also
# changes of owners and attributes: if the node is root, a candidate owns the host's device nodes,
# which are bound from /dev. Also inotify, asynchronous I/O and message queues: they use pools that
# the user's or the machine's programs share, such as a database that fails if a pool is empty.
REFUSED = frozenset({
    "io_uring_setup", "io_uring_enter", "io_uring_register", "open_tree", "move_mount", "fsopen",
    "fsconfig", "fsmount", "fspick", "pidfd_open", "pidfd_getfd", "process_madvise",
    "mount_setattr", "quotactl_fd", "memfd_secret", "process_mrelease", "fchmodat2", "statmount",
    "listmount", "setxattrat", "removexattrat", "open_tree_attr", "file_setattr", "listns",
    "lsm_set_self_attr", "socket", "socketpair", "ptrace", "syslog", "personality", "modify_ldt",
    "pivot_root", "adjtimex", "chroot", "acct", "settimeofday", "mount", "umount2", "swapon",
    "swapoff", "reboot", "sethostname", "setdomainname", "iopl", "ioperm", "init_module",
    "delete_module", "quotactl", "clock_settime", "mbind", "set_mempolicy",
    "set_mempolicy_home_node", "kexec_load", "add_key", "request_key", "keyctl", "migrate_pages",
    "unshare", "move_pages", "perf_event_open", "fanotify_init", "shmget", "semget", "msgget",
    "vmsplice", "chmod", "fchmod", "chown", "fchown", "lchown", "fchownat", "fchmodat",
    "setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr",
    "name_to_handle_at", "open_by_handle_at", "clock_adjtime", "setns", "process_vm_readv",
    "process_vm_writev", "kcmp", "finit_module", "kexec_file_load", "bpf", "userfaultfd",
    "io_setup", "mq_open", "inotify_init", "inotify_init1",
})  # fmt: skip
# The cached pages of a shared file outlive a process, so no candidate may change or query them.
# No process's size includes a memory file that is not mapped, so those are refused too.
REFUSED_TO_CANDIDATES = frozenset(
    {"mincore", "readahead", "fadvise64", "preadv2", "cachestat", "memfd_create"}
)
# Calls that name a clock. Some clocks show the processor time that another process has used.
OF_CLOCKS = frozenset({"clock_gettime", "clock_getres", "clock_nanosleep", "timer_create"})
# Times of a file could carry a message: any process may set those of /dev/null, which outlives it.
FILE_TIMES = frozenset({"utime", "utimes", "futimesat", "utimensat"})
# An existing socket must not bind, connect, or enlarge its buffers, which are not counted.
NAMES_OF_SOCKETS = frozenset({"connect", "bind", "listen", "accept", "accept4", "setsockopt"})
# Through a pair of sockets, a process could send a descriptor to itself and close it. The watchdog
# then cannot count its memory, because the descriptor is in no table.
SENDING_DESCRIPTORS = frozenset({"sendmsg", "sendmmsg"})
RESTRICTIONS = frozenset(
    {"seccomp", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"}
)
# CPU time is measured per process, so a token-budget run stays one process on its processor. The
# watchdog sees only mapped memory, so a run must not store data elsewhere, for example in a pipe.
# Locks and shared futexes can signal to other processes through a shared file. The load average
# (sysinfo) outlives a process.
REFUSED_TO_SINGLE = frozenset(
    {"fork", "vfork", "sched_setaffinity", "flock", "sysinfo"}
    | {"pipe", "pipe2", "futex_waitv", "futex_wake", "futex_wait", "futex_requeue"}
)
OF_A_CARD = frozenset({"memfd_create", "pipe", "pipe2"})
# CUDA listens on an abstract socket (`cuda-uvmfd-…`) for processes that share its memory, and does
# not start (error 304) if it cannot. Nobody connects to it: `connect` and `accept` are refused.
OF_A_CARDS_SOCKET = frozenset({"bind", "listen", "connect"})
# Old Landlock does not cover truncate, and changing other processes' priorities needs no file.
REFUSED_TO_CONFINED = frozenset(
    {"truncate", "setpriority", "sched_setparam", "sched_setscheduler", "ioprio_set"}
    | {"sched_setattr"}
)

# What an ordinary program needs and a candidate does not (`seccomp.networked_program`).
OF_PROGRAMS = frozenset({"socket", "socketpair", "inotify_init", "inotify_init1", "pidfd_open"})
MODES = frozenset(
    {"chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat"}
)
ATTRIBUTES = frozenset(
    {"setxattr", "lsetxattr", "fsetxattr", "setxattrat"}
    | {"removexattr", "lremovexattr", "fremovexattr", "removexattrat"}
)

# The calls of a process that scores text: compute, wait, use its socket. Not reading, because it
# updates a file's access time. No new threads, because they advance a visible counter of pids.
SCORING = frozenset({
    "write", "writev", "close", "close_range", "dup", "dup2", "dup3", "fstat", "lseek", "poll",
    "ppoll", "select", "pselect6", "epoll_wait", "epoll_pwait", "ioctl", "fcntl",
    "mprotect", "munmap", "mremap", "brk", "futex", "exit", "exit_group",
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "tgkill", "restart_syscall",
    "sched_yield", "sched_getaffinity", "sched_getparam", "sched_getscheduler", "getpid", "gettid",
    "getppid", "getuid", "geteuid", "getgid", "getegid", "getrusage", "getrlimit", "prlimit64",
    "times", "time", "uname", "gettimeofday", "clock_gettime", "clock_getres", "clock_nanosleep",
    "nanosleep", "getrandom", "getcpu", "membarrier", "rseq", "set_robust_list",
    "set_tid_address", "prctl", "arch_prctl", "recvfrom", "recvmsg", "sendto", "sendmsg",
    "shutdown",
})  # fmt: skip
SCORING_ON_A_CARD = frozenset({
    "read", "readv", "pread64", "clone", "eventfd2", "epoll_create1", "epoll_ctl", "pipe2",
    "mlock", "munlock", "msync", "sched_setaffinity", "memfd_create",
})  # fmt: skip


def numbers(names: Iterable[str], machine: str) -> list[int]:
    """Return the numbers of some calls on an architecture, in order."""
    table = NUMBERS[machine]
    return sorted(table[name] for name in names if name in table)
