"""How long cleaning up may take when the other side does not help."""

from collections.abc import Iterator
from contextlib import contextmanager

import trio


@contextmanager
def shielded_for(timeout_s: float) -> Iterator[None]:
    """Let the body go on for a while after a cancellation, and for no longer in any case."""
    with trio.move_on_after(timeout_s) as scope:
        scope.shield = True
        yield
