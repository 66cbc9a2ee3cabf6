"""From rung to rung: what was found on one task is tried on the next, and what that taught."""
