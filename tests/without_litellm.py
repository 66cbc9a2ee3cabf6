"""The worker as it is where litellm was not installed."""

import sys

from agent.worker.program import main

# `import litellm` finds None and raises what it raises where there is nothing.
sys.modules["litellm"] = None  # type: ignore[assignment]

__all__ = ["main"]
