"""One line opened for writing: keys, store, line writer and journal.

The caller holds the home's lock, so there is one writer.
"""

import contextlib
import logging
import signal
from collections.abc import Iterator
from dataclasses import dataclass

from node.home.clock import clock_ms
from node.home.config import Config
from node.home.home import Home
from node.home.keyfile import NodeKeys, identity_of, load_keys
from node.line.line_writer import LineWriter
from node.line.open_task import Subject
from node.line.splits import random_seed
from node.store.blobs import Blobs
from node.store.intake import Quotas
from node.store.journal import Journal
from node.store.store import Store
from protocol.errors import ArnodeError
from protocol.manifest import TaskManifest
from protocol.source import Source
from trainer.cards.cards import probe_devices

_log = logging.getLogger("node")


@dataclass(frozen=True, slots=True, kw_only=True)
class LineResources:
    """One line opened for writing records, without what measuring needs."""

    keys: NodeKeys
    store: Store
    line_writer: LineWriter
    journal: Journal

    @classmethod
    def of(cls, home: Home, config: Config, store: Store, subject: Subject) -> "LineResources":
        """Open the line of a task on a device; create keys if there are none."""
        keys = load_keys(home)
        blobs = Blobs(home.blobs)
        blobs.remove_leftovers()
        line_writer = LineWriter(
            store=store,
            blobs=blobs,
            identity=identity_of(keys, config),
            subject=subject,
            clock_ms=clock_ms,
            random_seed=random_seed,
        )
        journal = Journal(home, store, blobs, line_writer.key)
        return cls(keys=keys, store=store, line_writer=line_writer, journal=journal)

    def keep_journal(self) -> None:
        """Update the journal from the store. After an error the store still has every result."""
        # Mask Ctrl-C for the git process, which inherits the mask: it is meant for the node.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.journal.catch_up()
        except ArnodeError as fault:
            _log.warning("the journal was not updated: %s (%s)", fault.message, fault.hint)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextlib.contextmanager
def open_line(
    home: Home, config: Config, manifest: TaskManifest, baseline: Source | None = None
) -> Iterator[LineResources]:
    """Open the line of a task while no node runs, holding the home's lock.

    Without `baseline`, the task's baseline must be stored in this home.
    """
    with home.lock(), Store.open(home, quotas=Quotas(total=config.max_records)) as store:
        baseline = baseline or Blobs(home.blobs).get_source(manifest.baseline_tree)
        device = probe_devices(manifest, config.gpus)[0]
        yield LineResources.of(home, config, store, Subject.on(device, manifest, baseline))
