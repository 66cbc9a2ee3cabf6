"""The proposers of this node, what they are shown, and what models and coding agents may cost."""
