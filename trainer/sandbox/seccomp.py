"""The system calls that a candidate may not make, as classic BPF programs.

bubblewrap loads the program just before it starts the command, so it applies to every thread of the
sandbox for good. It refuses calls that reach other processes, the kernel's configuration, a network
or a new namespace. It also refuses calls that leave a trace for a later process: `fcntl`, `ioctl`
and `madvise` are allowed only with the arguments listed here. clone3 returns ENOSYS so that libc
falls back to clone, whose flags a filter can read. Source: seccomp(2), linux/filter.h.
"""

import platform

from trainer.sandbox import bpf, calls
from trainer.sandbox.calls import NUMBERS, numbers

_NAMESPACE_FLAGS = 0x7E020000  # every CLONE_NEW* that clone(2) accepts
_CLONE_THREAD = 0x00010000
_PR_SET_PDEATHSIG = 1  # makes a program end with the node
_CLONE_PIDFD = 0x00001000  # its inode number counts all processes of the machine
_SCHED_CORE = 62  # stops other programs from using the core's second hardware thread
_TIOCSTI = 0x5412  # pushes bytes into the terminal's input
_O_TRUNC = 0o1000
_TRUNCATION_ABI = 3  # the first version of Landlock with a right for truncation
_SETOWN, _SETSIG, _SETOWN_EX = 8, 10, 15  # signals for input, to any process
_SETLEASE, _NOTIFY = 1024, 1026  # a lease delays other programs that write that host file

# prctl(2) operations that name, describe or restrict the process itself: GET_DUMPABLE, SET_NAME,
# GET_NAME, GET_SECCOMP, CAPBSET_READ, SET_ and GET_TSC, TIMERSLACK, NO_NEW_PRIVS, GET_TID_ADDRESS,
# SET_ and GET_THP_DISABLE, CAP_AMBIENT, SVE, SME and PAC of aarch64, SET_VMA, GET_AUXV. Left out
# are those that hide memory from the watchdog, outlive the node, count events or take kernel
# memory.
_PRCTL_ALLOWED = (
    *(3, 15, 16, 21, 23, 25, 26, 29, 30, 38, 39, 40, 41, 42, 47),
    *(50, 51, 54, 55, 56, 63, 64, 0x53564D41, 0x41555856),
)
_CLOCKS = ((0xFFFFFFF0, 0),)  # the system's and the caller's own
# SO_DEBUG to SO_ERROR, buffers, KEEPALIVE, PRIORITY, LINGER, timeouts, ACCEPTCONN, PROTOCOL and
# DOMAIN; TCP_NODELAY and TCP_INFO, IPV6_V6ONLY. Not SO_COOKIE and SO_PEERPIDFD: counters.
_SOCKET_OPTIONS = (1, 2, 3, 4, 7, 8, 9, 11, 12, 13, 20, 21, 26, 30, 38, 39)

# F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC: none affects the file itself.
_FCNTL_ALLOWED = (0, 1, 2, 3, 4, 1030)
_LOCKS = (5, 6, 7, 36, 37, 38)  # F_GETLK, F_SETLK(W), and those of open file descriptions
_SEALS = (1033, 1034)  # F_ADD_SEALS, F_GET_SEALS: of memory that may be shared
# FIONCLEX, FIOCLEX, FIONBIO, FIONREAD; TCGETS, TCGETS2, TIOCGWINSZ, which detect a terminal.
_IOCTL_ALLOWED = (0x5450, 0x5451, 0x5421, 0x541B, 0x5401, 0x802C542A, 0x5413)
# NVIDIA's driver: commands of type F, UVM's plain numbers, and UVM_INITIALIZE, UVM_DEINITIALIZE.
_IOCTL_OF_A_CARD = ((0xFF00, 0x4600), (0xFFFFFF00, 0), 0x30000001, 0x30000002)
# NORMAL, RANDOM, SEQUENTIAL, WILLNEED, DONTNEED, FREE, (NO)HUGEPAGE, what a fork or a dump sees,
# POPULATE_READ and _WRITE, GUARD_INSTALL and _REMOVE. Not those that evict or collapse pages.
_MADVISE_ALLOWED = (0, 1, 2, 3, 4, 8, 10, 11, 14, 15, 16, 17, 18, 19, 22, 23, 102, 103)
# While text is scored: without those that read a file ahead or let the kernel merge its pages.
_MADVISE_IN_SCORING = (0, 1, 2, 4, 8, 10, 11, 15, 16, 17, 18, 19, 102, 103)
_SHARED, _SHARED_ANONYMOUS, _ANONYMOUS = 0x01, 0x21, ((0x20, 0x20),)
# FUTEX_PRIVATE_FLAG; FUTEX_WAIT and FUTEX_WAIT_BITSET, which wait for a thread's end.
_FUTEX_ALLOWED = ((128, 128), (0x7F, 0), (0x7F, 9))

