"""A supply of a task's training data in sealed parts, handed out in order and then repeated.

A part that is still being loaded is awaited between runs, not during one. So every run of a task
gets the same text, no matter when it runs.
"""

import asyncio

from trainer.language_model.data import TaskData
from trainer.measuring.kind import NotThereYet
from trainer.sandbox.sealed import Sealed

_LOOKED_S = 0.5


class Supply:
    """Stores the requested parts of the data. With a budget of tokens each seed has one part."""

    def __init__(self, data: TaskData, budget_tokens: int) -> None:
        self._data = data
        self._budget_tokens = budget_tokens
        self._kept: dict[int, Sealed] = {}  # by number, or by the one seed
        self._making = asyncio.Lock()
        self._wanted = 0  # number of parts that some run asked for in vain

    @property
    def count(self) -> int:
        """The number of parts before the first one repeats."""
        if self._budget_tokens:
            return 1
        return len(self._data.training_parts) + len(self._data.coming)

    async def part(self, seed: int, number: int) -> Sealed:
        """Return a part of the training data.

        With a budget of tokens, return the seed's only part, and drop the part of the seed before.
        Raises NotThereYet if the part is still being loaded.
        """
        async with self._making:
            parts, is_complete = self._data.training_parts, self._data.is_complete
            if not is_complete and number >= len(parts) and not self._budget_tokens:
                self._wanted = max(self._wanted, number + 1)
                raise NotThereYet
            key = seed if self._budget_tokens else number % len(parts)
            if key not in self._kept:
                if self._budget_tokens:
                    self.close()
                    tokens = self._data.training_tokens(seed, self._budget_tokens + 1)
                else:
                    tokens = parts[key]
                self._kept[key] = await asyncio.to_thread(Sealed, [tokens.data])
            return self._kept[key]

    async def grown(self) -> None:
        """Wait until the parts for which `part` raised NotThereYet are loaded."""
        data = self._data
        while not data.is_complete and len(data.training_parts) < self._wanted:  # noqa: ASYNC110
            await asyncio.sleep(_LOOKED_S)  # poll: a node's thread loads them and sets no event

    async def completed(self) -> None:
        """Wait until all parts are loaded."""
        while not self._data.is_complete:  # noqa: ASYNC110
            await asyncio.sleep(_LOOKED_S)  # as above

    def close(self) -> None:
        """Release all parts. A sandbox that has one keeps it."""
        while self._kept:
            self._kept.popitem()[1].close()
