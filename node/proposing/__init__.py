"""Who proposes on this node, and what it is told: models, coding agents, and what they may cost."""
