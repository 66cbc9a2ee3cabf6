"""Processes beside the node: started, spoken to in frames, watched, ended with their parent."""
