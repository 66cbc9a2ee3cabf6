"""What is shown in a terminal: plain text, progress, durations; and what interrupts it."""
