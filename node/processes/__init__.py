"""Child processes of the node: start, framed messages, supervision, end with their parent."""
