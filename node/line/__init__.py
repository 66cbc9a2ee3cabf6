"""The research on one task and hardware class: its ledger, job kinds and records."""
