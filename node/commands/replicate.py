"""`task replicate`: test which published findings hold on this device."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import click

from node.commands.basics import json_option, pairs_option, task_options
from node.home.sandboxing import require_peer_sandbox
from node.on_demand import replications as views
from node.on_demand.kept_runs import KeptRun, kept_runs
from node.on_demand.replicating import (
    FindingCandidate,
    Replication,
    Replications,
    candidates_of,
    measure_open,
    setting_of,
)
from node.on_demand.replications import PAIR_HEADER, ReplicationEffort, pair_line, run_line
from node.on_demand.session import CommandSession, find_command_session
from node.terminal.durations import span_words
from node.terminal.terminal import console, print_json
from protocol.errors import UsageError
from protocol.ideas import PublishedFinding
from protocol.rule import POWER, QUICK
from protocol.source import Source
from trainer.cards.cards import probe_devices
from trainer.task_folder.fields import nearest
from trainer.task_folder.findings import is_builtin, load_catalogue

_INTERRUPTED = 130


@click.command("replicate")
@click.argument("catalogue", type=Path, required=False)
@task_options()
@click.option(
    "--only", multiple=True, metavar="NAME", help="Try only this finding; repeat for several."
)
@pairs_option
@click.option("--quick", is_flag=True, help="Run at most four pairs, which show only large gains.")
@click.option("--fresh", is_flag=True, help="Discard the runs of earlier calls.")
@json_option("Print one JSON document.")
def replicate(
    catalogue: Path | None,
    task: str | None,
    text: Path | None,
    only: tuple[str, ...],
    pairs: int | None,
    quick: bool,
    fresh: bool,
    as_json: bool,
) -> None:
    """Try published findings on this device and show which hold.

    CATALOGUE is a TOML file of findings (default: the task's own). Each finding is applied to the
    task's baseline and compared with it in pairs, as `arnode compare` does. Nothing is recorded.
    After an interruption the same command resumes.
    """
    began_s = time.monotonic()
    command = find_command_session(task, text)
    findings, candidates = _candidates(command, catalogue, only)
    usual = (QUICK if quick else POWER).max_pairs
    policy = replace(POWER, max_pairs=pairs or usual)
    device = probe_devices(command.task.manifest, command.config.gpus)[0]
    path = command.home.replications / f"{command.task.id.hex()}-{device.slug}.jsonl"
    setting = setting_of(command.home, device, command.task, findings)
    with kept_runs(path, setting, is_fresh=fresh) as kept:
        if kept.unread:
            click.echo(f"  {kept.unread} lines of {path} are invalid and ignored", err=True)
        replications = Replications(manifest=command.task.manifest, kept=kept, policy=policy)
        runs_now = _measure(command, candidates, replications)
    found = [replications.look(one) for one in candidates]
    effort = ReplicationEffort(
        runs=len({(k.tree, k.run.seed) for one in found for k in (*one.bases, *one.own)}),
        runs_now=runs_now,
        seconds=time.monotonic() - began_s,
    )
    _print_findings(command, device.slug, replications, found, effort, as_json=as_json)
    if any(one.is_open for one in found):
        click.echo("interrupted; the same command resumes it", err=True)
        raise SystemExit(_INTERRUPTED)


def _candidates(
    command: CommandSession, catalogue: Path | None, only: Sequence[str]
) -> tuple[tuple[PublishedFinding, ...], tuple[FindingCandidate, ...]]:
    """Return all findings of the catalogue, and the requested ones as candidates with sources.

    Raises UsageError for an unknown name or a task without a catalogue.
    """
    path = catalogue or command.task.catalogue
    if path is None:
        raise UsageError(f"task {command.task.name} has no catalogue", "name a TOML file")
    findings = load_catalogue(path, command.task)
    names = {finding.name for finding in findings}
    for name in only:
        if name not in names:
            raise UsageError(f"there is no finding {name!r}", nearest(name, names))
    if not is_builtin(path):
        require_peer_sandbox(command.config)
    return findings, candidates_of(path, command.task, findings, only=only)


def _measure(
    command: CommandSession, candidates: Sequence[FindingCandidate], replications: Replications
) -> int:
    """Make the missing runs and print each result; return how many runs ended."""
    pending = [one for one in candidates if replications.look(one).is_open]
    if not pending:
        return 0
    ended = 0
    show = _shown(pending, replications)

    def count(source: Source, kept: KeptRun) -> None:
        nonlocal ended
        ended += 1
        show(source, kept)

    asyncio.run(measure_open(command, pending, replications, show=count))
    return ended


def _shown(
    pending: Sequence[FindingCandidate], replications: Replications
) -> Callable[[Source, KeptRun], None]:
    """Return a callback that prints to stderr how many runs there are, then each run as it ends."""
    states = {one.finding.name: _state(replications.look(one)) for one in pending}
    blocks = {one.block for one in pending}
    most = (len(pending) + len(blocks)) * replications.policy.max_pairs
    is_first = True

    def show(source: Source, kept: KeptRun) -> None:
        nonlocal is_first
        if is_first:
            is_first = False
            run_s = (kept.run.ms + kept.run.serve_ms) / 1000
            takes = f"at most {most} runs, {span_words(most * run_s)}"
            click.echo(f"  {len(pending)} findings to judge: {takes}", err=True)
            click.echo(f"  {PAIR_HEADER}", err=True)
        lines = []
        for one in pending:
            found = replications.look(one)
            if _state(found) != states[one.finding.name]:
                states[one.finding.name] = _state(found)
                lines.append(pair_line(found))
        if not lines:
            names = [one.finding.name for one in pending if one.source.tree == source.tree]
            lines.append(run_line(names[0] if names else "baseline", kept.run))
        for line in lines:
            click.echo(f"  {line}", err=True)

    return show


def _state(replication: Replication) -> tuple[int, str]:
    return len(replication.confirmation.pairs), replication.verdict


def _print_findings(
    command: CommandSession,
    hardware_class: str,
    replications: Replications,
    found: Sequence[Replication],
    effort: ReplicationEffort,
    *,
    as_json: bool,
) -> None:
    if as_json:
        print_json(
            {
                "task": {"id": command.task.id.hex(), "name": command.task.name},
                "class": hardware_class,
                "base": command.task.source.tree.hex(),
                "max_pairs": replications.policy.max_pairs,
                "findings": [views.as_json(one, replications.policy) for one in found],
                "runs": effort.runs,
                "runs_now": effort.runs_now,
                "seconds": round(effort.seconds, 1),
            }
        )
        return
    views.print_table(
        console(),
        found,
        unit=command.task.manifest.metric.unit,
        hardware_class=hardware_class,
    )
    click.echo(views.summary(found, effort))
