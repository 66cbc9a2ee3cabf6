"""Keys are made once, private, and never overwritten."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from node.home.config import Config
from node.home.home import Home
from node.home.keyfile import identity_of, load_keys, load_secret, read_keys, renew_keys
from node.line.record_writer import announce_profile
from node.store.store import Store
from protocol.errors import ConfigurationError
from protocol.record_kinds import ProfileBody
from tests.node.line_writers import with_baseline


def test_keys_are_made_on_first_use_and_stay(home: Home) -> None:
    keys = load_keys(home)
    assert stat.S_IMODE(home.key.stat().st_mode) == 0o600
    assert keys.author.public != keys.transport.public
    again = load_keys(home)
    assert again.author.public == keys.author.public
    assert again.transport.public == keys.transport.public
    assert not list(home.root.glob(".arnode-tmp-*"))


def test_two_homes_have_two_identities(home: Home, tmp_path: Path) -> None:
    other = Home(tmp_path / "other")
    assert load_keys(home).author.public != load_keys(other).author.public
    assert load_secret(home) != load_secret(other)


def test_reading_makes_no_keys(home: Home) -> None:
    home.prepare()
    with pytest.raises(ConfigurationError, match="no key yet"):
        read_keys(home)
    assert not home.key.exists()


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\xff\xfe\x00",
        b"arnode key 1\nauthor 00\ntransport 00\n",
        b"arnode key 1\nauthor " + b"0" * 64 + b"\n",
        b"arnode key 1\ntransport " + b"0" * 64 + b"\nauthor " + b"1" * 64 + b"\n",
        b"arnode key 1\nauthor " + b"z" * 64 + b"\ntransport " + b"0" * 64 + b"\n",
    ],
)
def test_a_damaged_key_is_an_error_and_is_not_replaced(home: Home, damage: bytes) -> None:
    load_keys(home)
    home.key.write_bytes(damage)
    with pytest.raises(ConfigurationError) as caught:
        load_keys(home)
    assert str(home.key) in caught.value.message
    assert "backup" in caught.value.hint
    assert home.key.read_bytes() == damage


def test_a_key_that_others_can_read_is_refused(home: Home) -> None:
    load_keys(home)
    home.key.chmod(0o640)
    with pytest.raises(ConfigurationError, match="0640") as caught:
        load_keys(home)
    assert "chmod 600" in caught.value.hint


def test_the_secret_is_32_bytes_and_stays(home: Home) -> None:
    secret = load_secret(home)
    assert len(secret) == 32
    assert load_secret(home) == secret
    assert stat.S_IMODE(home.secret.stat().st_mode) == 0o600
    home.secret.write_bytes(b"short")
    with pytest.raises(ConfigurationError, match="5 bytes"):
        load_secret(home)
    assert home.secret.read_bytes() == b"short"


def test_nobody_can_look_into_a_process_that_holds_the_keys(home: Home) -> None:
    code = (
        "import ctypes, sys\n"
        "from pathlib import Path\n"
        "from node.home.home import Home\n"
        "from node.home.keyfile import load_keys\n"
        "dumpable = lambda: ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)\n"
        "before = dumpable()\n"
        "load_keys(Home(Path(sys.argv[1])))\n"
        "print(before, dumpable())\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(home.root)], capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == ["1", "0"]


def test_a_new_key_names_the_old_one_which_is_kept(home: Home) -> None:
    old = load_keys(home)
    assert old.formerly is None
    before = home.key.read_bytes()
    kept = renew_keys(home)
    assert kept.read_bytes() == before
    assert [stat.S_IMODE(path.stat().st_mode) for path in (kept, home.key)] == [0o600] * 2
    new = load_keys(home)
    assert new.author.public != old.author.public
    assert new.transport.public != old.transport.public
    assert new.formerly is not None
    assert new.formerly.author == old.author.public
    assert new.formerly.by(new.author.public).holds()
    assert not new.formerly.by(old.author.public).holds()


@pytest.mark.parametrize(
    "line", ["formerly", "formerly 00 00", "later " + "0" * 64 + " " + "0" * 128]
)
def test_a_damaged_word_of_an_older_key_is_an_error(home: Home, line: str) -> None:
    load_keys(home)
    home.key.write_text(f"{home.key.read_text()}{line}\n")
    with pytest.raises(ConfigurationError, match="has an incomplete `formerly` line"):
        load_keys(home)


def test_work_goes_on_under_a_new_key(home: Home, store: Store) -> None:
    """Results stay, the profile names the old key, and record numbers start again at 0."""
    load_keys(home)
    line = with_baseline(home, store).known_line
    renew_keys(home)
    keys = load_keys(home)
    identity = identity_of(keys, Config())
    for _ in range(2):  # said once
        with store.transaction():
            announce_profile(store, identity, classes=(), now_ms=1)
    (record,) = store.records.listed("profile", keys.author.public)
    assert (record.seq, record.prev) == (0, None)
    assert isinstance(record.body, ProfileBody)
    assert record.body.formerly == keys.formerly
    assert store.jobs.line(line.key) == line
    assert len(store.experiments.listed()) == 1