_FAMILIES = (2, 10, 16)  # AF_INET, AF_INET6, AF_NETLINK: the last lists one's own addresses
_TYPE_MASK, _DATAGRAM = 0xF, 2
# Sockets for a program in a private network, or with a card (`seccomp_program`).
_UNIX, _INTERNET, _STREAM, _PACKETS = (1,), (2, 10), ((_TYPE_MASK, 1),), ((_TYPE_MASK, 5),)
_TCP = (0, 6)  # 0 is the default protocol of a stream, 6 is TCP by number
_TCP_ULP = 31  # loads optional parts of the kernel


def seccomp_program(
    *,
    single_process: bool,
    is_confined: bool = False,
    has_card: bool = False,
    has_loopback: bool = False,
    has_pairs: bool = False,
    weighs_memory: bool = False,
    restricts_later: bool = False,
    machine: str | None = None,
) -> bytes:
    """Return the filter for this machine.

    `single_process` refuses new processes (threads stay allowed) and changes of processor affinity.
    `is_confined` refuses calls that namespaces would make harmless (tiers container and partial).
    `has_card` allows NVIDIA's driver its shared memory with the card, and a socket to listen on.
    `has_loopback` allows TCP, and is only for a private network namespace. `has_pairs` allows pairs
    of connected sockets (`_pairs`). `weighs_memory`, with `single_process`, refuses all shared
    mappings of files. `restricts_later` allows the harness the calls that give up more rights;
    another filter, loaded before a candidate's code runs, refuses them. Raises SafetyError on an
    architecture without a table.
    """
    machine = machine or platform.machine()
    program = _to_all(machine)
    program += _allowed_parts(machine, single_process=single_process, has_card=has_card)
    refused = calls.REFUSED | calls.REFUSED_TO_CANDIDATES
    if has_loopback or has_card:
        program += _sockets_inside(machine, has_loopback=has_loopback, has_card=has_card)
        refused -= {"socket"}
    if has_loopback:
        program += bpf.check_argument(NUMBERS[machine]["setsockopt"], 2, _TCP_ULP)
    else:
        program += bpf.allow_null(NUMBERS[machine]["sendto"], 4)  # only to the connected peer
        refused |= calls.NAMES_OF_SOCKETS
    if has_loopback or has_pairs:
        program += _pairs(machine)
        refused -= {"socketpair"}
    if has_pairs and not has_loopback:
        refused |= calls.SENDING_DESCRIPTORS
    if has_card and not has_loopback:
        refused -= calls.OF_A_CARDS_SOCKET
        program += bpf.answer(
            NUMBERS[machine]["connect"], bpf.ENOENT
        )  # as if there is no MPS server
    if single_process:
        refused |= calls.REFUSED_TO_SINGLE
        program += _one_process(machine, has_card=has_card, weighs_memory=weighs_memory)
    if has_card:
        refused -= calls.OF_A_CARD
    if is_confined:
        refused |= calls.REFUSED_TO_CONFINED
        program += _own_limits(machine)
    if not restricts_later:
        refused |= calls.RESTRICTIONS
    for number in numbers(refused, machine):
        program += bpf.answer(number, bpf.EPERM)
    program += _file_times(machine)
    return b"".join([*program, bpf.statement(bpf.RETURN, bpf.ALLOW)])


def last_program(*, keeps_core: bool = False, machine: str | None = None) -> bytes:
    """Return a filter, to load on top of another, that refuses any further restriction.

    With `keeps_core` it also refuses to change the cores that a process runs on.
    """
    machine = machine or platform.machine()
    program = bpf.opening(machine)
    refused = calls.RESTRICTIONS | ({"sched_setaffinity"} if keeps_core else set())
    for number in numbers(refused, machine):
        program += bpf.answer(number, bpf.EPERM)
    return b"".join([*program, bpf.statement(bpf.RETURN, bpf.ALLOW)])


