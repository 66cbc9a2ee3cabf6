"""Plugins that come with arnode: importers of other systems' tasks and histories, and exporters.

Like third-party plugins, each is found by its entry point (`pyproject.toml`) and imports only the
core's public modules.
"""
