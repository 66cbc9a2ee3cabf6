"""Terminal output: plain text, progress, durations and wording; and the handling of interrupts."""
