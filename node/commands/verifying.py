"""`verify --check-only`: what a bundle, or a record that is here, proves by itself."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.home import Home
from node.terminal import plain, print_json
from protocol.errors import SafetyError, UsageError
from protocol.units import NANO

if TYPE_CHECKING:
    from node.exchange.bundle import Bundle


@click.command()
@click.argument("claim", metavar="ID|BUNDLE")
@click.option("--check-only", is_flag=True, help="Check that it holds together; run nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def verify(claim: str, check_only: bool, as_json: bool) -> None:
    """Check a claim: its signatures, its sources, its diff and its figures.

    That everything fits together does not make a claim true: it says that this key signed exactly
    this. Ends with 7 when something does not fit.
    """
    from node.exchange.bundle_check import check_bundle, claimed_in

    if not check_only:
        raise UsageError(
            "this version checks claims without running them",
            f"`arnode verify {claim} --check-only`; `arnode compare` measures two sources here",
        )
    bundle = _bundle(claim)
    findings = check_bundle(bundle)
    claimed = claimed_in(bundle)
    holds = all(finding.ok for finding in findings)
    if as_json:
        print_json(
            {
                "about": bundle.about.hex(),
                "kind": bundle.subject.kind,
                "author": bundle.subject.author.hex(),
                "ok": holds,
                "checks": [
                    {"name": one.name, "ok": one.ok, "detail": one.detail} for one in findings
                ],
                "claimed": claimed
                and {
                    "gain": claimed.gain_nano / NANO,
                    "lower": claimed.lower_nano / NANO,
                    "pairs": claimed.pairs,
                },
            }
        )
    else:
        for one in findings:
            click.echo(f"{'ok' if one.ok else 'FAULT':<6} {one.name:<9} {plain(one.detail)}")
        author = bundle.subject.author.hex()[:12]
        if claimed is not None:
            click.echo(
                f"key {author} claims a gain of {claimed.gain_nano / NANO:+.6f}"
                f" (at least {claimed.lower_nano / NANO:+.6f}, {claimed.pairs} pairs);"
                " nothing was run to see whether it is true"
            )
        else:
            click.echo(f"key {author} signed it; it claims no gain")
    if not holds:
        raise SafetyError("it does not hold together", "do not run or adopt it")


def _bundle(claim: str) -> "Bundle":
    from node.exchange.bundle import read_bundle
    from node.exchange.bundling import gather
    from node.store.blobs import Blobs
    from node.store.store import Store

    if Path(claim).exists():
        return read_bundle(Path(claim))
    home = Home.locate(os.environ)
    with Store.open_read_only(home) as store:
        return gather(store, Blobs(home.blobs), store.find(claim))
