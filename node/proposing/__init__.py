"""The proposers of this node, their prompts, and the limits on what models and agents cost."""
