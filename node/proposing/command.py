"""Makes a proposer of the user's coding agent, and says what is in the way of it.

Brings the settings, the presets and the workshop together. The environment is made word by word:
a key of the node's own, the one that `llm_key` names, is passed only if the user lists it.
"""

import asyncio
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.command import (
    NOTES,
    TITLE_NAME,
    CommandProposer,
    Edited,
    Job,
    Run,
    Write,
)
from agent.source.checked import Check
from node.config import Config
from node.home import Home
from node.proposing.leaks import leaking_file, long_words
from node.proposing.presets import OWN, PRESETS, Preset
from node.terminal import plain
from protocol.errors import ArnodeError, ConfigurationError, Rejected
from trainer.workshop.installed import find_program
from trainer.workshop.limits import Limits
from trainer.workshop.view import nameable
from trainer.workshop.workshop import Bench, require_workshop, work
from trainer.workshop.worktree import Given

COMMANDS: Final = (*PRESETS, "command")  # the values of `agent` that this is for
_ALWAYS = ("PATH", "LANG")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Command:
    """A program as the settings describe it, everything checked that can be."""

    name: str
    argv: tuple[str, ...]
    preset: Preset
    bench: Bench


def command_proposer(
    config: Config,
    home: Home,
    *,
    env: Mapping[str, str],
    prompt: Write,
    check: Check,
) -> CommandProposer:
    """Return the proposer that `agent` names, one of `COMMANDS`.

    Raises ConfigurationError where program or folders are missing, SafetyError where no workshop
    can be had.
    """
    require_workshop()
    command = _command(config, home, env)
    return CommandProposer(
        _runner(command),
        name=command.name,
        argv=command.argv,
        prompt=prompt,
        check=check,
    )


def command_fault(config: Config, home: Home, *, env: Mapping[str, str]) -> tuple[str, str] | None:
    """Return what is in the way of the command that `agent` names and its mend, None if nothing.

    Also where it may only seem so: no log-in was found.
    """
    try:
        require_workshop()
        command = _command(config, home, env)
    except ArnodeError as fault:
        return fault.message, fault.hint
    unset = [name for name in config.agent_variables if name not in env]
    if unset:
        return f"the variable {unset[0]} of `agent_variables` is not set", "set it, or take it out"
    if config.agent_variables or config.agent_folders or config.agent == "command":
        return None  # the user said what it needs
    preset, bench = command.preset, command.bench
    has_file = any(path.exists() for path in (*bench.kept, *bench.shown))
    if has_file or any(name in bench.environment for name in preset.variables):
        return None
    return f"no log-in of {command.name} was found", preset.mend


def _command(config: Config, home: Home, env: Mapping[str, str]) -> _Command:
    preset = PRESETS.get(config.agent, OWN)
    argv = config.agent_command or preset.argv
    if not argv:
        raise ConfigurationError(
            '`agent` is "command" and `agent_command` is empty',
            'set it: agent_command = ["my-agent", "--file", "{prompt_file}"]',
        )
    user_home = Path(env.get("HOME") or Path.home())
    if user_home.resolve() == Path(user_home.anchor):
        raise ConfigurationError(f"your home is {user_home}", "set HOME to your home folder")
    try:
        program = find_program(argv[0], home=user_home, search_path=env.get("PATH", os.defpath))
    except ConfigurationError as fault:
        hint = preset.mend if argv == preset.argv else fault.hint
        raise ConfigurationError(fault.message, hint) from fault
    name = config.agent if config.agent in PRESETS else program.name
    return _Command(
        name=name, argv=argv, preset=preset, bench=_bench(config, preset, home, user_home, env)
    )


def _bench(
    config: Config, preset: Preset, home: Home, user_home: Path, env: Mapping[str, str]
) -> Bench:
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
                f"{path}, one of `agent_folders`, is not there", "make it, or take it out"
            )
    variables = {
        *_ALWAYS,
        *(name for name in preset.variables if name != config.llm_key),
        *config.agent_variables,
    }
    passed = {name: env[name] for name in sorted(variables) if name in env}
    return Bench(
        home=real_home,
        hidden=hidden,
        shown=tuple(map(named, preset.shown)),
        kept=(*map(named, preset.kept), *asked),
        environment={"PATH": os.defpath, **preset.settings, **passed, "TERM": "dumb"},
        limits=Limits(limit_s=config.agent_limit_s),
    )


def _runner(command: _Command) -> Run:
    async def run(job: Job) -> Edited | Rejected:
        given = Given(
            editable=job.source,
            beside=job.beside,
            notes=NOTES,
            ignored=command.preset.ignored,
        )
        try:
            done = await work(command.bench, given, job.command, note_name=TITLE_NAME)
        except ArnodeError as fault:
            return Rejected(f"{fault.message} ({fault.hint})")
        except OSError as fault:
            return Rejected(f"it could not be started ({fault.strerror})")
        is_failure = isinstance(done.result, Rejected)
        level = logging.INFO if is_failure else logging.DEBUG
        _log.log(level, "%s printed: %s", command.name, plain(done.output_tail, lines=True))
        if isinstance(done.result, Rejected):
            return done.result
        edited = Edited(source=done.result, note=done.note)
        leak = await asyncio.to_thread(_leak, command.bench, job, edited)
        return Rejected(leak) if leak else edited

    return run


def _leak(bench: Bench, job: Job, edited: Edited) -> str | None:
    values = [value for name, value in bench.environment.items() if name not in _ALWAYS]
    secrets = long_words((*bench.kept, *bench.shown), values)
    name = leaking_file(edited.source, base=job.source, note=edited.note, secrets=secrets)
    return name and f"{name} has something in it from the log-in or keys that it was given"
