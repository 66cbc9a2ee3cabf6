"""`propose`: one proposal, or the prompt that would be sent for it, shown and not run."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.commands.basics import json_option, task_options
from node.terminal.terminal import plain, print_json

if TYPE_CHECKING:
    from node.home.control import Message


@click.command()
@click.option("--dry-run", is_flag=True, help="Ask nobody: show what would be asked.")
@click.option("--print-prompt", is_flag=True, help="Print the prompt, whole; asks nobody.")
@task_options("the running node's, else tiny")
@json_option("Print one JSON document.")
def propose(
    dry_run: bool, print_prompt: bool, task: str | None, text: Path | None, as_json: bool
) -> None:
    """Show one proposal for the working line; nothing is run.

    Whoever proposes here is asked: the model or the coding agent that `agent` names, and knobs
    where that has nothing. What a model costs is counted. Exit code 1: nobody has anything new.
    """
    from node.on_demand.advice import ask_for_advice

    is_dry = dry_run or print_prompt
    document = ask_for_advice(task=task, text=text, is_dry=is_dry)
    if as_json:
        print_json(dict(document))
    elif is_dry:
        _print_prompt(document, is_whole=print_prompt)
    else:
        _print_proposal(document)
    if not document.get("prompt" if is_dry else "proposal"):
        raise SystemExit(1)


def _print_prompt(document: "Mapping[str, Message]", *, is_whole: bool) -> None:
    match document:
        case {"who": str() as who, "prompt": list() as turns, "silence": None}:
            texts = [turn for turn in turns if isinstance(turn, dict)]
            size = sum(len(str(turn["content"])) for turn in texts)
            asked = who if who not in ("knobs", "none") else f"no model ({who} needs no prompt)"
            click.echo(f"a prompt of {size:,} characters for {plain(asked)}", err=True)
            for turn in texts if is_whole else []:
                click.echo(f"##### {turn['role']} #####\n{plain(str(turn['content']), lines=True)}")
        case {"silence": str() as reason}:
            click.echo(f"there is no prompt: {plain(reason)}", err=True)


def _print_proposal(document: "Mapping[str, Message]") -> None:
    if isinstance(reason := document["silence"], str):
        click.echo(f"{plain(reason)}; knobs were asked instead", err=True)
    match document["proposal"]:
        case {
            "title": str() as title,
            "why": str() as why,
            "diff": str() as diff,
            "proposer": str() as proposer,
            "model": model,
        }:
            who = f"{proposer} ({model})" if isinstance(model, str) else proposer
            click.echo(f"{plain(title)}\n{plain(why)}\nproposed by {plain(who)}\n")
            click.echo(plain(diff, lines=True), nl=False)
        case _:
            click.echo("nobody has anything that was not tried before", err=True)
    match document["cost"]:
        case {
            "calls": int() as calls,
            "tokens_in": int() as into,
            "tokens_out": int() as out,
            "usd": float() as usd,
        } if calls:
            questions = "1 question" if calls == 1 else f"{calls} questions"
            click.echo(f"{questions}, {into:,} + {out:,} tokens, {usd:g} USD", err=True)
