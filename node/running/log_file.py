"""The log of a working node: a file in its home, whose last entry says why the node ended."""

import contextlib
import logging
import sys
from collections.abc import Iterator

from node.home.faults import explaining_faults
from node.home.home import Home
from protocol.errors import ArnodeError

_log = logging.getLogger("node")
_LOG_LIMIT_BYTES = 5_000_000


@contextlib.contextmanager
def logging_to(home: Home, *, to_terminal: bool) -> Iterator[None]:
    """Log to the home's file, and with `to_terminal` to standard error; log how the node ended."""
    from logging.handlers import RotatingFileHandler

    logging.raiseExceptions = False  # a full disk is no reason for tracebacks
    formatter = logging.Formatter("%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S")
    with explaining_faults(home.log):
        handlers: list[logging.Handler] = [
            RotatingFileHandler(home.log, maxBytes=_LOG_LIMIT_BYTES, backupCount=1)
        ]
    if to_terminal:
        handlers.append(logging.StreamHandler(sys.stderr))
    for handler in handlers:
        handler.setFormatter(formatter)
        _log.addHandler(handler)
    _log.setLevel(logging.INFO)
    try:
        yield
    except ArnodeError as fault:  # the caller reports it in the terminal
        _note_end(handlers[0], f"ended: {fault.message} ({fault.hint})")
        raise
    except Exception:
        _note_end(handlers[0], "ended by an internal error", with_traceback=True)
        raise
    finally:
        for handler in handlers:
            _log.removeHandler(handler)
            handler.close()


def _note_end(handler: logging.Handler, text: str, *, with_traceback: bool = False) -> None:
    """Write why the node ended to its log file only."""
    fault = sys.exc_info() if with_traceback else None
    handler.handle(_log.makeRecord(_log.name, logging.ERROR, "", 0, text, (), fault))
