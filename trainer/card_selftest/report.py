"""The result of a card's self-test: its steps, the settings for scripts, and a report to send.

The report contains no host or user name, no key, no address and no serial number.
"""

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from trainer.cards.cards import GraphicsCard
from trainer.host.device import Device
from trainer.language_model.text.token_cache import write_atomically

NOTHING_ELSE: Final = "`tiny` runs on the processor"
SEND_REPORT: Final = "send the report that `arnode doctor --self-test` writes"
_VERSION: Final = 1  # of the self-test: raise it when the settings for scripts change
_FOLDER: Final = "cards"
_NOT_COMPARED: Final = ("power_limit_w",)  # may change while the card stays the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault of a card: its identifier, a message, a hint, and what arnode does `instead`.

    With `is_kept` the next start assumes the fault without testing, as long as the card, the driver
    and torch stay the same.
    """

    name: str
    said: str
    hint: str
    instead: str = NOTHING_ELSE
    is_kept: bool = False

    @property
    def ends_it(self) -> bool:
        """True if the fault prevents all runs on the card."""
        return self.instead == NOTHING_ELSE

    def __str__(self) -> str:
        return f"{self.name}: {self.said}; {self.instead}; {self.hint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTestStep:
    """One step of a self-test: its result, its duration, and its faults."""

    name: str
    detail: str
    seconds: float
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTestConditions:
    """The card, driver and torch that a self-test's result is valid for."""

    hardware_class: str
    driver: str
    torch: str
    version: int = _VERSION

    @classmethod
    def of(cls, device: Device) -> "SelfTestConditions":
        """Return the current conditions of a device."""
        driver, torch = (str(device.environment.get(name, "")) for name in ("driver", "torch"))
        return cls(hardware_class=device.slug, driver=driver, torch=torch)


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTestReport:
    """A self-test's result. `script_settings` are for scripts; empty if no run can be made."""

    setting: SelfTestConditions
    steps: tuple[SelfTestStep, ...]
    script_settings: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """True if runs can be made on the card."""
        return bool(self.script_settings)

    @property
    def faults(self) -> list[Fault]:
        """The faults of all steps, in order."""
        return [fault for step in self.steps for fault in step.faults]

    def apply_to(self, device: Device) -> Device:
        """Return the device with this result added to its script settings and its environment."""
        size = self.script_settings.get("size")
        shown: dict[str, str | int] = {"size": "x".join(map(str, size))} if size else {}
        if self.passed:
            shown["attention"] = self.script_settings["attention"]
            shown["compiled"] = int(self.script_settings["compiled"])  # records have no booleans
        return replace(
            device,
            environment={**device.environment, **shown},
            script_settings=self.script_settings,
        )

    def document(self, card: GraphicsCard | None) -> dict[str, Any]:
        """Return the report that a user may send."""
        described: dict[str, Any] = {"name": "the processor, tested instead of a card"}
        if card is not None:
            described = {
                "name": card.name,
                "memory_mib": card.memory_bytes >> 20,
                "compute_capability": ".".join(map(str, card.compute_capability)),
                "mig_profile": card.mig_profile,
                **{name: value for name, value in card.env.items() if name not in _NOT_COMPARED},
            }
        return {
            "report": "arnode gpu-report 1",
            "arnode": _version(),
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "card": described,
            **asdict(self),
        }


def _version() -> str:
    try:
        return metadata.version("arnode")
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return "not installed"


def with_selftest_result(device: Device, folder: Path) -> Device:
    """Return a device with its stored self-test result; unchanged if it has not passed a test."""
    result = load_report(SelfTestConditions.of(device), folder) if device.cuda is not None else None
    return result.apply_to(device) if result and result.passed else device


def save_report(result: SelfTestReport, folder: Path) -> None:
    """Store a self-test's result atomically."""
    path = _path(folder, result.setting)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(asdict(result), indent=1).encode())


def load_report(setting: SelfTestConditions, folder: Path) -> SelfTestReport | None:
    """Return the stored result for these conditions; None if it is missing or unreadable."""
    try:
        found = json.loads(_path(folder, setting).read_text())
        result = SelfTestReport(
            setting=SelfTestConditions(**found["setting"]),
            steps=tuple(_step(one) for one in found["steps"]),
            script_settings=found["script_settings"],
            figures=found["figures"],
        )
    except (OSError, ValueError, KeyError, TypeError):  # a damaged file: test the card again
        return None
    return result if result.setting == setting else None


def _path(folder: Path, setting: SelfTestConditions) -> Path:
    return folder / _FOLDER / f"{setting.hardware_class}.json"


def _step(document: Mapping[str, Any]) -> SelfTestStep:
    faults = tuple(Fault(**one) for one in document["faults"])
    return SelfTestStep(
        name=document["name"],
        detail=document["detail"],
        seconds=document["seconds"],
        faults=faults,
    )
