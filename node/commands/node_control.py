"""`start`, and the commands to a running node, such as `status`, `stop` and `pause`."""

import time
from datetime import datetime
from pathlib import Path
from typing import Final

import click

from node.commands.basics import json_option, reading, setting_option, warn_if_variable_overrides
from node.home.config import Config
from node.home.home import Home
from node.home.settings_in_force import config_of
from node.home.values import Given
from node.terminal.durations import Hours, clock_words, parse_duration, parse_hours, seconds_until
from node.terminal.terminal import print_json, say
from protocol.errors import NotRunningError, UsageError

_LOOK_S: Final = 0.05
_FIRST_REPORT_S: Final = 2.0
_LATER_REPORTS_S: Final = 30.0


def _seconds_until(clock: str) -> float:
    return seconds_until(clock, datetime.now().astimezone())


@click.command()
@click.option(
    "--task",
    "tasks",
    metavar="NAME[:PARTS]",
    multiple=True,
    help="A task's name, folder or id (default: tiny; nanochat with a usable NVIDIA card). Repeat "
    "for several, which take turns; a task with :2 gets turns twice as long as --turn.",
)
@click.option(
    "--turn",
    "turn_s",
    type=parse_duration,
    metavar="SPAN",
    help="The length of a turn, with several tasks [10m].",
)
@setting_option("text")
@setting_option("gpus")
@setting_option("lanes")
@setting_option("ray")
@setting_option("lane_hosts")
@setting_option("agent")
@setting_option("approve")
@setting_option("max_experiments")
@setting_option("ladder")
@click.option(
    "--for",
    "duration_s",
    type=parse_duration,
    metavar="SPAN",
    help="Stop after this long, like 8h or 45m.",
)
@click.option(
    "--until",
    "until_s",
    type=_seconds_until,
    metavar="HH:MM",
    help="Stop at this time of day.",
)
@click.option(
    "--schedule",
    "hours",
    type=parse_hours,
    metavar="HH:MM-HH:MM",
    help="Start runs in these hours only.",
)
@click.option(
    "--when-idle", is_flag=True, help="Start runs only while other programs leave the machine idle."
)
@setting_option("battery")
@setting_option("max_watts")
@setting_option("web")
@setting_option("name")
@click.option(
    "--join", "line", metavar="LINE", help="Join a network by an `arnode network invite` line."
)
@setting_option("net")
@setting_option("bootstrap")
@click.option("--yes", "agrees", is_flag=True, help="Join the network without asking.")
@setting_option("allow_partial_sandbox")
def start(
    tasks: tuple[str, ...],
    turn_s: float | None,
    duration_s: float | None,
    until_s: float | None,
    hours: Hours | None,
    when_idle: bool,
    line: str | None,
    net: str | None,
    agrees: bool,
    **flags: Given | Path,
) -> None:
    """Run the node here: propose, measure, verify and record until you stop it.

    The first Ctrl-C stops the node after the current run; the second stops it at once. The next
    start resumes in either case.

    --network and --join also set the network for other commands and for later starts.
    """
    from node.home.consent import Wishes
    from node.home.invites import join_network, read_invite
    from node.home.network_definition import NO_NETWORK
    from node.loop.session_plan import Goal
    from node.running.program import start_node
    from node.running.turns import shares_of

    if duration_s and until_s:
        raise UsageError("--for and --until exclude each other", "give one of them")
    home = Home.here()
    wishes = Wishes(network=net, has_invite=line is not None, agrees=agrees)
    if line is not None:
        with home.lock():  # next to a running node this start fails, and must change nothing
            join_network(home, read_invite(line))
    shares = shares_of(tasks) if len(tasks) > 1 else ()
    flags["task"] = shares[0].task if shares else next(iter(tasks), None)
    config = config_of(home, {**flags, **wishes.settings})
    takes_turns = bool(shares or config.ladder)
    if takes_turns and (config.max_experiments or flags["text"]):
        raise UsageError(
            "--max-experiments and --text are for one task", "limit several tasks by time: --for 8h"
        )
    if shares and flags["ladder"]:
        raise UsageError("--ladder is for one task and its rungs", "name only that task")
    if turn_s and not takes_turns:
        raise UsageError("--turn is for several tasks", "name each: --task A --task B:2")
    if net is not None and net != NO_NETWORK:
        warn_if_variable_overrides(home, net)
    goal = Goal(
        max_experiments=config.max_experiments,
        duration_s=duration_s or until_s,
        hours=hours,
        when_idle=when_idle,
    )
    start_node(home, config, goal, wishes, shares=shares, turn_s=turn_s)


