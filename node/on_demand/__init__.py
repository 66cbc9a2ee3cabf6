"""What a command measures by itself, without a running node or beside it."""
