"""Plugins that come with arnode: importers of other systems' tasks and histories, and exporters.

Each is found by its entry point (`pyproject.toml`), as one from elsewhere is, and imports the
core's public modules alone.
"""