def gate_program(*, has_card: bool = False, machine: str | None = None) -> bytes:
    """Return the filter of a process that scores text (`trainer.sandbox.syscall_gate`).

    The filter asks its listener about every call except those that compute, wait, or use the
    process's socket. So it asks about path look-ups, reads of files, and calls that future kernels
    add. It refuses to install another listener, which could let such calls through. It is loaded on
    top of `seccomp_program`.
    """
    machine = machine or platform.machine()
    program = bpf.opening(machine)
    for number in numbers(calls.RESTRICTIONS, machine):
        program += bpf.answer(number, bpf.EPERM)
    program += bpf.allow_only(NUMBERS[machine]["madvise"], 2, _MADVISE_IN_SCORING, refusal=bpf.ASK)
    allowed = calls.SCORING | {"madvise", "mmap"}
    if has_card:
        allowed |= calls.SCORING_ON_A_CARD
    else:  # only memory, no file
        program += bpf.allow_only(NUMBERS[machine]["mmap"], 3, _ANONYMOUS, refusal=bpf.ASK)
    for number in numbers(allowed, machine):
        program += bpf.answer(number, bpf.ALLOW)
    return b"".join([*program, bpf.statement(bpf.RETURN, bpf.ASK)])


def networked_program(
    *, is_confined: bool, is_networked: bool = True, machine: str | None = None
) -> bytes:
    """Return the filter of a program that may use the network.

    It is for an agent sandbox (`trainer.agent_sandbox.agent_run`) or a helper process
    (`trainer.sandbox.masked_home`). It refuses Unix sockets (AF_UNIX), because D-Bus, systemd,
    Docker and key agents listen on them, and act outside any sandbox. Without `is_networked` it
    refuses every new socket. `is_confined` refuses calls that namespaces would make harmless.
    Changes of modes and owners, which Landlock does not cover, then seem to succeed, because
    programs give up if they fail. Raises SafetyError on an architecture without a table.
    """
    machine = machine or platform.machine()
    program = [*_to_all(machine), *_sockets(machine)]
    for command in (_SETOWN, _SETSIG, _SETOWN_EX, _SETLEASE, _NOTIFY):
        program += bpf.check_argument(NUMBERS[machine]["fcntl"], 1, command)
    program += bpf.check_argument(NUMBERS[machine]["ioctl"], 1, _TIOCSTI)
    refused = calls.REFUSED - calls.OF_PROGRAMS - calls.MODES - calls.ATTRIBUTES
    if not is_networked:
        refused |= {"socket"}
    if is_confined:
        refused |= calls.ATTRIBUTES | calls.REFUSED_TO_CONFINED
        for number in numbers(calls.MODES, machine):
            program += bpf.answer(number, bpf.DONE)
        program += _own_limits(machine)
        program += bpf.check_argument(
            NUMBERS[machine]["prctl"], 0, _PR_SET_PDEATHSIG, refusal=bpf.DONE
        )
    for number in numbers(refused, machine):
        program += bpf.answer(number, bpf.EPERM)
    return b"".join([*program, bpf.statement(bpf.RETURN, bpf.ALLOW)])


def unaltered_program(landlock_abi: int, *, machine: str | None = None) -> bytes:
    """Return a filter that protects files from changes that this version of Landlock permits.

    No version refuses to set a file's times. The first two let a process empty a file that it opens
    for reading. With these two, `openat2` returns ENOSYS, because a filter cannot read its flags.
    """
    machine = machine or platform.machine()
    program, number = bpf.opening(machine), NUMBERS[machine]
    for call in numbers(calls.FILE_TIMES, machine):
        program += bpf.answer(call, bpf.EPERM)
    if landlock_abi < _TRUNCATION_ABI:
        for name, flags in (("open", 1), ("openat", 2)):
            if name in number:
                program += bpf.check_argument(number[name], flags, _O_TRUNC, test=bpf.JUMP_ANY_BIT)
        program += bpf.answer(number["openat2"], bpf.ENOSYS)
    return b"".join([*program, bpf.statement(bpf.RETURN, bpf.ALLOW)])


def _to_all(machine: str) -> list[bytes]:
    """Return the first rules of every filter: refuse new namespaces and core scheduling."""
    opening = bpf.opening(machine)
    number = NUMBERS[machine]
    return [
        *opening,
        *bpf.answer(number["clone3"], bpf.ENOSYS),
        *bpf.check_argument(number["clone"], 0, _NAMESPACE_FLAGS, test=bpf.JUMP_ANY_BIT),
        *bpf.check_argument(number["prctl"], 0, _SCHED_CORE),
    ]


def _allowed_parts(machine: str, *, single_process: bool, has_card: bool) -> list[bytes]:
    """Return rules that allow calls such as fcntl only with arguments that leave no trace."""
    number = NUMBERS[machine]
    commands = _FCNTL_ALLOWED + (() if single_process else _LOCKS)
    commands += _SEALS if has_card or not single_process else ()
    return [
        *bpf.allow_only(number["fcntl"], 1, commands),
        *bpf.allow_only(
            number["ioctl"], 1, _IOCTL_ALLOWED + (_IOCTL_OF_A_CARD if has_card else ())
        ),
        *bpf.allow_only(number["madvise"], 2, _MADVISE_ALLOWED),
        *bpf.allow_only(number["prctl"], 0, _PRCTL_ALLOWED),
        *bpf.allow_only(number["getsockopt"], 2, _SOCKET_OPTIONS),
        *bpf.check_argument(number["clone"], 0, _CLONE_PIDFD, test=bpf.JUMP_ANY_BIT),
        *(
            instruction
            for clock in numbers(calls.OF_CLOCKS, machine)
            for instruction in bpf.allow_only(clock, 0, _CLOCKS)
        ),
    ]


