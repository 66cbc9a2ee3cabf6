"""The deployment files parse, and agree on the program, its port and its state folder."""

import configparser
import json
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "bootstrap" / "deploy"
STATE = "/state"
COMMAND = ["network", "bootstrap"]


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions."""
    return instructions_in((DEPLOY / "Dockerfile").read_text(encoding="utf-8"))


def instructions_in(text: str) -> list[tuple[str, str]]:
    """Return the instructions that an image is built by, with continued lines joined."""
    lines = text.replace("\\\n", " ").splitlines()
    lines = [line for line in lines if line and not line.startswith("#")]
    pairs = [line.split(None, 1) for line in lines]
    return [(word, " ".join(rest.split())) for word, rest in pairs]


def of(word: str) -> list[str]:
    return [rest for name, rest in instructions() if name == word]


def plain_yaml(text: str) -> object:
    """Read the part of YAML that the compose file keeps to: maps, lists of scalars, JSON."""
    lines = [
        (len(line) - len(line.lstrip()), line.strip())
        for line in text.splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]
    assert "\t" not in text
    found, rest = _block(lines, 0)
    assert rest == []
    return found


def _block(lines: list[tuple[int, str]], indent: int) -> tuple[object, list[tuple[int, str]]]:
    if lines[0][1].startswith("- "):
        items: list[object] = []
        while lines and lines[0][0] == indent:
            assert lines[0][1].startswith("- ")
            items.append(_scalar(lines[0][1][2:]))
            lines = lines[1:]
        return items, lines
    table: dict[str, object] = {}
    while lines and lines[0][0] == indent:
        key, separator, value = lines[0][1].partition(":")
        assert separator
        assert key not in table
        lines = lines[1:]
        if value:
            table[key] = _scalar(value.strip())
        else:
            assert lines[0][0] > indent
            table[key], lines = _block(lines, lines[0][0])
    return table, lines


def _scalar(text: str) -> object:
    if text[0] in "[{\"'":
        return json.loads(text)
    assert ": " not in text
    return {"true": True, "false": False}.get(text, text)


def test_the_image_runs_a_bootstrap_node_without_privileges() -> None:
    assert instructions()[0][0] == "FROM"
    assert [json.loads(rest) for rest in of("ENTRYPOINT") + of("CMD")] == [["arnode"], COMMAND]
    assert of("USER") == ["arnode"]
    assert of("EXPOSE") == ["4001"]
    assert of("VOLUME") == [STATE]
    assert of("ENV") == [f"ARNODE_HOME={STATE}"]


def test_the_image_holds_what_the_package_is_made_of() -> None:
    copied = {word for rest in of("COPY") for word in rest.split()[:-1]}
    assert all((ROOT / name).exists() for name in copied)
    assert {"agent", "bootstrap", "node", "protocol", "trainer"} <= copied
    assert {"pyproject.toml", "constraints.txt", "network.txt", "README.md", "LICENSE"} <= copied
    steps = [step for rest in of("RUN") for step in rest.split(" && ")]
    package, network = (step for step in steps if step.startswith("pip install"))
    assert "--constraint constraints.txt" in package
    assert package.endswith(" '.'")
    assert network.endswith(" --constraint constraints.txt --no-deps --requirement network.txt")


def test_compose_runs_the_image_with_its_state_in_one_volume() -> None:
    document = plain_yaml((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    assert set(document) == {"services", "volumes"}
    service = document["services"]["bootstrap"]
    assert service["command"] == COMMAND
    assert service["ports"] == ["4001:4001"]
    assert service["volumes"] == [f"state:{STATE}"]
    assert set(document["volumes"]) == {"state"}
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    context = (DEPLOY / service["build"]["context"]).resolve()
    assert context == ROOT
    assert (context / service["build"]["dockerfile"]).is_file()


def test_the_unit_runs_it_as_a_user_with_one_folder() -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((DEPLOY / "arnode-bootstrap.service").read_text(encoding="utf-8"))
    assert parser.sections() == ["Unit", "Service", "Install"]
    service = parser["Service"]
    program, *words = service["ExecStart"].split()
    assert Path(program).is_absolute()
    assert Path(program).name == "arnode"
    assert words == COMMAND
    assert service["Environment"] == f"ARNODE_HOME=/var/lib/{service['StateDirectory']}"
    assert service["StateDirectoryMode"] == "0700"
    assert (service["DynamicUser"], service["Restart"]) == ("yes", "always")
    documented = Path(parser["Unit"]["Documentation"].removeprefix("file:///opt/arnode/"))
    assert (ROOT / documented).is_file()