@click.command()
@json_option("Print one JSON document.")
def status(as_json: bool) -> None:
    """Show what the node is doing; works with and without a running node."""
    home = Home.here()
    config = config_of(home)  # reports faulty settings even while a node runs
    document = _status_document(home, config)
    if as_json:
        print_json(document)
        return
    from node.reporting.status_text import print_status

    print_status(document, online=config.online)


@click.command()
@json_option("Print one JSON document.")
def peers(as_json: bool) -> None:
    """Show the peers that the running node is connected to."""
    from node.home.control_socket import call, document
    from node.reporting.status_text import print_peers

    answer = document(call(Home.here().socket, "peers"))
    if as_json:
        print_json(answer)
    else:
        print_peers(answer)


@click.command()
@click.option(
    "--after-promotion-trial",
    is_flag=True,
    help="Run the promotion trial of the working line first.",
)
@json_option("Print one JSON document once the node has ended.")
def stop(after_promotion_trial: bool, as_json: bool) -> None:
    """Stop the running node after its current run, and wait until it has ended.

    Ctrl-C ends the wait; the node stops nevertheless.
    """
    _require_running("stop")
    home = Home.here()
    node = home.lock_holder()
    _call("stop", {"after_promotion_trial": after_promotion_trial})
    first = "the promotion trial" if after_promotion_trial else "the current run"
    try:
        waited_s = _wait_until_ended(home, node, first)
    except KeyboardInterrupt:
        say("the node is still stopping; `arnode status` shows when it has ended", err=True)
        raise
    if as_json:
        print_json({"stopped": True, "seconds": round(waited_s, 1)})
    else:
        say("stopped", err=True)


def _wait_until_ended(home: Home, node: int | None, first: str) -> float:
    """Wait until a node has released its home, reporting progress; return the seconds.

    `node` is its process id; a node that another process started meanwhile is not waited for.
    `first` is the work that the node ends first.
    """
    began_s = time.monotonic()
    report_s = _FIRST_REPORT_S
    while home.is_locked() and home.lock_holder() == node:
        time.sleep(_LOOK_S)
        waited_s = time.monotonic() - began_s
        if waited_s >= report_s:
            is_first = report_s == _FIRST_REPORT_S
            more = "; Ctrl-C ends only this wait" if is_first else f", {waited_s:.0f} s so far"
            say(f"waiting for {first} to end{more} …", err=True)
            report_s = waited_s + _LATER_REPORTS_S
    return time.monotonic() - began_s


@click.command()
@click.option(
    "--for",
    "for_s",
    type=parse_duration,
    metavar="SPAN",
    help="Resume by itself after this time, like 2h.",
)
@click.option("--at-end", is_flag=True, help="Finish the current run first.")
@json_option("Print one JSON document.")
def pause(for_s: float | None, at_end: bool, as_json: bool) -> None:
    """Free the running node's device at once, until `arnode resume`.

    The current run is interrupted and repeated after the pause. Nothing recorded is lost.
    """
    from node.home.control_socket import call, document, nonsense
    from node.loop.in_flight import Lost

    wanted: dict[str, bool | float] = {"at_end": at_end}
    if for_s:
        wanted["for_s"] = for_s
    _require_running("pause")
    answer = document(call(Home.here().socket, "pause", wanted))
    if as_json:
        print_json(answer)
        return
    match answer:
        case {
            "until": until,
            "runs_ended": int() as runs,
            "seconds_lost": int() | float() as seconds,
        }:
            end = (
                clock_words(datetime.fromisoformat(until), datetime.now().astimezone())
                if isinstance(until, str)
                else "`arnode resume`"
            )
            lost = "the current run ends first" if at_end else Lost(runs=runs, seconds=seconds)
            say(f"paused until {end}; {lost}", err=True)
        case _:
            raise nonsense()


@click.command()
def resume() -> None:
    """End a pause of the running node."""
    _require_running("resume")
    _call("resume", {})
    click.echo("resumed", err=True)


def _require_running(verb: str) -> None:
    from node.home.control_socket import is_running

    if not is_running(Home.here().socket):
        hint = "`arnode start` resumes" if verb == "resume" else f"there is nothing to {verb}"
        raise NotRunningError("no node is running on this home", hint)


def _call(command: str, arguments: dict[str, bool]) -> None:
    from node.home.control_socket import call

    call(Home.here().socket, command, dict(arguments))


def _status_document(home: Home, config: Config) -> dict[str, object]:
    from node.home.control_socket import call, document, is_running

    if is_running(home.socket):
        return dict(document(call(home.socket, "status")))
    from node.home.keyfile import read_keys
    from node.reporting.status import status_document
    from trainer.sandbox.tier import probe_tier

    author = read_keys(home).author.public if home.key.exists() else None
    with reading() as (store, _):
        sandbox = probe_tier().name
        return dict(status_document(store, author=author, net=config.net, sandbox=sandbox))
