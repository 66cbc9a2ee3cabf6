"""Who writes proposals, and what a language model may cost: the node's side of the agent."""
