"""When somebody who had nothing to say is asked again, and whether people know why."""

from collections.abc import Callable

from agent.proposal import Silence


class Resting:
    """The rest of one who is asked now and then: `clock_s` counts seconds from anywhere."""

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._until_s = float("-inf")
        self._told = ""

    @property
    def is_on(self) -> bool:
        """Whether it is not to be asked now."""
        return self._clock_s() < self._until_s

    @property
    def why(self) -> str:
        """Why it is not to be asked now, "" if it may be."""
        return self._told if self.is_on else ""

    def begin(self, silence: Silence) -> bool:
        """Rest for as long as a silence asks; return whether its reason is news."""
        self._until_s = self._clock_s() + silence.retry_s
        is_news = silence.reason != self._told
        self._told = silence.reason
        return is_news

    def end(self) -> bool:
        """Take note that it had something; return whether people were told that it had nothing."""
        was_told, self._told = bool(self._told), ""
        return was_told
