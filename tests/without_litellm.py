"""The model worker as it is if litellm is not installed."""

import sys

from agent.worker.program import main

# `import litellm` finds None, and raises the error of a missing module.
sys.modules["litellm"] = None  # type: ignore[assignment]

__all__ = ["main"]
