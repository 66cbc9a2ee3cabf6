"""The commands of one's other machines refuse what cannot be, and their files are true."""

import configparser
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from node.home.fleet import LaneMachine, lane_host, own_host, ray_cluster
from node.home.home import Home
from node.remote.ray_setup import environment, head_command, local_options, worker_command
from node.reporting.timeline import timeline_document
from node.store.store import Store
from protocol.errors import Rejected
from protocol.record_kinds import ResultBody
from tests.conftest import UNHURRIED_TASK
from tests.integration.nodes import fault_of
from tests.node.test_commands import command_of
from tests.remote.programs import ended_runs, programs_in
from trainer.host.interpreter import program_command

DOCS = Path(__file__).parents[2] / "docs"
MACHINES = DOCS / "machines"
PAGE = (DOCS / "fleet.md").read_text(encoding="utf-8")


def arnode(home: Path, *words: str, within_s: float = 60) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "ARNODE_HOME": str(home), "ARNODE_WEB": "none"}
    return subprocess.run(
        [sys.executable, "-m", "node", *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "code", "why", "hint"),
    [
        (
            ["worker", "ray-head", "--host", "8.8.8.8"],
            2,
            "not an address in a private network",
            "10.0.0.1",
        ),
        (["worker", "ray-head", "--host", "attic"], 2, "'attic' is not an IP address", "10.0.0.1"),
        (
            ["worker", "ray-head", "--host", "::"],
            2,
            "not an address in a private network",
            "10.0.0.1",
        ),
        (["worker", "ray-join", "auto"], 2, "auto is not another machine's", "10.0.0.1:6379"),
        (
            ["worker", "ray-join", "10.0.0.1"],
            2,
            "is not the address of a Ray cluster",
            "10.0.0.1:6379",
        ),
        (
            ["worker", "ray-join", "10.0.0.1:6379"],
            6,
            "there is no token for Ray",
            "`arnode worker ray-head`",
        ),
        (["start", "--ray", "8.8.8.8:6379"], 6, "not an address in a private network", "auto"),
        (["start", "--ray", "local", "--lane", "attic"], 6, "are both set", "--ray and --lane"),
        (["start", "--lane", "-oProxyCommand=touch"], 6, "is not a machine's name", "gpu1"),
        (["start", "--lane", "attic:0"], 6, "is not a machine's name", "gpu1"),
        (
            ["start", "--text", "README.md", "--lane", "attic"],
            6,
            "never leaves this machine",
            "leave",
        ),
        (["start", "--network", "none", "--ray", "10.0.0.1:1"], 6, "no token for Ray", "ray head"),
    ],
)
def test_what_cannot_be_is_one_clear_error(
    tmp_path: Path, words: list[str], code: int, why: str, hint: str
) -> None:
    fault, hint = fault_of(tmp_path / "home", *words, code=code).splitlines()
    assert why in fault
    assert hint in hint


def test_a_lane_that_nobody_speaks_with_says_so(tmp_path: Path) -> None:
    done = arnode(tmp_path / "home", "worker", "lane")
    assert done.returncode == 2
    fault, hint = done.stderr.splitlines()
    assert "must be started by a node" in fault
    assert "arnode start --lane" in hint


def test_a_token_that_others_can_read_is_refused(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t" * 64)
    token.chmod(0o640)
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "config.toml").write_text(f'ray_token = "{token}"\n')
    fault = fault_of(home, "worker", "ray-join", "10.0.0.1:6379", code=6)
    assert f"other users can read the token {token}" in fault
    assert f"chmod 600 {token}" in fault


@pytest.mark.parametrize("host", ["127.0.0.1", "10.1.2.3", "192.168.1.9", "100.64.3.2", "fd00::7"])
def test_addresses_of_ones_own_networks_are_taken(host: str) -> None:
    assert own_host(host) == host
    written = f"[{host}]:6379" if ":" in host else f"{host}:6379"
    assert ray_cluster(written) == written


@pytest.mark.parametrize("text", ["10.0.0.1:0", "10.0.0.1:70000", "attic:6379", "1.1.1.1:6379", ""])
def test_other_addresses_are_not(text: str) -> None:
    assert isinstance(ray_cluster(text), Rejected)


@pytest.mark.parametrize(
    "host",
    [
        "192.0.2.1",
        "198.18.0.1",
        "240.0.0.1",
        "::127.0.0.1",
        "2002:a00:1::1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::8.8.8.8",
        "2001:db8::1",
    ],
)
def test_what_may_be_a_machine_elsewhere_is_no_address_of_ones_own(host: str) -> None:
    assert isinstance(own_host(host), Rejected)


def test_a_machine_is_named_as_ssh_knows_it() -> None:
    assert lane_host("me@gpu1.lab:12") == LaneMachine(host="me@gpu1.lab", lanes=12)
    assert lane_host("gpu1") == LaneMachine(host="gpu1", lanes=1)
    for text in ("-v", "gpu1:", "gpu1:100", "a b", "gpu1;id", ""):
        assert isinstance(lane_host(text), Rejected), text