def _one_process(machine: str, *, has_card: bool, weighs_memory: bool) -> list[bytes]:
    """Return rules against new processes, hidden memory, and waking other processes' threads.

    A shared mapping can change a file without a write call, and only write calls are counted.
    """
    shared = _SHARED if weighs_memory else _SHARED_ANONYMOUS
    number = NUMBERS[machine]
    threads = bpf.check_argument(
        number["clone"], 0, _CLONE_THREAD, test=bpf.JUMP_ANY_BIT, refuse_if=False
    )
    if has_card:
        return threads
    return [
        *threads,
        *bpf.allow_only(number["futex"], 1, _FUTEX_ALLOWED),
        bpf.jump(bpf.JUMP_EQUAL, number["mmap"], 0, 5),
        bpf.statement(bpf.LOAD_WORD, bpf.ARGUMENTS[3]),
        bpf.statement(bpf.AND, shared),
        bpf.jump(bpf.JUMP_EQUAL, shared, 0, 1),
        bpf.statement(bpf.RETURN, bpf.EPERM),
        bpf.statement(bpf.LOAD_WORD, bpf.NUMBER),
    ]


def _file_times(machine: str) -> list[bytes]:
    """Return rules against setting a file's times.

    For an open file the call seems to succeed, because programs give up if it fails. For a name it
    fails: otherwise Python's `Path.touch` would assume that the file exists.
    """
    of_open_files = NUMBERS[machine]["utimensat"]
    program = [*bpf.allow_null(of_open_files, 1), *bpf.answer(of_open_files, bpf.DONE)]
    for number in numbers(calls.FILE_TIMES - {"utimensat"}, machine):
        program += bpf.answer(number, bpf.EPERM)
    return program


def _own_limits(machine: str) -> list[bytes]:
    """Return a rule that allows prlimit64 only for the calling process, which is pid 0."""
    return bpf.check_argument(
        NUMBERS[machine]["prlimit64"], 0, bpf.EVERY_BIT, test=bpf.JUMP_ANY_BIT
    )


def _sockets(machine: str) -> list[bytes]:
    """Return rules that allow only internet sockets, and no pairs of datagram sockets.

    A datagram socket of a pair can also send to other Unix sockets.
    """
    return [
        *bpf.allow_only(NUMBERS[machine]["socket"], 0, _FAMILIES),
        bpf.jump(bpf.JUMP_EQUAL, NUMBERS[machine]["socketpair"], 0, 5),
        bpf.statement(bpf.LOAD_WORD, bpf.ARGUMENTS[1]),
        bpf.statement(bpf.AND, _TYPE_MASK),
        bpf.jump(bpf.JUMP_EQUAL, _DATAGRAM, 0, 1),
        bpf.statement(bpf.RETURN, bpf.EPERM),
        bpf.statement(bpf.LOAD_WORD, bpf.NUMBER),
    ]


def _sockets_inside(machine: str, *, has_loopback: bool, has_card: bool) -> list[bytes]:
    """Return rules that allow only TCP sockets and, with a card, Unix packet sockets."""
    number = NUMBERS[machine]
    families = (_INTERNET if has_loopback else ()) + (_UNIX if has_card else ())
    kinds = (_STREAM if has_loopback else ()) + (_PACKETS if has_card else ())
    return [
        *bpf.allow_only(number["socket"], 0, families),
        *bpf.allow_only(number["socket"], 1, kinds),
        *bpf.allow_only(number["socket"], 2, _TCP),
    ]


def _pairs(machine: str) -> list[bytes]:
    """Return rules that allow pairs of connected Unix sockets: streams and ordered packets.

    Event loops wake themselves up with a pair (asyncio), Node.js gives a pair to each process that
    it starts, and Rust uses a pair to learn if a process started. Both ends belong to the sandbox,
    and these types can send nowhere else. Datagram sockets could, so they stay refused.
    """
    number = NUMBERS[machine]
    return [
        *bpf.allow_only(number["socketpair"], 0, _UNIX),
        *bpf.allow_only(number["socketpair"], 1, (*_STREAM, *_PACKETS)),
    ]
