"""What happened on this node in a span of time: gathered from the store, worded, drawn."""
