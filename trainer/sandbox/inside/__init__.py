"""The code of arnode that every sandbox shows, whatever its task: frames, filters, a self-test."""
