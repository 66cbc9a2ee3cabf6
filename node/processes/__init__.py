"""Child processes of the node: start, framed messages, supervision, and ending with the node."""
