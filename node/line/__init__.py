"""What one line is, knows and writes: its ledger, its kinds of job, its records."""