def test_ray_begins_with_a_token_and_without_a_page_or_reports(tmp_path: Path) -> None:
    settings = environment(tmp_path / "token")
    assert settings["RAY_AUTH_MODE"] == "token"
    assert settings["RAY_AUTH_TOKEN_PATH"] == str(tmp_path / "token")
    assert settings["RAY_USAGE_STATS_ENABLED"] == "0"
    head = head_command("10.0.0.1", port=6379, lanes=3)
    assert {"--include-dashboard=false", "--disable-usage-stats", "--num-cpus=3"} < set(head)
    assert "--node-ip-address=10.0.0.1" in head
    assert "--address=10.0.0.1:6379" in worker_command("10.0.0.1:6379", lanes=None)
    assert local_options(2)["address"] == "local"  # not one that Ray remembers
    assert local_options(2)["include_dashboard"] is False
    assert local_options(2)["_node_ip_address"] == "127.0.0.1"


def test_a_node_measures_on_lanes_of_its_own_machine(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    flags = ["--network", "none", "--lane", "here:2", "--max-experiments", "1"]
    done = arnode(home.root, "start", "--task", str(UNHURRIED_TASK), *flags, within_s=200)
    assert done.returncode == 0, done.stderr
    with Store.open_read_only(home) as store:
        (record, *_) = [one for one in store.records.own() if isinstance(one.body, ResultBody)]
        timeline = timeline_document(store, record)
    runs = [run.outcome for run in ended_runs(home) if run.outcome]
    assert len(runs) > 2
    assert {run.machine for run in runs} == {os.uname().nodename[:64]}
    assert {run["machine"] for run in timeline} == {os.uname().nodename[:64]}
    assert not list(programs_in(home.root))


def test_the_program_of_a_lane_ends_with_its_input(tmp_path: Path) -> None:
    done = subprocess.run(
        program_command("node.remote.lane"),
        env={**os.environ, "ARNODE_HOME": str(tmp_path / "home")},
        input=b"",
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"here" in done.stdout
    assert done.stderr == b""


# The page and the files


def documented_commands() -> Iterator[list[str]]:
    """Yield the arguments of each `arnode` command in the page and the files."""
    block = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    quoted = re.findall(r"`(arnode [^`]+)`", block.sub("", PAGE))
    lines = [*quoted, *"".join(block.findall(PAGE)).splitlines()]
    for line in lines:
        words = line.split()
        if words[0] == "arnode":
            yield words[1:]
    unit = (MACHINES / "arnode-worker.service").read_text()
    (start,) = re.findall(r"^ExecStart=/opt/arnode/.venv/bin/arnode (.*)$", unit, re.MULTILINE)
    yield start.split()
    containers = (MACHINES / "compose.yaml").read_text()
    for command in re.findall(r"command: (\[.*\])", containers):
        yield json.loads(command)
    for line in re.findall(r"arnode ((?:ray|start) [^;\n]+)", containers):
        yield line.split()
    job = (MACHINES / "fleet.slurm").read_text().replace("\\\n", "")
    for line in re.findall(r'"\$arnode" ([a-z].*?)&?$', job, re.MULTILINE):
        yield [word.strip("'") for word in line.split() if word != "&"]


def test_every_command_of_the_page_and_files_is_one_and_has_these_flags() -> None:
    documented = list(documented_commands())
    assert {words[0] for words in documented} >= {"start", "status", "worker", "home", "stop"}
    for words in documented:
        command = command_of(words)
        flags = {flag for param in command.params for flag in param.opts}
        assert {word for word in words if word.startswith("--")} <= flags, words


def test_the_worker_unit_names_what_there_is() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string((MACHINES / "arnode-worker.service").read_text())
    service = unit["Service"]
    assert service["User"] != "root"
    assert service["Restart"] == "always"
    for forbidden in ("RestrictNamespaces", "PrivateUsers", "ProtectProc"):
        assert forbidden not in service  # sandboxes are made of namespaces


def test_the_containers_are_of_an_image_with_ray() -> None:
    text = (MACHINES / "compose.yaml").read_text()
    (image,) = re.findall(r"dockerfile: (\S+)", text)
    assert 'EXTRAS: "[ray]"' in text
    assert '".${EXTRAS}"' in (DOCS.parent / image).read_text()
    assert text.count("ARNODE_RAY_TOKEN: /token/ray") == 1  # in what all of them share


def test_the_container_of_the_node_is_the_machine_of_the_head() -> None:
    services = yaml.safe_load((MACHINES / "compose.yaml").read_text())["services"]
    assert set(services) == {"node", "worker"}
    (script,) = services["node"]["command"]
    address = services["node"]["networks"]["fleet"]["ipv4_address"]
    assert f"arnode worker ray-head --host {address}" in script
    # The lanes of machines that have not joined yet are waited for only if they are asked for.
    assert re.search(rf"exec arnode start --ray {address}:6379 --lanes \S+", script)
    assert services["worker"]["command"][:3] == ["worker", "ray-join", f"{address}:6379"]
    assert {"state:/state", "token:/token"} <= set(services["node"]["volumes"])
    assert services["worker"]["volumes"] == ["token:/token"]  # nothing of the node's key


def test_the_job_is_a_script_that_a_shell_reads() -> None:
    subprocess.run(["bash", "-n", MACHINES / "fleet.slurm"], check=True, timeout=10)


def test_every_file_that_the_page_leads_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGE)
    assert len(links) > 5
    for link in links:
        assert (DOCS / link).exists(), link
