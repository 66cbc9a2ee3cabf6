"""The code of arnode that sandboxes of every task show: frames, filters, a self-test."""
