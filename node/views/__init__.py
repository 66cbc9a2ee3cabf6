"""What people and scripts are shown: live view, status, staircase, standing, tables."""
