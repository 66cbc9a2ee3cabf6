"""A secret that a coding agent was given is noticed where it would be published."""

from pathlib import Path

import pytest

from node.proposing.agent_secrets import leaking_file, long_words
from protocol.source import Source

TOKEN = "sk-ant-0123456789abcdef"
BASE = Source.of({"train.py": b"path = '/a/path/that/was/there'\n"})


@pytest.fixture
def secrets(tmp_path: Path) -> frozenset[bytes]:
    (tmp_path / "login.json").write_text(f'{{"token": "{TOKEN}", "plan": "max"}}')
    (tmp_path / "folder" / "deeper").mkdir(parents=True)
    (tmp_path / "folder" / "key").write_text("of-the-folder-0123")
    (tmp_path / "folder" / "gone").symlink_to("nowhere")
    paths = [tmp_path / name for name in ("login.json", "folder", "missing")]
    return long_words(paths, ["a-key-in-a-variable", "/a/path/that/was/there", "short"])


def leak(source: bytes, secrets: frozenset[bytes], note: bytes = b"") -> str | None:
    edited = Source.of({"train.py": source})
    return leaking_file(edited, base=BASE, note=note, secrets=secrets)


@pytest.mark.parametrize("secret", [TOKEN, "of-the-folder-0123", "a-key-in-a-variable"])
def test_a_secret_is_found_wherever_it_stands(secret: str, secrets: frozenset[bytes]) -> None:
    assert leak(f"x = 1  # see{secret}!\n".encode(), secrets) == "train.py"
    assert leak(b"x = 1\n", secrets, note=f"Title {secret}".encode()) == "the title"


def test_what_was_there_before_and_short_words_are_no_secrets(secrets: frozenset[bytes]) -> None:
    assert leak(BASE["train.py"] + b"plan = 'max short token'\n", secrets) is None
