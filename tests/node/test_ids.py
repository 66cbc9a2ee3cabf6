"""Ids: what a command prints of one, every command that takes an id takes back."""

import json
from pathlib import Path

import pytest

from node.home.home import Home
from node.line.line_writer import LineWriter
from node.store.blobs import Blobs
from node.store.store import Store
from tests.node.examples import BASELINE, HARDWARE_CLASS
from tests.node.line_writers import keep, proposal_of, with_baseline
from tests.node.peer_authors import PeerAuthor
from tests.node.test_commands import arnode
from trainer.host.device import Device

IDEA = proposal_of(BASELINE, "0.5").source
TSV = "commit\tval_bpb\tmemory_gb\tstatus\tdescription\n0000000\t1.5\t0.1\tkeep\tbaseline\n"


@pytest.fixture
def line_writer(home: Home, store: Store, here: Device) -> LineWriter:
    return with_baseline(home, store)


def test_the_id_of_a_row_of_the_board_is_taken_everywhere(
    home: Home, line_writer: LineWriter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ada = PeerAuthor(line_writer.store, Blobs(home.blobs), number=50)
    claim = ada.claims(IDEA, 6.0, title="a better rate")
    board = arnode(capsys, "leaderboard", "--class", HARDWARE_CLASS).splitlines()
    shown = board[2].split()[1]
    assert claim.hex().startswith(shown)
    assert f"id: {claim.hex()}" in arnode(capsys, "show", shown)
    assert "+LEARNING_RATE = 0.5" in arnode(capsys, "diff", shown)
    assert "claims a gain" in arnode(capsys, "verify", shown, "--check-only")
    again = tmp_path / "again"
    arnode(capsys, "export", "experiment", shown, str(again))
    assert (again / "train.py").read_bytes() == IDEA["train.py"]
    assert "verified head is now" in arnode(capsys, "head", "--set", shown, "--unverified")


def test_a_claim_whose_patch_is_not_here_has_a_diff(
    home: Home, line_writer: LineWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    ada = PeerAuthor(line_writer.store, Blobs(home.blobs), number=50)
    claim = ada.claims(IDEA, 6.0)
    record = line_writer.store.records.get(claim)
    with line_writer.store.transaction():
        line_writer.store.database.rows("DELETE FROM record WHERE id = ?", (record.body.patch,))
    assert "+LEARNING_RATE = 0.5" in arnode(capsys, "diff", claim.hex())


def test_four_digits_do(line_writer: LineWriter, capsys: pytest.CaptureFixture[str]) -> None:
    kept = keep(line_writer, "0.2")
    assert f"id: {kept.result.hex()}" in arnode(capsys, "show", kept.result.hex()[:4])
    in_brackets = f"[{kept.result.hex()[:12]}]"  # as log lines have it
    assert f"id: {kept.result.hex()}" in arnode(capsys, "show", in_brackets)
    assert "is not an id: give 4 to 64 digits, not 3" in arnode(
        capsys, "show", kept.result.hex()[:3], code=2
    )
    assert "give 4 to 64 digits" in arnode(capsys, "diff", kept.result.hex()[:3], code=2)


def test_several_that_an_id_may_mean_are_listed(
    line_writer: LineWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(7):
        line_writer.store.database.rows(
            "INSERT INTO record (id, kind, author, seq, ts_ms, own, wire, net, sort)"
            " VALUES (?,?,?,?,?,0,?,'main','bulk')",
            (b"\xab\xcd" + bytes([number]) * 30, "patch", bytes(32), number, 1, b""),
        )
    said = arnode(capsys, "show", "abcd", code=2)
    first = ", ".join("abcd" + f"{number:02x}" * 4 for number in range(5))
    assert f"`abcd` matches several ids: {first} and others" in said
    assert "more of its digits" in said


def test_an_imported_file_and_a_record_are_distinguished(
    line_writer: LineWriter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "results.tsv"
    path.write_text(TSV)
    arnode(capsys, "import", "autoresearch", str(path))
    (imported,) = json.loads(arnode(capsys, "log", "--json"))["imported"]
    digits = imported["id"][:4]
    assert "unsigned" in arnode(capsys, "show", digits)
    assert arnode(capsys, "export", "results.tsv", "--imported", digits) == TSV
    twin = bytes.fromhex(digits) + bytes(30)
    line_writer.store.database.rows(
        "INSERT INTO record (id, kind, author, seq, ts_ms, own, wire, net, sort)"
        " VALUES (?,?,?,?,?,0,?,'main','bulk')",
        (twin, "patch", bytes(32), 7, 1, b""),
    )
    assert twin.hex()[:12] in arnode(capsys, "show", digits, code=2)
