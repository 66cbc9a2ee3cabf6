"""Whether the machine (doctor) and the home (fsck) are whole."""
