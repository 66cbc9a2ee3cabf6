"""What stands between a stranger's source and this node's head, and who wrote its lines."""
