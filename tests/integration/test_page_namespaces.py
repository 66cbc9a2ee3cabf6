"""The page on machines without 127.0.0.1, played by network namespaces."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.namespaces import Machine, on_one_wire, why_not

_ASK = """
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1] + "api/v1/openapi.json", timeout=10).status)
"""


@pytest.fixture
def machine() -> Iterator[Machine]:
    """A machine whose loopback interface has no IPv4 address."""
    if (lack := why_not()) is not None:
        pytest.skip(lack)
    with on_one_wire([["8.0.0.1"]]) as machines:
        machines[0].run("ip", "addr", "del", "127.0.0.1/8", "dev", "lo")
        yield machines[0]


def _view(machine: Machine, home: Path) -> "subprocess.Popen[str]":
    words = [*machine.entering, sys.executable, "-m", "node", "view", "--no-browser"]
    return subprocess.Popen(
        [*words, "--json"],
        env={"ARNODE_HOME": str(home), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_without_127_0_0_1_the_page_is_served_at_ipv6_loopback(
    machine: Machine, tmp_path: Path
) -> None:
    if not machine.can_bind("::1"):
        pytest.skip("this machine has no IPv6")
    with _view(machine, tmp_path / "home") as view:
        assert view.stdout is not None
        try:
            document = "".join([*iter(view.stdout.readline, "}\n"), "}"])
            address = json.loads(document)["address"]
            assert address == "http://[::1]:7842/"
            assert machine.run(sys.executable, "-c", _ASK, address).stdout.strip() == "200"
        finally:
            view.terminate()


def test_without_any_loopback_the_hint_says_what_to_change(
    machine: Machine, tmp_path: Path
) -> None:
    machine.run("ip", "link", "set", "lo", "down")
    with _view(machine, tmp_path / "home") as view:
        output = view.communicate(timeout=60)[1]
    assert view.returncode == 6
    assert "this machine has no loopback address" in output
    assert 'set `web` to "none"' in output
