"""Settings come from flag, variable, file, default, and a misspelling is named."""

import dataclasses
import json
from pathlib import Path

import pytest

from node.commands.cli import main
from node.home.config import SETTINGS, Config
from node.home.home import Home
from node.home.settings_in_force import load_config
from protocol.errors import ConfigurationError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def test_every_setting_can_be_given_and_nothing_else() -> None:
    assert list(SETTINGS) == [field.name for field in dataclasses.fields(Config)]


@pytest.mark.parametrize("name", SETTINGS)
def test_every_default_is_a_value_that_could_be_given(path: Path, name: str) -> None:
    default = getattr(Config(), name)
    if default is not None and default != ():
        path.write_text(f"{name} = {json.dumps(default)}\n")
        assert getattr(load_config(path, env={}).config, name) == default
        assert SETTINGS[name].kind.wanted


def test_a_flag_that_was_not_given_or_names_nothing_leaves_the_others(path: Path) -> None:
    env = {"ARNODE_BOOTSTRAP": "/ip4/192.0.2.1/tcp/4001", "ARNODE_TEXT": "mine"}
    with pytest.raises(ConfigurationError, match="ARNODE_BOOTSTRAP"):
        load_config(path, env=env, flags={"bootstrap": ()})
    settings = load_config(path, env={"ARNODE_TEXT": "mine"}, flags={"text": None, "listen": ()})
    assert settings.config == Config(text="mine")
    assert settings.origins["listen"] == "default"
    assert load_config(path, env={}, flags={"text": Path("a/../b")}).config.text == "a/../b"


def test_without_anything_the_defaults_hold(path: Path) -> None:
    settings = load_config(path, env={})
    assert settings.config == Config()
    assert set(settings.origins.values()) == {"default"}


def test_flag_goes_before_variable_before_file_before_default(path: Path) -> None:
    path.write_text('task = "a"\nname = "file"\npromotion_trial_hours = 3\n')
    env = {"ARNODE_TASK": "b", "ARNODE_NAME": "variable"}
    settings = load_config(path, env=env, flags={"task": "c", "name": None})
    assert settings.config == Config(task="c", name="variable", promotion_trial_hours=3.0)
    assert settings.origins["task"] == "--task"
    assert settings.origins["name"] == "ARNODE_NAME"
    assert settings.origins["promotion_trial_hours"] == str(path)
    assert settings.origins["net"] == "default"


def test_variables_are_text_and_become_numbers(path: Path) -> None:
    env = {"ARNODE_MAX_EXPERIMENTS": "7", "ARNODE_PROMOTION_TRIAL_HOURS": "0.5"}
    settings = load_config(path, env=env).config
    assert (settings.max_experiments, settings.promotion_trial_hours) == (7, 0.5)


def test_a_switch_takes_true_and_false(path: Path) -> None:
    for word, value in (("true", True), ("1", True), ("False", False)):
        env = {"ARNODE_ALLOW_PARTIAL_SANDBOX": word}
        assert load_config(path, env=env).config.allow_partial_sandbox is value
    path.write_text("allow_partial_sandbox = true\n")
    assert load_config(path, env={}).config.allow_partial_sandbox is True
    with pytest.raises(ConfigurationError, match="maybe") as caught:
        load_config(path, env={"ARNODE_ALLOW_PARTIAL_SANDBOX": "maybe"})
    assert caught.value.hint == "`allow_partial_sandbox` takes true or false"


def test_an_unknown_key_names_its_line_and_the_nearest(path: Path) -> None:
    path.write_text('task = "tiny"\n\n[promotion_trail_hours]\n')
    with pytest.raises(
        ConfigurationError, match="line 3: unknown key `promotion_trail_hours`"
    ) as caught:
        load_config(path, env={})
    assert "did you mean `promotion_trial_hours`?" in caught.value.hint


def test_a_malformed_file_names_the_line(path: Path) -> None:
    path.write_text('net = "main"\ntask = tiny\n')
    with pytest.raises(ConfigurationError, match="line 2"):
        load_config(path, env={})


@pytest.mark.parametrize("content", [b"\xff\xfe", b'task = "\x00"'])
def test_a_file_that_is_no_text_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"config\.toml"):
        load_config(path, env={})


def test_a_folder_in_its_place_is_refused(path: Path) -> None:
    path.mkdir()
    with pytest.raises(ConfigurationError, match="is a folder"):
        load_config(path, env={})


@pytest.mark.parametrize(
    "line",
    [
        "task = 3",
        'task = ""',
        "max_experiments = 0",
        "max_experiments = true",
        "max_experiments = 1.5",
        "promotion_trial_hours = -1",
        "promotion_trial_hours = nan",
        "promotion_trial_hours = true",
        'battery = "blue"',
        'net = "Main"',
        'name = "\\u001b[2J"',
        f'name = "{"x" * 65}"',
        "text = []",
    ],
)
def test_a_wrong_value_names_the_key_and_what_it_takes(path: Path, line: str) -> None:
    path.write_text(line)
    name = line.partition(" ")[0]
    with pytest.raises(ConfigurationError, match=f"`{name}` cannot be") as caught:
        load_config(path, env={})
    assert f"`{name}` takes" in caught.value.hint


def test_a_misspelt_variable_is_named_and_others_are_left_alone(path: Path) -> None:
    load_config(path, env={"ARNODE_HOME": "/x", "ARNODE_SEED": "1", "ARNODE_XYZZY": "1"})
    with pytest.raises(ConfigurationError, match="ARNODE_TSK"):
        load_config(path, env={"ARNODE_TSK": "tiny"})


def test_a_flag_with_a_name_of_its_own_is_named_so_where_its_value_is_wrong(path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^--network: `net` cannot be 'Main'$"):
        load_config(path, env={}, flags={"net": "Main"})


def test_an_empty_list_of_cards_names_none_which_is_all_of_a_class(path: Path) -> None:
    path.write_text('gpus = ["1"]\n')
    settings = load_config(path, env={}, flags={"gpus": ""})
    assert settings.config.gpus == ()
    assert settings.origins["gpus"] == "--gpus"


def test_a_check_warns_of_variables_and_lanes_that_do_not_work(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    monkeypatch.setenv("ARNODE_FOO", "1")
    monkeypatch.setenv("ARNODE_LANES", "99999")
    with pytest.raises(SystemExit, match="0"):
        main(["home", "config", "check"])
    foo, lanes = capsys.readouterr().err.splitlines()
    assert foo == "warning: ARNODE_FOO has no effect: there is no such setting"
    assert lanes.startswith("warning: `lanes` is 99999, but only ")
