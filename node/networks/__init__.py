"""The networks that a node knows, invites to them, joining, and whether to speak at all."""
