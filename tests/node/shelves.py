"""What documents are made of, of a home in a test."""

from node.home.home import Home
from node.reporting.shelves import KeptBoards, Shelves
from node.store.blobs import Blobs
from node.store.store import Store


def shelves_of(home: Home, store: Store) -> Shelves:
    """Return a home to read documents from, in the network `main`."""
    return Shelves(home=home, net="main", store=store, blobs=Blobs(home.blobs), boards=KeptBoards())
