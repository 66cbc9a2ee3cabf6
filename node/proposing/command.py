"""The proposer that runs the user's coding agent, and the check whether the agent can be used.

This module combines the settings, the presets and the agent's sandbox. Each environment variable is
passed explicitly. The key that `llm_key` names is passed only if the user lists it.
"""

import asyncio
import json
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from agent.command import (
    NOTES,
    TITLE_NAME,
    Assignment,
    CommandProposer,
    Edited,
    Write,
)
from agent.reported_usage import NO_USAGE, last_words, reported_usage
from agent.source.capabilities import Check
from agent.visit.agent_steps import agent_steps
from agent.visit.trace import TraceStep
from agent.worker.prices import nano_per_token
from node.home.config import Config
from node.home.home import Home
from node.proposing.agent_secrets import leaking_file, long_words, shows_secret
from node.proposing.budget import ModelCostBudget
from node.proposing.presets import OWN, PRESETS, Preset, is_paid
from node.proposing.visits import Go, Visit, VisitTerms, counted
from protocol.codecs import plain
from protocol.errors import ArnodeError, ConfigurationError, Rejected
from trainer.agent_sandbox.agent_run import AgentAccess, AgentResult, require_agent_sandbox, work
from trainer.agent_sandbox.installed import find_program, installation
from trainer.agent_sandbox.running_command import AgentLimits
from trainer.agent_sandbox.view import nameable
from trainer.agent_sandbox.worktree import Given

COMMANDS: Final = (*PRESETS, "command")  # the values of `agent` handled here
_ALWAYS = ("PATH", "LANG")
_MEASURES: Final = re.compile(r"\{(?:usd|tokens|weight)\}")
_FREE_VISIT_USD: Final = 1.0  # limits the length of a visit, even if it costs nothing
_LOGGED_CHARS: Final = 16_000
_NOT_SHOWN: Final = "(not shown: it contains log-in data or keys)"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Command:
    """A coding agent's command, its access to files and its costs, from checked settings."""

    name: str
    argv: tuple[str, ...]
    preset: Preset
    bench: AgentAccess
    terms: VisitTerms


def command_proposer(
    agent: str,
    config: Config,
    home: Home,
    *,
    env: Mapping[str, str],
    prompt: Write,
    check: Check,
    budget: ModelCostBudget,
) -> CommandProposer:
    """Return the proposer for an `agent` out of `COMMANDS`. The costs of its visits are recorded.

    Raises ConfigurationError if the program or folders are missing, SafetyError if this machine has
    no sandbox for it.
    """
    require_agent_sandbox()
    command = _command(agent, config, home, env)
    return CommandProposer(
        counted(_goer(command), budget, command.terms),
        name=command.name,
        argv=command.argv,
        prompt=prompt,
        check=check,
    )


def command_fault(
    agent: str, config: Config, home: Home, *, env: Mapping[str, str]
) -> tuple[str, str] | None:
    """Return the problem with an agent's command and its fix; None without a problem.

    A log-in that is not found counts as a problem, although it may exist elsewhere.
    """
    try:
        require_agent_sandbox()
        command = _command(agent, config, home, env)
    except ArnodeError as fault:
        return fault.message, fault.hint
    unset = [name for name in config.agent_variables if name not in env]
    if unset:
        return f"the variable {unset[0]} in `agent_variables` is not set", "set it, or remove it"
    if config.agent_variables or config.agent_folders or agent == "command":
        return None  # the user listed what it needs
    preset, bench = command.preset, command.bench
    has_file = any(path.exists() for path in (*bench.kept, *bench.shown))
    if has_file or any(name in bench.environment for name in preset.variables):
        return None
    return f"no log-in of {command.name} was found", preset.hint


def terms_of(agent: str, config: Config, home: Home, *, env: Mapping[str, str]) -> VisitTerms:
    """Return the costs of an agent's visits (calls, each for one proposal).

    Raises ConfigurationError if the program or folders are missing.
    """
    return _command(agent, config, home, env).terms


