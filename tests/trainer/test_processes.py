"""/proc reports memory of processes that a sandbox's watchdog does not see in their size."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from trainer.host.processes import pipes_kib, written_bytes

PAIR_KIB = 2 * 208


def test_what_a_pair_of_sockets_can_hold_is_known() -> None:
    channel = socket.socketpair()  # one socket is left out: a sandbox's channel
    with channel[0], channel[1]:
        before = pipes_kib([os.getpid()])
        one, other = socket.socketpair()
        with one, other:
            assert pipes_kib([os.getpid()]) - before == PAIR_KIB
            filled = 0
            one.setblocking(False)
            try:
                while True:
                    filled += one.send(bytes(4096))
            except BlockingIOError:
                assert filled <= PAIR_KIB << 10
        assert pipes_kib([os.getpid()]) == before


def test_a_process_that_is_gone_holds_and_wrote_nothing() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert pipes_kib([ended.pid]) == 0
    assert written_bytes([ended.pid]) == 0


def test_what_was_written_counts_though_it_is_deleted(tmp_path: Path) -> None:
    before = written_bytes([os.getpid()])
    path = tmp_path / "kept"
    path.write_bytes(bytes(1 << 20))
    path.unlink()
    assert 1 << 20 <= written_bytes([os.getpid()]) - before < (1 << 20) + 4096


def test_a_child_that_was_waited_for_counts_with_its_parent(tmp_path: Path) -> None:
    before = written_bytes([os.getpid()])
    script = f"open({str(tmp_path / 'kept')!r}, 'wb').write(bytes(1 << 20))"
    subprocess.run([sys.executable, "-c", script], check=True)
    assert written_bytes([os.getpid()]) - before >= 1 << 20
