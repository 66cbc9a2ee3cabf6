"""Fixtures of the node's tests, for plugins that a node uses."""

from tests.node.conftest import home, night, notebook, store, written_night

__all__ = ["home", "night", "notebook", "store", "written_night"]
