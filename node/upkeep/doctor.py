"""What `arnode doctor` looks at. Each check tries the thing itself and names the mend."""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from node.home.home import Home
from node.home.keyfile import read_keys
from node.settings.config import config_of, load_config
from protocol.errors import ArnodeError
from trainer.cards.cards import Card, probe_cards
from trainer.host.device import processor
from trainer.kinds import TRIED_WITH, card_fault
from trainer.sandbox.profile import Profile
from trainer.sandbox.sandbox import Sandbox
from trainer.sandbox.tier import probe_tier

_PACKAGES = ("agent", "bootstrap", "node", "protocol", "trainer")
_FREE_WARNING_BYTES = 2 << 30
_FREE_PROBLEM_BYTES = 200 << 20
_CLOCK_FLOOR_S = 1_767_225_600  # 2026-01-01: before it a clock was never set


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing, how it stands, and what to do about it."""

    name: str
    status: Literal["ok", "warning", "problem"]
    detail: str
    mend: str = ""


def examine(home: Home) -> Iterator[Check]:
    """Yield the checks one by one, as they are made."""
    checks: tuple[Callable[[Home], Check], ...] = (
        _python,
        _packages,
        _torch,
        _sandbox,
        _git,
        _device,
        _disk,
        _clock,
        _settings,
        _key,
        _agent,
    )
    for check in checks:
        try:
            yield check(home)
        except ArnodeError as fault:
            name = check.__name__.strip("_")
            yield Check(name=name, status="problem", detail=fault.message, mend=fault.hint)


def _python(_: Home) -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check(name="python", status="ok", detail=f"Python {version}")


def _packages(_: Home) -> Check:
    """The five package names are common on PyPI: another `node` may stand in front of ours."""
    ours = Path(__file__).parents[2]
    for name in _PACKAGES:
        spec = find_spec(name)
        if spec is None or spec.origin is None or Path(spec.origin).parent.parent != ours:
            return Check(
                name="packages",
                status="problem",
                detail=f"the package `{name}` is not arnode's",
                mend="install arnode into an environment of its own (uv tool, pipx or a venv)",
            )
    return Check(name="packages", status="ok", detail=f"arnode {metadata.version('arnode')}")


def _torch(_: Home) -> Check:
    try:
        return Check(name="torch", status="ok", detail=f"torch {metadata.version('torch')}")
    except metadata.PackageNotFoundError:
        return Check(
            name="torch",
            status="problem",
            detail="torch is not installed",
            mend="pip install torch",
        )


def _sandbox(_: Home) -> Check:
    tier = probe_tier()
    if tier.name == "none":
        return Check(name="sandbox", status="problem", detail=tier.detail, mend=tier.mend)
    started_s = time.monotonic()

    async def launch() -> None:
        profile = Profile(
            role="serve", harness=TRIED_WITH, memory_bytes=2 << 30, scratch_bytes=64 << 20
        )
        await (await Sandbox.launch(profile)).close()

    asyncio.run(launch())
    took_s = time.monotonic() - started_s
    detail = f"tier {tier.name} ({tier.detail}), torch imported inside in {took_s:.1f} s"
    status: Literal["ok", "warning"] = "ok" if tier.name == "full" else "warning"
    return Check(name="sandbox", status=status, detail=detail, mend=tier.mend)


def _git(_: Home) -> Check:
    git = shutil.which("git")
    if git is None:
        return Check(
            name="git",
            status="problem",
            detail="git is not installed, so no journal can be kept",
            mend="install your distribution's package `git`",
        )
    said = subprocess.run([git, "--version"], capture_output=True, text=True, check=False)
    return Check(name="git", status="ok", detail=said.stdout.strip())


def _device(_: Home) -> Check:
    slug = processor().slug
    found = probe_cards()
    if found.fault:
        mend = f"`nvidia-smi` may tell more; until then runs are on the CPU ({slug})"
        return Check(name="device", status="warning", detail=found.fault, mend=mend)
    if not found.cards:
        return Check(name="device", status="ok", detail=f"{slug}, no NVIDIA card")
    detail = "; ".join(map(_described, found.cards))
    for card in found.cards:
        if fault := card_fault(card):
            return Check(
                name="device",
                status="warning",
                detail=f"{detail}; {fault.message}",
                mend=fault.hint,
            )
    return Check(name="device", status="ok", detail=detail)


def _described(card: Card) -> str:
    told = [f"{card.name} ({card.hardware_class.slug})"]
    if driver := card.env.get("driver"):
        told.append(f"driver {driver}")
    limit, usual = card.env.get("power_limit_w"), card.env.get("power_default_w")
    if limit and usual and limit != usual:
        told.append(f"{limit} of {usual} W")
    return ", ".join(told)


def _disk(home: Home) -> Check:
    place = next(path for path in (home.root, *home.root.parents) if path.exists())
    free = shutil.disk_usage(place).free
    status: Literal["ok", "warning", "problem"] = "ok"
    if free < _FREE_WARNING_BYTES:
        status = "problem" if free < _FREE_PROBLEM_BYTES else "warning"
    mend = "" if status == "ok" else f"free some space under {place}, or move ARNODE_HOME"
    return Check(name="disk", status=status, detail=f"{free / 1e9:.1f} GB free", mend=mend)


def _clock(_: Home) -> Check:
    if time.time() < _CLOCK_FLOOR_S:
        return Check(
            name="clock",
            status="problem",
            detail=time.strftime("it says %Y-%m-%d"),
            mend="set the clock; records carry the time",
        )
    return Check(name="clock", status="ok", detail=time.strftime("%Y-%m-%d %H:%M %Z"))


def _settings(home: Home) -> Check:
    load_config(home.config, env=os.environ)
    detail = str(home.config) if home.config.exists() else "defaults"
    return Check(name="settings", status="ok", detail=detail)


def _key(home: Home) -> Check:
    if not home.key.exists():
        return Check(name="key", status="ok", detail="made at the first start")
    author = read_keys(home).author.public.hex()
    return Check(name="key", status="ok", detail=f"author {author[:12]}")


def _agent(home: Home) -> Check:
    """Whoever proposes: a model is asked one tiny question, a program is looked for."""
    from node.proposing.choice import choose
    from node.proposing.diagnosis import diagnose
    from node.proposing.keys import take_keys
    from node.terminal.progress import reporting

    config = config_of(home)
    keys = take_keys(dict(os.environ), config.llm_key)
    chosen = choose(config, keys, os.environ)
    with reporting() as progress:
        found = diagnose(home, config, chosen.choice, keys, os.environ, progress)
    detail = f"{chosen.reason}; {found.detail}" if config.agent == "auto" else found.detail
    return Check(name="agent", status=found.status, detail=detail, mend=found.mend)
