"""The files of the page on running a node as a service can be parsed, and agree with each other."""

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from node.home.config import SETTINGS
from protocol.errors import ConfigurationError, SafetyError, UsageError
from tests.bootstrap.test_deploy import instructions_in
from tests.node.test_commands import command_of

DOCS = Path(__file__).parent.parent / "docs"
FILES = ("service.md", "arnode.service", "Containerfile")
PAGE, UNIT, IMAGE = ((DOCS / name).read_text(encoding="utf-8") for name in FILES)
HOME = "/var/lib/arnode"
PROGRAM = "/opt/arnode/.venv/bin/arnode"
ENGINE = {  # options of the engine before the image's name, with their number of words
    "--detach": 0, "--init": 0, "--rm": 0, "--name": 1, "--restart": 1, "--stop-timeout": 1,
    "--memory": 1, "--volume": 1, "--publish": 1, "--security-opt": 1, "--cap-drop": 1,
    "--cap-add": 1, "--user": 1,
}  # fmt: skip


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNIT)
    return parser


def documented_commands() -> Iterator[list[str]]:
    """Return the words after `arnode` in all the commands of the files."""
    (default,) = (rest for word, rest in instructions_in(IMAGE) if word == "CMD")
    block = re.compile(r"^```(?:sh|ini)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    quoted = re.findall(r"`([^`]+)`", block.sub("", PAGE))
    lines = [*UNIT.splitlines(), *quoted, *"".join(block.findall(PAGE)).splitlines()]
    for line in lines:
        match line.removeprefix("ExecStart=").split():
            case ["podman", "run", *_] as words:
                yield words[len(engine_flags(words)) + 3 :] or json.loads(default)
            case ["podman", "exec", "arnode", "arnode", *words]:
                yield words
            case ["sudo", "-u", "arnode", "env", home, program, *words]:
                assert (home, program) == (f"ARNODE_HOME={HOME}", PROGRAM)
                yield words
            case ["arnode" | "arnode-node" | "/opt/arnode/.venv/bin/arnode", *words] if words:
                yield words


def engine_flags(words: list[str]) -> list[str]:
    """Return the words of a `podman run` between that and the image's name."""
    place = 2
    while words[place].startswith("--"):
        place += 1 + ENGINE[words[place]]
    assert words[place] == "arnode-node"
    return words[2:place]


def test_every_command_of_the_files_is_one_and_has_these_flags() -> None:
    reported = list(documented_commands())
    names = [words[0] for words in reported]
    assert {"start", "doctor", "status", "report", "network", "stop"} <= set(names)
    for words in reported:
        command = command_of(words)
        flags = {flag for param in command.params for flag in param.opts}
        assert {word for word in words[1:] if word.startswith("-")} <= flags, words


def test_the_unit_runs_it_as_a_user_of_its_own_with_one_folder() -> None:
    parser = unit()
    assert parser.sections() == ["Unit", "Service", "Install"]
    service = parser["Service"]
    assert service["User"] == service["Group"] == "arnode"
    assert service["Environment"] == f"ARNODE_HOME={HOME}"
    assert f"/var/lib/{service['StateDirectory']}" == HOME
    assert service["StateDirectoryMode"] == "0700"
    assert (service["Restart"], service["KillMode"]) == ("on-failure", "mixed")
    fixed = {one.exit_code for one in (UsageError, ConfigurationError, SafetyError)}
    assert {int(code) for code in service["RestartPreventExitStatus"].split()} == fixed
    assert parser["Unit"]["Documentation"] == "file:///opt/arnode/docs/service.md"


def test_the_unit_leaves_out_what_would_end_the_sandbox_and_says_so() -> None:
    (said,) = re.findall(r"none of these may be set:\n((?:# .*\n)+)", UNIT)
    ending = set(re.findall(r"[A-Z][A-Za-z]+", said.partition(". ")[0]))
    assert {"RestrictNamespaces", "PrivateUsers", "ProtectKernelTunables"} < ending
    assert ending.isdisjoint(unit()["Service"])
    assert all(f"`{name}`" in PAGE for name in ending)


def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not here")
    program = Path(sys.executable)  # the unit's own program need not be installed here
    copy = tmp_path / "arnode.service"
    copy.write_text(UNIT.replace(PROGRAM, str(program)))
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
    )
    about = [line for line in done.stderr.splitlines() if str(copy) in line or "arnode" in line]
    assert (done.returncode, about) == (0, [])


def test_the_image_holds_what_the_bootstrap_node_s_does_and_a_sandbox() -> None:
    theirs = (DOCS.parent / "bootstrap" / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    ours, others = instructions_in(IMAGE), instructions_in(theirs)
    for word in ("FROM", "WORKDIR", "COPY", "VOLUME", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT"):
        assert [one for one in ours if one[0] == word] == [one for one in others if one[0] == word]
    # The home is inside the volume: the image's folder belongs to one user, and root's home is
    # closed to others.
    assert dict(ours)["ENV"] == f"ARNODE_HOME={dict(ours)['VOLUME']}/home"
    packages = next(rest for word, rest in ours if word == "RUN" and "apt-get" in rest)
    assert {"bubblewrap", "gcc", "git", "libc6-dev"} <= set(packages.split())


def test_containers_have_the_rights_that_their_tier_takes_and_no_other() -> None:
    lines = [line for line in PAGE.splitlines() if line.startswith("podman run --detach")]
    container, full = (engine_flags(shlex.split(line)) for line in lines)
    for flags in (container, full):
        assert flags[flags.index("--cap-drop") + 1] == "ALL"
        assert flags[flags.index("--volume") + 1].endswith(":/state")
    added = {right for flag, right in pairwise(container) if flag == "--cap-add"}
    assert added == {"CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID"}
    assert "--user" not in container
    assert full[full.index("--user") + 1] == "arnode"
    assert "--cap-add" not in full


def test_the_files_name_no_host_and_only_settings_that_there_are() -> None:
    for text in (PAGE, UNIT, IMAGE):  # HOST stands for the reader's own
        assert set(re.findall(r"\w+://(?!HOST/)[^\s)]*", text)) <= {
            "file:///opt/arnode/docs/service.md"
        }
    assert {"peers_in_container", "online"} <= set(SETTINGS)
    assert "(service.md)" in (DOCS / "install.md").read_text(encoding="utf-8")
