"""Checks of the machine (doctor), and checks and repair of the home (fsck)."""