def _command(agent: str, config: Config, home: Home, env: Mapping[str, str]) -> _Command:
    preset = PRESETS.get(agent, OWN)
    argv = config.agent_command or preset.argv
    if not argv:
        raise ConfigurationError(
            '`agent` is "command" and `agent_command` is empty',
            'set it: agent_command = ["my-agent", "--file", "{prompt_file}"]',
        )
    user_home = Path(env.get("HOME") or Path.home())
    if user_home.resolve() == Path(user_home.anchor):
        raise ConfigurationError(
            f"HOME is {user_home}, which cannot be used", "set HOME to your home folder"
        )
    search_path = env.get("PATH", os.defpath)
    try:
        program = find_program(argv[0], home=user_home, search_path=search_path)
    except ConfigurationError as fault:
        hint = preset.hint if argv == preset.argv else fault.hint
        raise ConfigurationError(fault.message, hint) from fault
    installation(argv, home=user_home.resolve(), search_path=search_path)  # raises for a shim
    name = agent if agent in PRESETS else program.name
    bench = _bench(config, preset, home, user_home, env)
    terms = _terms(config, preset, bench, env)
    if not config.agent_command:
        argv = (*argv[:-1], *_where(preset, env), argv[-1])
    return _Command(
        name=name,
        argv=tuple(_within(terms, word) for word in argv),
        preset=preset,
        bench=bench,
        terms=terms,
    )


def _terms(
    config: Config, preset: Preset, bench: AgentAccess, env: Mapping[str, str]
) -> VisitTerms:
    known_in, known_out = config.llm_usd_in, config.llm_usd_out
    price = preset.price
    if known_in is not None:
        price = replace(price, usd_nano_in=nano_per_token(known_in))
    if known_out is not None:
        price = replace(price, usd_nano_out=nano_per_token(known_out))
    is_charged = config.agent_usd > 0 and (
        bool(config.agent_variables)
        or any(env.get(name) for name in preset.where)
        or is_paid(preset, user_home=bench.home, variables=bench.environment)
    )
    return VisitTerms(usd=config.agent_usd or _FREE_VISIT_USD, price=price, is_paid=is_charged)


def _within(terms: VisitTerms, word: str) -> str:
    """Return a word of the command with the limits of one call of the agent filled in."""
    values = {
        "{usd}": f"{terms.stop_usd:g}",
        "{tokens}": str(terms.stop_tokens),
        "{weight}": str(terms.answer_weight),
    }
    return _MEASURES.sub(lambda found: values[found[0]], word)


def _where(preset: Preset, env: Mapping[str, str]) -> list[str]:
    """Return the arguments that give a program its server's address."""
    words: list[str] = []
    for name, templates in preset.where.items():
        value = env.get(name)
        if not value:
            continue
        if urlsplit(value).username or urlsplit(value).password:
            raise ConfigurationError(
                f"{name} contains a user name or a password, which other users could read in the "
                "process list",
                f"remove it, or write the address into the file {preset.shown[0]}",
            )
        words += [word.replace("{value}", json.dumps(value)) for word in templates]
    return words


def _bench(
    config: Config, preset: Preset, home: Home, user_home: Path, env: Mapping[str, str]
) -> AgentAccess:
    hidden, real_home = (home.root,), user_home.resolve()

    def named(word: str) -> Path:
        path = user_home / word[2:] if word.startswith("~/") else Path(word)
        if path.is_relative_to(user_home):
            path = real_home / path.relative_to(user_home)
        return nameable(path, home=real_home, hidden=hidden)

    asked = [named(word) for word in config.agent_folders]
    for path in asked:
        if not path.exists():
            raise ConfigurationError(
                f"{path}, one of `agent_folders`, does not exist", "create it, or remove it"
            )
    variables = {
        *_ALWAYS,
        *(name for name in preset.variables if name != config.llm_key),
        *config.agent_variables,
    }
    passed = {name: env[name] for name in sorted(variables) if name in env}
    is_logged_in = any((user_home / name[2:]).exists() for name in preset.kept)
    for name, own in preset.renamed.items():
        if name in passed and name not in config.agent_variables:
            key = passed.pop(name)
            if own not in passed and not is_logged_in:
                passed[own] = key
    return AgentAccess(
        home=real_home,
        hidden=hidden,
        shown=tuple(map(named, preset.shown)),
        kept=(*map(named, preset.kept), *asked),
        environment={"PATH": os.defpath, **preset.settings, **passed, "TERM": "dumb"},
        limits=AgentLimits(limit_s=config.agent_limit_s),
    )


