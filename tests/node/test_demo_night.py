"""`arnode view --demo`: a recorded night, in the package, without secrets, and still readable."""

import hashlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from node.commands.cli import main
from node.demo.cast import NETWORK
from node.demo.recording import NIGHT, recorded_home
from node.home.home import Home
from node.reporting.boards_page import boards_document
from node.reporting.open_home import BoardCache, OpenHome
from node.reporting.queries import Nothing
from node.store.blobs import Blobs
from node.store.boards import BoardKey
from node.store.store import Store
from protocol.errors import UsageError
from protocol.records import VERSION
from tests.web.page.served import at_address

AGAIN = "record the night again: `python -m tools.demo_night FOLDER`"
LIMIT_BYTES = 500_000
PATHS = re.compile(rb"/(home|root|Users|tmp|work|var)/[\\w.-]+")
LOCAL = re.compile(rb"/ip[46]/|/dns[46]?/")


@pytest.fixture(scope="module", name="night")
def _night() -> Iterator[Home]:
    with recorded_home() as home:
        yield home


def test_the_recording_has_the_stores_schema(night: Home, home: Home, store: Store) -> None:
    recorded, own = schema(night), schema(home)
    assert recorded == own, f"the recording has another schema than the store: {AGAIN}"


def schema(home: Home) -> tuple[int, dict[str, str]]:
    """Return the format of a home's store, and how its tables and indexes were made."""
    with closing(sqlite3.connect(f"file:{home.store}?mode=ro", uri=True)) as database:
        (number,) = database.execute("PRAGMA user_version").fetchone()
        made = database.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        return number, dict(made.fetchall())


def test_every_record_of_the_recording_is_valid_now(night: Home) -> None:
    with Store.open_read_only(night) as store:
        damaged = store.records.damaged(lambda *_: None)
        assert damaged == [], f"not records of network version {VERSION}: {AGAIN}"
        lines = {one.task for one in store.experiments.lines()}
        names = {store.records.manifest(task).name for task in lines}  # type: ignore[union-attr]
        assert names == {"circles-26", "tiny-short"}


def test_its_leaderboard_has_all_three_kinds_of_evidence(night: Home) -> None:
    with Store.open_read_only(night) as store:
        at = OpenHome(
            home=night, net=NETWORK, store=store, blobs=Blobs(night.blobs), boards=BoardCache()
        )
        keys = [
            BoardKey(
                net=NETWORK, task=bytes.fromhex(one["task"]["id"]), hardware_class=one["class"]
            )
            for one in boards_document(at, Nothing())["boards"]
        ]
        found = [at.boards.get(store, key) for key in keys]
    assert any(board.rows("others") and len(board.rows("here")) > 1 for board in found)


def test_it_has_no_key_no_path_and_no_address() -> None:
    path = Path(str(files("node.demo") / NIGHT))
    assert path.stat().st_size < LIMIT_BYTES
    with tarfile.open(path) as packed:
        for entry in packed:
            name, file = entry.name, packed.extractfile(entry)
            assert file is not None, f"{name} is not a file"
            data = file.read()
            if name != "records.db":
                folder, start, digest = name.split("/")
                assert (folder, start) == ("blobs", digest[:2])
                assert hashlib.sha256(data).hexdigest() == digest
            assert PATHS.findall(data) == []
            assert LOCAL.findall(data) == []
            assert b"arnode key" not in data


def test_it_is_shown_without_a_home_and_leaves_nothing(tmp_path: Path) -> None:
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    temporary.mkdir()
    env = {**os.environ, "ARNODE_HOME": str(home), "TMPDIR": str(temporary)}
    command = [sys.executable, "-m", "node", "view", "--demo", "--no-browser"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as shown:
        assert shown.stdout is not None
        address, _, code = at_address(shown.stdout.readline().strip()).partition("#")
        asked = Request(  # noqa: S310
            f"{address}api/v1/session",
            json.dumps({"code": code}).encode(),
            {"Content-Type": "application/json"},
        )
        with urlopen(asked, timeout=20) as answer:  # noqa: S310
            token = json.load(answer)["token"]
        read = {"Authorization": f"Bearer {token}"}
        with urlopen(Request(f"{address}api/v1/session", None, read), timeout=20) as answer:  # noqa: S310
            session = json.load(answer)
        with urlopen(Request(f"{address}api/v1/report", None, read), timeout=20) as answer:  # noqa: S310
            report = json.load(answer)
        assert len([*temporary.iterdir()]) == 1
        shown.send_signal(signal.SIGINT)
        assert shown.wait(30) == 0
    assert (session["kind"], session["may"]) == ("store", ["read"])
    assert session["recorded"] == report["until"]  # the night's end, however long ago
    assert not home.exists()
    assert [*temporary.iterdir()] == []


def test_other_options_do_not_go_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["view", "--demo", "--fleet-key"])
    assert ended.value.code == UsageError.exit_code
    assert "--demo does not use --fleet-key" in capsys.readouterr().err
