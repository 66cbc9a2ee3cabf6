"""network.txt names libp2p, and exactly the packages that only it needs."""

import tomllib
from collections.abc import Iterable
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


def all_of(names: Iterable[str]) -> set[str]:
    """Return these packages and everything that they require here."""
    found = set[str]()
    waiting = [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for line in requires(name) or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                waiting.append(canonicalize_name(needed.name))
    return found


def test_network_txt_names_libp2p_and_what_only_it_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    core = all_of(Requirement(line).name for line in project["dependencies"])
    lines = (ROOT / "network.txt").read_text().splitlines()
    listed = [Requirement(line) for line in lines if not line.startswith("#")]
    assert {canonicalize_name(one.name) for one in listed} == all_of(["libp2p"]) - core
    assert [one for one in project["optional-dependencies"]["network"] if "libp2p" in one] == [
        str(one) for one in listed if one.name == "libp2p"
    ], "both install the same version"
