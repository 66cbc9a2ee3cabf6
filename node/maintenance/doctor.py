"""The checks of `arnode doctor`. Each tests something that arnode needs, and names the fix."""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from node.home.files import LITTLE_BYTES, TOO_LITTLE_BYTES, free_bytes
from node.home.home import Home
from node.home.keyfile import read_keys
from node.home.plugins import GROUPS, plugins
from node.home.settings_in_force import config_of, load_config
from node.proposing.choice import AUTO, choose
from node.proposing.diagnosis import Diagnosis, diagnose
from node.proposing.keys import take_keys
from node.proposing.roles import roles_at_work
from node.store.store import Store
from node.terminal.progress import announced, reporting
from node.terminal.vocabulary import many, reused_words
from protocol.errors import ArnodeError, ConfigurationError
from trainer.cards.cards import GraphicsCard, probe_cards
from trainer.host.capacity import usable_cores
from trainer.host.counting import require_counter
from trainer.host.device import processor
from trainer.host.system_packages import install_hint
from trainer.sandbox.profile import Profile
from trainer.sandbox.sandbox import Sandbox
from trainer.sandbox.tier import probe_tier, why_nothing_is_forked
from trainer.task_kinds import TRIED_WITH, card_fault

_PACKAGES = ("agent", "arnode_plugins", "bootstrap", "node", "protocol", "trainer")
_BY_WEIGHT = ("ok", "warning", "problem")
_APART_S = 60  # own records this far in the future give no warning yet
_CLOCK_FLOOR_S = 1_767_225_600  # 2026-01-01: a clock before this was never set


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The result of a check, and how to fix it."""

    name: str
    status: Literal["ok", "warning", "problem"]
    detail: str
    hint: str = ""


def examine(home: Home) -> Iterator[Check]:
    """Run the checks in order, and yield each result."""
    checks: tuple[Callable[[Home], Diagnosis], ...] = (
        _python,
        _packages,
        _plugins,
        _torch,
        _sandbox,
        _git,
        _device,
        _instructions,
        _disk,
        _clock,
        _settings,
        _key,
        _agent,
    )
    for check in checks:
        name = check.__name__.strip("_")
        try:
            with announced(f"checking: {name}"):
                found = check(home)
        except ArnodeError as fault:
            found = _problem(fault.message, fault.hint)
        yield Check(name=name, status=found.status, detail=found.detail, hint=found.hint)


def _fine(detail: str) -> Diagnosis:
    return Diagnosis(status="ok", detail=detail)


def _problem(detail: str, hint: str) -> Diagnosis:
    return Diagnosis(status="problem", detail=detail, hint=hint)


def _python(_: Home) -> Diagnosis:
    version = ".".join(map(str, sys.version_info[:3]))
    return _fine(f"Python {version}")


def _packages(_: Home) -> Diagnosis:
    """Check that arnode's packages are imported, not others from PyPI with the same names."""
    ours = Path(__file__).parents[2]
    for name in _PACKAGES:
        spec = find_spec(name)
        if spec is None or spec.origin is None or Path(spec.origin).parent.parent != ours:
            return _problem(
                f"the package `{name}` is not arnode's",
                "install arnode into an environment of its own (uv tool, pipx or a venv)",
            )
    return _fine(f"arnode {metadata.version('arnode')}")


def _plugins(_: Home) -> Diagnosis:
    """Load the plugins of all installed distributions, in the same way as the commands."""
    found = [(one, kind) for group, kind in GROUPS.items() for one in plugins(group).values()]
    faults: list[ConfigurationError] = []
    for one, kind in found:
        try:
            if type(one.load(object)).__name__ != kind:
                faults.append(one.fault(f"is no {kind}"))
        except ConfigurationError as fault:
            faults.append(fault)
    if faults:
        message = "; ".join(fault.message for fault in faults)
        return Diagnosis(status="warning", detail=message, hint=faults[0].hint or "")
    others = [one for one, _ in found if not one.is_own]
    named = ", ".join(f"{one.name} ({one.distribution} {one.version})" for one in others)
    return _fine(f"{len(found) - len(others)} of arnode's own" + (f", {named}" if others else ""))


def _torch(_: Home) -> Diagnosis:
    try:
        return _fine(f"torch {metadata.version('torch')}")
    except metadata.PackageNotFoundError:
        return _problem("torch is not installed", "pip install torch")


def _sandbox(_: Home) -> Diagnosis:
    tier = probe_tier()
    if tier.name == "none":
        return _problem(tier.detail, tier.hint)
    started_s = time.monotonic()

    async def launch() -> None:
        profile = Profile(
            role="serve", harness=TRIED_WITH, memory_bytes=2 << 30, scratch_bytes=64 << 20
        )
        await (await Sandbox.launch(profile)).close()

    asyncio.run(launch())
    took_s = time.monotonic() - started_s
    detail = f"tier {tier.name} ({tier.detail}), torch is imported inside in {took_s:.1f} s, "
    if why := why_nothing_is_forked():
        detail += f"for each run, since runs cannot be forked: {why}"
    else:
        started_s = time.monotonic()
        asyncio.run(launch())
        forked_ms = 1000 * (time.monotonic() - started_s)
        detail += f"once; then each run is forked in {forked_ms:.0f} ms"
    status: Literal["ok", "warning"] = "ok" if tier.name == "full" else "warning"
    return Diagnosis(status=status, detail=detail, hint=tier.hint)


