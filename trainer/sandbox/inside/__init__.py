"""What every sandbox shows of arnode, whatever its task: frames, filters, a test of the walls."""
