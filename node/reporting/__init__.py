"""What this node reports: gathered from the store, worded once, rendered for people and scripts."""