def _git(_: Home) -> Diagnosis:
    git = shutil.which("git")
    if git is None:
        return _problem(
            "git is not installed, so no journal can be kept",
            install_hint("git"),
        )
    result = subprocess.run([git, "--version"], capture_output=True, text=True, check=False)
    return _fine(result.stdout.strip())


def _device(_: Home) -> Diagnosis:
    slug = processor().slug
    found = probe_cards()
    if found.fault:
        hint = f"`nvidia-smi` may show the cause; runs use the CPU ({slug}) until it is fixed"
        return Diagnosis(status="warning", detail=found.fault, hint=hint)
    if not found.cards:
        return _fine(f"{slug}, cores for {many(usable_cores(), 'lane')}, no NVIDIA card")
    detail = "; ".join(map(_described, found.cards))
    for card in found.cards:
        if fault := card_fault(card):
            message = f"{detail}; {fault.message}"
            return Diagnosis(status="warning", detail=message, hint=fault.hint)
    return _fine(detail)


def _instructions(_: Home) -> Diagnosis:
    """Check the processor's instruction counter, which only some tasks need."""
    try:
        require_counter()
    except ConfigurationError as fault:
        return _fine(f"{fault.message}, so no task here may count them")
    return _fine("counted by the processor, for tasks that ask for it")


def _described(card: GraphicsCard) -> str:
    parts = [f"{card.name} ({card.hardware_class.slug})"]
    if driver := card.env.get("driver"):
        parts.append(f"driver {driver}")
    limit, usual = card.env.get("power_limit_w"), card.env.get("power_default_w")
    if limit and usual and limit != usual:
        parts.append(f"{limit} of {usual} W")
    return ", ".join(parts)


def _disk(home: Home) -> Diagnosis:
    place = next(path for path in (home.root, *home.root.parents) if path.exists())
    free = free_bytes(place)
    status: Literal["ok", "warning", "problem"] = "ok"
    if free < LITTLE_BYTES:
        status = "problem" if free < TOO_LITTLE_BYTES else "warning"
    hint = (
        ""
        if status == "ok"
        else f"free some space under {place} (`arnode home gc`), or move ARNODE_HOME"
    )
    return Diagnosis(status=status, detail=f"{free / 1e9:.1f} GB free", hint=hint)


def _clock(home: Home) -> Diagnosis:
    now = time.strftime("%Y-%m-%d %H:%M %Z")
    if time.time() < _CLOCK_FLOOR_S:
        reading = time.strftime("it says %Y-%m-%d")
        return _problem(reading, "set the clock; records contain the time")
    with Store.open_read_only(home) as store:
        latest_s = store.records.latest_own_ms() / 1000
    if latest_s > time.time() + _APART_S:
        latest = time.strftime("%Y-%m-%d %H:%M", time.localtime(latest_s))
        return Diagnosis(
            status="warning",
            detail=f"{now}; this node's records have later dates, up to {latest}",
            hint="if the clock is wrong, set it; if those records have wrong dates, do nothing",
        )
    return _fine(now)


def _settings(home: Home) -> Diagnosis:
    load_config(home.config, env=os.environ)
    return _fine(str(home.config) if home.config.exists() else "defaults")


def _key(home: Home) -> Diagnosis:
    if not home.key.exists():
        return _fine("created at the first start")
    author = read_keys(home).author.public
    with Store.open_read_only(home) as store:
        number = store.boards.reused_number(author)
    if number is None:
        return _fine(f"author {author.hex()[:12]}")
    return _problem(
        reused_words(number),
        "an older copy of this home was started, or two copies of it run: stop all copies, then "
        "run `arnode home key renew`; the new key names this one, and no measurement is lost",
    )


def _agent(home: Home) -> Diagnosis:
    """Check the proposers, the planner and the reviewer. Each model gets one tiny question."""
    config = config_of(home)
    keys = take_keys(dict(os.environ), config.llm_key)
    chosen = choose(config, keys, os.environ)
    with reporting() as progress:
        found = [
            diagnose(home, arm.settings(config), arm.choice, keys, os.environ, progress)
            for arm in chosen.arms
        ]
        for role, choice in roles_at_work(config, chosen.arms).items():
            one = diagnose(home, config, choice, keys, os.environ, progress)
            found.append(replace(one, detail=f"{role} {one.detail}"))
    reasons = [chosen.reason] if config.agent == AUTO else []
    return Diagnosis(
        status=max((one.status for one in found), key=_BY_WEIGHT.index),
        detail="; ".join([*reasons, *(one.detail for one in found)]),
        hint="; ".join(one.hint for one in found if one.hint),
    )
