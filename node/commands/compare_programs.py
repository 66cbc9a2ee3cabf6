"""`agent compare`: compare two proposers, models or instructions by their gain per hour."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from node.commands.basics import Count, json_option, setting_option, task_options
from node.home.agents import AGENT
from node.home.faults import explaining_faults
from node.home.home import program_file
from node.line.open_task import named_task
from node.line.run_estimates import run_seconds
from node.on_demand.block import Contender
from node.on_demand.kept_lines import kept_lines
from node.on_demand.measuring import find_source
from node.on_demand.programs import (
    FEWEST_RUNS,
    LETTERS,
    BlockPair,
    Comparing,
    Letter,
    PairEvidence,
    ProgramComparison,
    fewest_pairs,
    task_at,
)
from node.on_demand.session import CommandSession, find_command_session
from node.proposing.choice import AUTO, NOBODY, Arm, OwnChoice, ProgramChoice, arms_of
from node.proposing.opening import require_texts
from node.reporting.blocks import figures_column, name_of, quoted, table, text, words_column
from node.reporting.terminal import print_blocks
from node.store.store import Store
from node.terminal.durations import duration_text, parse_duration, span_words
from node.terminal.progress import Progress, reporting
from node.terminal.terminal import console, print_json
from node.terminal.vocabulary import interval_words
from protocol.codecs import plain
from protocol.errors import UsageError
from protocol.units import NANO

_USUAL = "8h"
_BLOCK = "15m"
_REPORTED_STEPS = 10  # progress reports per block
_NAME_ONE = "name a proposer, such as search or claude"
_OPEN = 5  # exit code if there is no verdict, as in `compare`


@click.command("compare")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option(
    "--for",
    "for_s",
    type=parse_duration,
    metavar="SPAN",
    default=_USUAL,
    help="The time limit [8h].",
)
@click.option(
    "--block",
    "block_s",
    type=parse_duration,
    metavar="SPAN",
    default=_BLOCK,
    help=f"How long A or B works at a time [{_BLOCK}].",
)
@setting_option(
    "agent",
    help="The proposer, if A and B are files with instructions (default: the setting `agent`).",
)
@click.option(
    "--from",
    "head",
    metavar="SOURCE",
    help="The source that every block starts from (default: the head).",
)
@click.option(
    "--runs",
    type=Count(1, 50),
    default=3,
    help="How many new runs measure each block's result [3].",
)
@task_options()
@click.option("--fresh", is_flag=True, help="Discard the blocks of earlier calls.")
@json_option("Print one JSON document.")
def compare_programs(
    a: str,
    b: str,
    for_s: float,
    block_s: float,
    agent: tuple[str, ...],
    head: str | None,
    runs: int,
    task: str | None,
    text: Path | None,
    fresh: bool,
    as_json: bool,
) -> None:
    """Find out which of two proposers gains more on this device.

    A and B are proposers, written as in the setting `agent` (search, claude, ollama:NAME,
    claude#bold), or files with instructions for a proposer (bold.md). `search,claude` means
    both proposers at once. A and B work in blocks of time, in random order. Each block is a
    separate session that starts at the same head and knows nothing of other blocks. The comparison
    ends with a result or at the time limit. After an interruption the same command resumes.
    """
    command = find_command_session(task, text)
    sides = dict(zip(LETTERS, (_side(command, one, agent) for one in (a, b)), strict=True))
    _check_spans(command, for_s, block_s)
    with command.home.lock():
        place = command.home.comparisons
        wanted = head or ("head" if _has_line(command) else "baseline")
        source = find_source(command.home, command.task, wanted)
        of_text = command.config.text is not None and task is None
        called = command.task.name if of_text else named_task(command.home, command.config.task)
        own_task, folder = task_at(command.home, command.task, called, source, place)
        comparing = Comparing(sides=sides, task=own_task, folder=folder, block_s=block_s, runs=runs)
        name = comparing.setting.hex()[:8]
        with kept_lines(place / f"{name}.jsonl", is_fresh=fresh) as kept:
            comparison = ProgramComparison(command, comparing, kept, place / name)
            _work(comparison, comparing, for_s)
            evidence = comparison.evidence
    if as_json:
        print_json(_document(command, comparing, evidence))
    else:
        _print_comparison(command, comparing, evidence)
    raise SystemExit(_OPEN if evidence.verdict == "open" else 0)


def _side(command: CommandSession, word: str, agent: tuple[str, ...]) -> Contender:
    """Return the contender for the argument A or B.

    The argument is a file with instructions, or proposers as in the setting `agent`. Raises
    UsageError for a missing file or unsuitable proposers.
    """
    path = Path(word).expanduser()
    is_text = path.suffix == ".md" or ("/" in word and path.is_file())
    if is_text and not path.is_file():
        raise UsageError(f"there is no file {word}", "give a file with instructions for proposers")
    if is_text:
        agents = _proposers(",".join(agent)) if agent else command.config.agent
    else:
        agents = _proposers(word)
    config = replace(command.config, agent=agents)
    if agents == AUTO:
        raise UsageError(f"{word}: `auto` can be any proposer, so it cannot be compared", _NAME_ONE)
    arms = arms_of(config)
    require_texts(command.home, arms, [command.task.name])
    choices = [arm.choice for arm in arms]
    if choices == [NOBODY]:
        raise UsageError(f"{word}: there is no proposer to compare", _NAME_ONE)
    asks = [choice for choice in choices if not isinstance(choice, OwnChoice)]
    if is_text and not asks:
        raise UsageError(
            f"{word} has instructions, but the built-in search reads no instructions",
            "name a model or a coding agent: --agent NAME",
        )
    return Contender(
        name=path.name if is_text else word,
        agents=tuple(arm.name for arm in arms),
        texts=_texts(command, arms, path if is_text else None),
        spends=bool(asks),
        visits=any(isinstance(choice, ProgramChoice) for choice in asks),
    )


def _texts(
    command: CommandSession, arms: Sequence[Arm], path: Path | None
) -> tuple[tuple[str, bytes], ...]:
    """Return the instructions that replace the task's: the given file, or the user's own files.

    Each file is read once, now. A file that is edited later counts as a different contender.
    """
    name, programs = program_file(command.task.name), command.home.programs
    if path is not None:
        with explaining_faults(path):
            return ((name, path.read_bytes()),)
    names = {name, *(program_file(command.task.name, arm.text) for arm in arms)}
    found = [programs / one for one in sorted(names)]
    return tuple((one.name, one.read_bytes()) for one in found if one.is_file())


def _proposers(word: str) -> tuple[str, ...]:
    """Parse proposers in the form of the setting `agent`. Raises UsageError."""
    try:
        return AGENT.read(word)
    except ValueError as fault:
        message = str(fault) or f"{word!r} names no proposer"
        raise UsageError(message, f"give a file with instructions, or {AGENT.wanted}") from fault


def _check_spans(command: CommandSession, for_s: float, block_s: float) -> None:
    """Print how many pairs of blocks fit into the time limit, and warn if they are too few.

    Raises UsageError if a block is too short for its runs, or no pair fits.
    """
    run_s = _run_s(command)
    if run_s is not None and block_s < FEWEST_RUNS * run_s:
        least = duration_text(4 * FEWEST_RUNS * run_s)
        raise UsageError(
            f"a block of {span_words(block_s)} is too short for runs of {span_words(run_s)}",
            f"give a longer block: --block {least}; --for must be long enough for two blocks",
        )
    most = math.floor(for_s / (2 * block_s))
    if most < 1:
        raise UsageError(
            f"two blocks of {span_words(block_s)} do not fit into {span_words(for_s)}",
            "give a longer --for, or a shorter --block",
        )
    limit_text = f"at most {most} pairs of blocks of {span_words(block_s)}"
    if most < fewest_pairs():
        limit_text += f"; a result needs at least {fewest_pairs()}: give a longer --for"
    click.echo(f"  {limit_text}", err=True)


def _run_s(command: CommandSession) -> float | None:
    """Return how many seconds a run of the task takes here; None if this home has no such run."""
    with Store.open_read_only(command.home) as store:
        lines = [line.key for line in store.jobs.lines() if line.task == command.task.id]
        known = [run_seconds(store, key) for key in lines]
    return max((one for one in known if one is not None), default=None)


def _has_line(command: CommandSession) -> bool:
    with Store.open_read_only(command.home) as store:
        return any(line.task == command.task.id for line in store.jobs.lines())


def _work(comparison: ProgramComparison, comparing: Comparing, for_s: float) -> None:
    """Continue a comparison until it ends, and print its progress."""
    if comparison.evidence.pairs:
        click.echo(f"  resuming with {len(comparison.evidence.pairs)} pairs", err=True)

    def print_pair(evidence: PairEvidence) -> None:
        pair, hours = evidence.pairs[-1], evidence.hours
        brought = ", ".join(
            f"{plain(side.name)} {pair.of(letter).gain_nano / NANO / hours:+.4f}"
            for letter, side in comparing.sides.items()
        )
        so_far = f"so far {_difference(evidence)}"
        click.echo(f"  pair {len(evidence.pairs)}: gain per hour {brought}; {so_far}", err=True)
        for letter, side in comparing.sides.items():
            if pair.of(letter).end.experiments == 0:
                click.echo(
                    f"  {plain(side.name)} tried nothing in its block: use a longer --block",
                    err=True,
                )

    with reporting() as progress:
        work = comparison.work(for_s, on_look=_in_steps(progress), on_pair=print_pair)
        asyncio.run(work)


def _in_steps(progress: Progress) -> Progress:
    """Return a callback that reports only every tenth of the progress: a block may last hours."""
    last = ("", -1)

    def look(what: str, share: float) -> None:
        nonlocal last
        if (step := (what, math.floor(share * _REPORTED_STEPS))) != last:
            last = step
            progress(what, step[1] / _REPORTED_STEPS)

    return look


def _difference(evidence: PairEvidence) -> str:
    """Describe how much more `a` gains per hour than `b`, with the interval."""
    lower, upper = (one if math.isfinite(one) else None for one in evidence.interval)
    interval = interval_words(lower, upper, spec="+.4f")
    return f"A gains {evidence.difference:+.4f} more per hour than B, {interval}"


def _print_comparison(
    command: CommandSession, comparing: Comparing, evidence: PairEvidence
) -> None:
    unit = command.task.manifest.metric.unit
    columns = (
        words_column("program", wraps=True),
        figures_column(text(name_of(unit), " gained an hour")),
        *map(figures_column, ("experiments", "its own", "USD", "blocks")),
    )
    sides = [
        (side, letter, _sums(evidence.pairs, letter)) for letter, side in comparing.sides.items()
    ]
    rows = [
        (
            quoted(side.name),
            f"{evidence.gain_per_hour(letter):+.4f}",
            str(sums["experiments"]),
            str(sums["own"]),
            f"{sums['usd']:.2f}",
            str(len(evidence.pairs)),
        )
        for side, letter, sums in sides
    ]
    print_blocks(console(), table(columns, rows))
    click.echo(f"{_difference(evidence)}, {len(evidence.pairs)} pairs of blocks")
    if evidence.verdict == "open":
        click.echo("no result yet: the same command with a longer --for continues")
    else:
        click.echo(f"{plain(comparing.sides[evidence.verdict].name)} gains more")


def _document(
    command: CommandSession, comparing: Comparing, evidence: PairEvidence
) -> dict[str, object]:
    lower, upper = evidence.interval
    return {
        "task": {"id": command.task.id.hex(), "name": command.task.name},
        "head": comparing.task.source.tree.hex(),
        "block_s": comparing.block_s,
        "programs": {
            letter: {
                "name": side.name,
                "agents": list(side.agents),
                "gain_an_hour": evidence.gain_per_hour(letter),
                **_sums(evidence.pairs, letter),
            }
            for letter, side in comparing.sides.items()
        },
        "pairs": [
            {
                "first": "a" if pair.a_first else "b",
                "seconds": pair.ms / 1000,
                **{letter: _gain_document(pair, letter) for letter in LETTERS},
            }
            for pair in evidence.pairs
        ],
        "difference_an_hour": evidence.difference,
        "lower": lower if math.isfinite(lower) else None,
        "upper": upper if math.isfinite(upper) else None,
        "verdict": evidence.verdict,
    }


def _gain_document(pair: BlockPair, letter: Letter) -> dict[str, object]:
    found = pair.of(letter)
    return {"tree": found.end.tree.hex(), "gain": found.gain_nano / NANO, "ran": found.ran}


def _sums(pairs: Sequence[BlockPair], letter: Letter) -> dict[str, float]:
    ends = [pair.of(letter).end for pair in pairs]
    return {
        "experiments": sum(end.experiments for end in ends),
        "own": sum(end.own for end in ends),
        "usd": sum(end.usd_nano for end in ends) / NANO,
    }
