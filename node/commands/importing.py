"""`import`: records and sources that somebody gave us as a file."""

import os
import time
from pathlib import Path

import click

from node.home import Home
from node.terminal import plain, print_json
from protocol.errors import ArnodeError


@click.group("import")
def import_() -> None:
    """Take in what others made."""


@import_.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def bundle(path: Path, as_json: bool) -> None:
    """Take in the records and sources of a bundle. They stay their author's claims."""
    from node.blobs import Blobs
    from node.bundle import read_bundle
    from node.config import load_config
    from node.store import Store

    home = Home.locate(os.environ)
    given = read_bundle(path)
    net = load_config(home.config, env=os.environ).config.net
    with home.lock(), Store.open(home) as store:
        blobs = Blobs(home.blobs)
        for data in given.blobs.values():
            blobs.put(data)
        wires = [record.wire for record in given.records.values()]
        report = store.ingest(wires, now_ms=time.time_ns() // 1_000_000, net=net)
    if report.rejected and not report.new:
        raise ArnodeError(
            f"nothing was taken in: {report.rejected[0]}",
            "the bundle is of another network; `arnode config show` names this node's",
        )
    if as_json:
        print_json(
            {
                "about": given.about.hex(),
                "new": [one.hex() for one in report.new],
                "known": report.duplicates,
                "early": report.quarantined,
                "over_quota": report.over_quota,
                "rejected": report.rejected,
                "blobs": len(given.blobs),
            }
        )
        return
    click.echo(
        f"{plain(str(path))}: {len(report.new)} new records, {report.duplicates} known,"
        f" {len(given.blobs)} blobs; `arnode show {given.about.hex()[:12]}` shows what it is about"
    )
