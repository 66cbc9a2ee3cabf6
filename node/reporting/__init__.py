"""This node's reports: gathered from the store, worded once, rendered for people and scripts."""
