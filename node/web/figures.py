"""What Prometheus is told of a home (its text format 0.0.4)."""

from collections.abc import Iterator

from node.reporting.now import NowDocument
from node.store.store import Store
from protocol.units import NANO


def figures(store: Store, now: NowDocument) -> Iterator[str]:
    """Yield lines: what is in the store, and what a running node did in this session."""
    running = now["now"]
    values: dict[str, tuple[str, float]] = {
        "records": ("Records kept.", store.records.count()),
        "running": ("Whether a node runs.", int(running is not None)),
    }
    if running is not None:
        values |= {
            "runs_done": ("Runs that ended in this session.", running["runs_done"]),
            "runs_per_hour": ("The same an hour.", running["runs_per_hour"]),
            "counted_share": ("Share of the time that runs counted.", running["counted_share"]),
            "paused": ("Whether it is paused.", int(running["paused"])),
        }
    for name, (what, value) in values.items():
        yield f"# HELP arnode_{name} {what}\n# TYPE arnode_{name} gauge\narnode_{name} {value:g}\n"
    yield "# HELP arnode_experiments Experiments, by what was decided.\n"
    yield "# TYPE arnode_experiments gauge\n"
    for line in store.jobs.lines():
        manifest = store.records.manifest(line.task)
        where = f'task="{manifest.name if manifest else ""}",class="{line.hardware_class}"'
        for decision, count in store.experiments.tried(line.key).items():
            yield f'arnode_experiments{{{where},decision="{decision}"}} {count}\n'
        if line.bank_nano:
            level = sum(line.bank_nano) / len(line.bank_nano) / NANO
            yield f"arnode_working_metric{{{where}}} {level:g}\n"
