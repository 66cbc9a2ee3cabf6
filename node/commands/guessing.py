"""Guesses of `task init` from trial runs. The user confirms them at a terminal."""

import sys
from dataclasses import dataclass

import click

from node.home.home import Home
from node.home.sandboxing import require_sandbox
from node.home.settings_in_force import config_of
from node.on_demand.trial_runs import try_command
from node.terminal.progress import reporting
from node.terminal.vocabulary import many
from protocol.codecs import plain
from protocol.errors import SafetyError, UsageError
from trainer.importing.command import LIMIT_S, Measured, Wanted
from trainer.importing.draft import UNKNOWN_NOISE
from trainer.importing.self_scored import Direction
from trainer.importing.trial import Guess, Report, guess_from
from trainer.task_folder.task import NotPreparedError

_LOWER = "lower is better"
_HIGHER = "higher is better"


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenOptions:
    """Values given by flags. A value of None or "" must be guessed."""

    direction: Direction | None
    unit: str
    limit_s: int | None
    repeats: int

    @property
    def is_all(self) -> bool:
        """True if nothing is left to be guessed."""
        return bool(self.direction and self.unit and self.limit_s)


def measured_by_trial(wanted: Wanted, given: GivenOptions, *, agrees: bool) -> Measured:
    """Return a command's direction, unit, limit and noise, from flags or else from trial runs.

    Raises UsageError if the direction is neither given nor confirmed, click.Abort if the user
    declines, ConfigurationError if the command fails in its trial run.
    """
    try:
        require_sandbox(config_of(Home.here()))
        with reporting() as progress:
            limit_s = given.limit_s or LIMIT_S
            reports = try_command(wanted, progress, unit=given.unit, limit_s=limit_s)
    except (NotPreparedError, SafetyError) as fault:
        why = fault.lacks if isinstance(fault, NotPreparedError) else fault.message
        if given.direction is None:
            raise UsageError(
                f"cannot try the command here: {why}", "give --direction min or max"
            ) from fault
        click.echo(f"the command was not tried: {plain(why)}", err=True)
        return Measured(
            direction=given.direction,
            unit=given.unit,
            limit_s=given.limit_s or LIMIT_S,
            repeats=given.repeats,
        )
    guess = guess_from(reports, wanted.metric, unit=given.unit)
    direction = given.direction or guess.direction
    measured = Measured(
        direction=direction or "min",
        unit=guess.unit,
        limit_s=given.limit_s or guess.limit_s,
        repeats=given.repeats,
        noise_floor=guess.noise_floor(given.repeats),
        is_exact=guess.is_exact and given.repeats == 1,
        opened=guess.opened,
    )
    for line in _shown(wanted, given, guess, measured, reports, knows=direction is not None):
        click.echo(f"  {plain(line)}", err=True)
    if direction is None:
        raise UsageError(
            f"neither the metric's name {wanted.metric!r} nor its unit shows if lower is better",
            "give --direction min or max",
        )
    _confirm(given, agrees=agrees)
    return measured


def _confirm(given: GivenOptions, *, agrees: bool) -> None:
    """Ask the user to confirm the guesses, unless flags gave all values or `agrees` (--yes).

    Without a terminal the direction must be given, since a wrong one would invert all results.
    Raises UsageError if it is missing, click.Abort if the user declines.
    """
    if agrees or given.is_all:
        return
    if _is_at_terminal():
        click.confirm("Make the task with these settings?", default=True, abort=True, err=True)
    elif given.direction is None:
        raise UsageError(
            "these guesses need to be confirmed at a terminal",
            "--yes accepts them; or give --direction, --unit and --limit",
        )


def _is_at_terminal() -> bool:
    return sys.stdin.isatty()


def _shown(
    wanted: Wanted,
    given: GivenOptions,
    guess: Guess,
    measured: Measured,
    reports: tuple[Report, ...],
    *,
    knows: bool,
) -> list[str]:
    """Return lines that show the trial runs' figures, each value, and its origin."""
    figures = [f"{one.figure:g}{one.unit and f' {one.unit}'}" for one in reports]
    seconds = max(one.seconds for one in reports)
    runs = f"{many(len(reports), 'trial run')}, slowest {seconds:.1f} s"
    lines = [f"{wanted.metric}: {', '.join(figures)} in {runs}"]
    if knows:
        better = _LOWER if measured.direction == "min" else _HIGHER
        why = "as given" if given.direction else guess.because
        lines.append(f"direction  {measured.direction}: {better} ({why})")
    lines += [
        f"unit       {measured.unit or 'none printed'}",
        f"limit      {measured.limit_s} s",
        f"noise      {_noise(guess, measured)}",
    ]
    if measured.opened:
        lines.append(f"opened     {', '.join(measured.opened)}")
    return lines


def _noise(guess: Guess, measured: Measured) -> str:
    if guess.noise_sd is None:
        return "unknown: a node's first session measures it"
    if measured.is_exact:
        return "none: all trial runs printed the same number, so one pair of runs decides"
    if measured.noise_floor == UNKNOWN_NOISE:
        return "none: all trial runs printed the same number"
    return f"sd {measured.noise_floor:.3g} of a run"
