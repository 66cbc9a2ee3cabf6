"""Signals that end a command: SIGTERM and SIGHUP act like Ctrl-C.

It is imported first, so that an interrupt of a later import is reported like any other.
"""

import signal

_ENDING = (signal.SIGTERM, signal.SIGHUP)


def install_signal_handlers() -> None:
    """Treat SIGTERM and SIGHUP like Ctrl-C, so that unfinished work is cleaned up."""
    for number in _ENDING:
        if signal.getsignal(number) == signal.SIG_DFL:  # under `nohup` SIGHUP stays ignored
            signal.signal(number, _interrupt)


def remove_signal_handlers() -> None:
    """Let the signals end the process at once, since nothing is left to clean up or report."""
    for number in (signal.SIGINT, *_ENDING):
        if signal.getsignal(number) not in (signal.SIG_IGN, signal.SIG_DFL, None):
            signal.signal(number, signal.SIG_DFL)


def _interrupt(*_: object) -> None:
    # A shell's background job ignores SIGINT. It must still end at SIGTERM and SIGHUP.
    if signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, signal.SIG_DFL):
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)
