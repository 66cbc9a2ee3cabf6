"""Hands out a task's training data in sealed parts: one after the other, and over again."""

import asyncio

from trainer.data import TaskData
from trainer.sealed import Sealed


class Supply:
    """Keeps the parts that were asked for. With a budget of tokens a seed has one of its own."""

    def __init__(self, data: TaskData, budget_tokens: int) -> None:
        self._data = data
        self._budget_tokens = budget_tokens
        self._kept: dict[int, Sealed] = {}  # by number, or by the one seed
        self._making = asyncio.Lock()

    @property
    def count(self) -> int:
        """How many parts there are before the first comes again."""
        return 1 if self._budget_tokens else len(self._data.training_parts)

    async def part(self, seed: int, number: int) -> Sealed:
        """Return a part, of no more than one run with a budget of tokens at a time."""
        key = seed if self._budget_tokens else number % self.count
        async with self._making:
            if key not in self._kept:
                if self._budget_tokens:
                    self.close()
                    tokens = self._data.training_tokens(seed, self._budget_tokens + 1)
                else:
                    tokens = self._data.training_parts[key]
                self._kept[key] = await asyncio.to_thread(Sealed, [tokens.data])
            return self._kept[key]

    def close(self) -> None:
        """Let go of all of them; a sandbox that has one keeps it."""
        while self._kept:
            self._kept.popitem()[1].close()
