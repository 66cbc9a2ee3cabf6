"""The printed trace of a visit: what a model or a coding agent said, did and cost."""

import click

from node.commands.basics import reading
from node.reporting.experiment import experiment_found
from node.reporting.traces import StepDocument, TraceDocument, trace_document
from node.store.traces import trace_of
from node.terminal.terminal import print_json
from node.terminal.vocabulary import many
from protocol.codecs import plain
from protocol.errors import UsageError


def print_trace(wanted: str, *, as_json: bool) -> None:
    """Print the trace of an experiment. Raises UsageError if none is stored."""
    with reading() as (store, _):
        entry, _ = experiment_found(store, wanted)
        number = trace_of(store.database, entry.id)
        if number is None:
            raise UsageError(
                "no trace of this experiment is stored",
                "only the latest visits of models and coding agents have one",
            )
        document = trace_document(store, number)
    if as_json:
        print_json(document)
        return
    _print(document)


def _print(document: TraceDocument) -> None:
    visit = document["visit"]
    figures = [
        many(visit["calls"], "question"),
        f"{visit['tokens_in']:,} + {visit['tokens_out']:,} tokens",
        f"{visit['usd']:g} USD",
        f"{visit['ms'] / 1000:.1f} s",
    ]
    click.echo(f"visit {visit['id']} of {plain(visit['proposer'])}: {', '.join(figures)}")
    for number, step in enumerate(document["steps"], 1):
        click.echo(f"\n{number}. {_heading(step)}")
        for line in plain(step["text"], lines=True).splitlines():
            click.echo(f"   {line}")
    if document["dropped"]:
        click.echo(f"\n{many(document['dropped'], 'more step')} in the middle: not stored")
    if visit["refused"]:
        click.echo(f"\n{visit['refused']}: {plain(visit['reason'])}")


def _heading(step: StepDocument) -> str:
    words = [f"proposal {step['draft']}"] if step["draft"] else []
    words.append(step["refused"] or step["kind"])
    if step["who"]:
        words.append(plain(step["who"]))
    words += [f"{plain(one['path'])} +{one['added']} -{one['removed']}" for one in step["files"]]
    if step["tokens_in"] or step["tokens_out"]:
        words.append(f"{step['tokens_in'] or 0:,} + {step['tokens_out'] or 0:,} tokens")
    if step["usd"]:
        words.append(f"{step['usd']:g} USD")
    if step["ms"] is not None:
        words.append(f"{step['ms'] / 1000:.1f} s")
    return ", ".join(words)
