"""The question after the first Ctrl-C in a terminal: verify kept patches before stopping?"""

import asyncio
import os
import sys
import termios
import tty
from typing import Any, Final

from node.line.branch import kept_in
from node.running.node import Node
from node.terminal.durations import span_words
from node.terminal.vocabulary import many

_ANSWER_S: Final = 30.0
_SHORT_S: Final = 300.0  # if a trial ends within this time, no answer means yes
_VERIFYING: Final = "verifying, then stopping; Ctrl-C again ends it now"


class LastTrial:
    """A question in the live view, asked once; its answer decides how the session ends.

    No run starts before the answer, which is one key. Enter, or no answer within half a minute,
    means yes if the trial takes less than five minutes, and no otherwise.
    """

    def __init__(self, node: Node) -> None:
        self.words = ""  # the question, or the state after the answer
        self._node = node
        self._means_yes = False
        self._terminal: list[Any] | None = None  # its settings before the question

    def ask(self) -> bool:
        """Show the question if there are patches to verify and a terminal for the answer.

        Return True if the question is shown.
        """
        research, stdin = self._node.research, sys.stdin
        line = self._node.line_resources.line_writer.line
        trial_s = research.trial_s
        if line is None or trial_s is None or not stdin.isatty():
            return False
        if os.tcgetpgrp(stdin.fileno()) != os.getpgrp():  # in the background
            return False
        least, most = (span_words(one) for one in trial_s)
        self._means_yes = trial_s[1] < _SHORT_S
        patches = many(kept_in(self._node.line_resources.store, line.stack), "patch", "patches")
        takes = f"about {most}" if least == most else f"{least} to {most}"
        keys = "Y/n" if self._means_yes else "y/N"
        self.words = f"verify {patches} before stopping ({takes})? [{keys}]"
        self._terminal = termios.tcgetattr(stdin)
        tty.setcbreak(stdin, termios.TCSANOW)
        asyncio.get_running_loop().add_reader(stdin, self._read)
        research.hold(_ANSWER_S, lambda: self._end(is_wanted=self._means_yes))
        return True

    def _read(self) -> None:
        usual = self._means_yes
        # An empty read means that the terminal was closed.
        answers = {b"y": True, b"n": False, b"\r": usual, b"\n": usual, b"": False}
        is_wanted = answers.get(os.read(sys.stdin.fileno(), 1).lower())
        if is_wanted is not None:
            self._end(is_wanted=is_wanted)

    def _end(self, *, is_wanted: bool) -> None:
        self.close()
        self.words = _VERIFYING if is_wanted else ""
        self._node.research.interrupt(after_promotion_trial=is_wanted)

    def close(self) -> None:
        """Restore the terminal's settings."""
        if self._terminal is not None:
            asyncio.get_running_loop().remove_reader(sys.stdin)
            termios.tcsetattr(sys.stdin, termios.TCSANOW, self._terminal)
            self._terminal = None
