"""Open homes in tests, from which documents are made."""

from node.home.home import Home
from node.reporting.open_home import BoardCache, OpenHome
from node.store.blobs import Blobs
from node.store.store import Store


def open_home_of(home: Home, store: Store) -> OpenHome:
    """Return a home to read documents from, in the network `main`."""
    return OpenHome(
        home=home, net="main", store=store, blobs=Blobs(home.blobs), boards=BoardCache()
    )
