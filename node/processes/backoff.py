"""How long to wait before something that died is started again. Pure."""

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class Backoff:
    """Doubles from `first_s` to `longest_s`; a life of `healthy_s` begins anew."""

    first_s: float = 0.5
    longest_s: float = 60.0
    healthy_s: float = 60.0
    _next_s: float = 0.0

    def wait_s(self, lived_s: float) -> float:
        """Return the seconds to wait after a life of so many seconds."""
        if self._next_s == 0 or lived_s >= self.healthy_s:
            self._next_s = self.first_s
        wait_s = self._next_s
        self._next_s = min(2 * wait_s, self.longest_s)
        return wait_s
