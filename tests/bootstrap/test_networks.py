"""The definitions that come with arnode are right, and no secret is published with them."""

from pathlib import Path

import pytest

import bootstrap
from node.home.network_definition import read_definition

FILES = sorted((Path(bootstrap.__file__).parent / "networks").glob("*.toml"))


def test_the_public_network_is_there() -> None:
    assert "main.toml" in {file.name for file in FILES}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_shipped_definition_is_right_and_public(file: Path) -> None:
    network = read_definition(file.read_bytes(), place=str(file), name=file.stem)
    assert network.secret is None
