"""Single settings are changed in the user's file; everything else in it stays."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.home.config_file import change_settings
from node.home.settings_in_force import load_config
from protocol.errors import ConfigurationError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", 'net = "lab"\nonline = true\n'),
        ("# a word\n\ntask = 'tiny'", "# a word\n\ntask = 'tiny'\nnet = \"lab\"\nonline = true\n"),
        ('net="main" # home\nname = "x"\n', 'net = "lab"\nname = "x"\nonline = true\n'),
        ("online  =  false\nnet = 'a'", 'online = true\nnet = "lab"\n'),
        ("task = 'b'\r\n\tnet = 'a'\r\n", "task = 'b'\r\nnet = \"lab\"\nonline = true\n"),
    ],
)
def test_the_lines_of_settings_are_replaced_or_added(path: Path, before: str, after: str) -> None:
    path.write_bytes(before.encode())
    change_settings(path, {"net": "lab", "online": True})
    assert path.read_bytes().decode() == after


def test_a_setting_can_be_removed(path: Path) -> None:
    path.write_text('# all\nonline = false\nname = "x"\n')
    change_settings(path, {"online": None, "net": None})
    assert path.read_text() == '# all\nname = "x"\n'


def test_a_file_that_is_not_there_is_made(path: Path) -> None:
    change_settings(path, {"online": False})
    assert load_config(path, env={}).config.online is False


def test_a_file_that_lies_elsewhere_stays_there(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "dotfiles.toml"
    target.write_text('name = "x"\n')
    path.symlink_to(target)
    change_settings(path, {"online": True})
    assert path.is_symlink()
    assert target.read_text() == 'name = "x"\nonline = true\n'


def test_what_lines_cannot_do_is_left_to_the_user(path: Path) -> None:
    text = 'name = """\\\nnet = 1\\\n"""\n'
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="cannot be changed line by line") as caught:
        change_settings(path, {"net": "lab"})
    assert '`net = "lab"`' in caught.value.hint
    assert path.read_text() == text


def test_a_file_with_a_fault_is_not_touched(path: Path) -> None:
    path.write_text("netz = 1\n")
    with pytest.raises(ConfigurationError, match="netz"):
        change_settings(path, {"net": "lab"})
    assert path.read_text() == "netz = 1\n"


@given(
    st.dictionaries(
        st.sampled_from(["task", "text", "name"]),
        st.from_regex(r"[a-z =#']{1,20}", fullmatch=True),
    ),
    st.none() | st.booleans(),
    st.none() | st.from_regex(r"[a-z]{1,9}", fullmatch=True).filter("none".__ne__),
)
def test_others_keep_their_values(
    tmp_path_factory: pytest.TempPathFactory,
    others: dict[str, str],
    online: bool | None,
    net: str | None,
) -> None:
    path = tmp_path_factory.mktemp("file") / "config.toml"
    path.write_text("".join(f'{name} = "{value}"\n' for name, value in others.items()))
    change_settings(path, {"online": online, "net": net})
    changed = {"online": online, "net": net}
    kept = {name: value for name, value in changed.items() if value is not None}
    assert tomllib.loads(path.read_text()) == others | kept
