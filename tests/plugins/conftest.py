"""What the tests of a node have, for plugins that are used by one."""

from tests.node.conftest import home, night, notebook, store, written_night

__all__ = ["home", "night", "notebook", "store", "written_night"]