def _goer(command: _Command) -> Go:
    async def go(job: Assignment) -> Visit:
        given = Given(
            editable=job.source,
            read_only=job.extra_files,
            notes=NOTES,
            ignored=command.preset.ignored,
        )
        try:
            done = await work(command.bench, given, job.command, note_name=TITLE_NAME)
        except ArnodeError as fault:
            return _not_started(f"{fault.message} ({fault.hint})")
        except OSError as fault:
            return _not_started(f"cannot start the program ({fault.strerror})")
        secrets = await asyncio.to_thread(_secrets, command.bench)
        is_failure = isinstance(done.result, Rejected)
        level = logging.INFO if is_failure else logging.DEBUG
        tail = await _shown(done.output_tail[-_LOGGED_CHARS:], secrets)
        _log.log(level, "%s printed: %s", command.name, plain(tail, lines=True))
        result, remark = await _result(command, job, done, secrets)
        if remark and isinstance(result, Edited):
            _log.info("%s: %s", command.name, remark)
        reported = reported_usage(done.output_tail, command.preset.form)
        if done.status is None and reported is not None and reported != NO_USAGE:
            reported = None  # it was killed before it could report all of its usage
        return Visit(
            result=result,
            reported=reported,
            seconds=done.seconds,
            remark=remark,
            steps=await _steps(done.output_tail, command.preset, secrets),
        )

    return go


def _not_started(reason: str) -> Visit:
    return Visit(result=Rejected(reason), reported=NO_USAGE, seconds=0.0)


async def _result(
    command: _Command, job: Assignment, done: AgentResult, secrets: frozenset[bytes]
) -> tuple[Edited | Rejected, str]:
    """Return a program's edit of the files, or its rejection, and a remark for the log."""
    words = await _shown(last_words(done.output_tail, command.preset.form), secrets)
    if isinstance(done.result, Rejected):
        reason = done.result.reason
        return Rejected(f"{reason}: {words}" if words and done.status != 0 else reason), ""
    edited = Edited(source=done.result.source, note=done.note)
    leak = await asyncio.to_thread(_leak, job, edited, secrets)
    if leak:
        return Rejected(leak), ""
    if edited.source.tree == job.source.tree:
        return edited, f"its last output: {words}" if words else ""
    dropped = done.result.dropped
    return edited, f"it added {', '.join(dropped)}: ignored" if dropped else ""


async def _steps(printed: str, preset: Preset, secrets: frozenset[bytes]) -> tuple[TraceStep, ...]:
    """Return the steps in a program's output, unless it reveals a secret."""
    if await asyncio.to_thread(shows_secret, printed, secrets):
        return (TraceStep(kind="output", who="output", text=_NOT_SHOWN),)
    return await asyncio.to_thread(agent_steps, printed, preset.form)


async def _shown(text: str, secrets: frozenset[bytes]) -> str:
    """Return a program's output, unless it reveals a secret."""
    is_secret = bool(text) and await asyncio.to_thread(shows_secret, text, secrets)
    return _NOT_SHOWN if is_secret else text


def _secrets(bench: AgentAccess) -> frozenset[bytes]:
    values = [value for name, value in bench.environment.items() if name not in _ALWAYS]
    return long_words((*bench.kept, *bench.shown), values)


def _leak(job: Assignment, edited: Edited, secrets: frozenset[bytes]) -> str | None:
    name = leaking_file(edited.source, base=job.source, note=edited.note, secrets=secrets)
    return name and f"{name} contains log-in data or keys that the agent was given"
