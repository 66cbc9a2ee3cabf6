"""`export board`: boards as files for any web server, harmless and the same every time."""

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from node.exports.board_pages import SHOWN, write_boards
from node.home.home import Home
from node.store.blobs import Blobs
from node.store.boards import BoardKey
from node.store.store import Store
from protocol.manifest import TaskManifest
from protocol.record_kinds import TaskBody
from protocol.records import MAIN_NET, sign_record
from protocol.runs import Env
from tests.node.night import HOSTILE
from tests.node.test_commands import arnode
from tests.node.test_leaderboard import NOW_MS, SMALL, STEADY
from tests.protocol.examples import AUTHOR, MANIFEST, START_MS
from tests.protocol.worlds import CLASS, KEYS, TREES, World, confirm, rerun

KEY = BoardKey(MAIN_NET, MANIFEST.id, CLASS)
STEM = f"tiny-{MANIFEST.id.hex()[:8]}-{CLASS}"


class Page(HTMLParser):
    """The parts of a page: its elements, their attributes, its text, its table's cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.cells: list[list[tuple[str, str]]] = []
        self._is_in_cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag == "tr":
            self.cells.append([])
        elif tag in ("td", "th"):
            self.cells[-1].append((dict(attrs).get("class") or "", ""))
            self._is_in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._is_in_cell = False

    def handle_data(self, data: str) -> None:
        if self._is_in_cell:
            kind, text = self.cells[-1][-1]
            self.cells[-1][-1] = (kind, text + data.strip())


@pytest.fixture
def claims_world(home: Home, store: Store, monkeypatch: pytest.MonkeyPatch) -> World:
    """Two claims; the better one was confirmed by a key, and found smaller here."""
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    world = World()
    world.records.append(
        sign_record(
            KEYS[0],
            net=MAIN_NET,
            seq=0,
            prev=None,
            ts_ms=START_MS,
            body=TaskBody(manifest=MANIFEST),
        )
    )
    best = world.say(KEYS[0], confirm(TREES[0], STEADY))
    world.say(KEYS[1], confirm(TREES[1], SMALL))
    world.say(KEYS[1], rerun(KEYS[1], TREES[0], STEADY, "confirmed", target=best.id))
    store.intake.ingest([record.wire for record in world.records], now_ms=NOW_MS)
    answer = rerun(AUTHOR, TREES[0], SMALL, "smaller", target=best.id)
    store.append_own(AUTHOR, answer, ts_ms=NOW_MS)
    return world


def written(store: Store, home: Home, folder: Path) -> dict[str, str]:
    write_boards(folder, store, Blobs(home.blobs), MAIN_NET, [KEY], author=AUTHOR.public)
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_board_is_a_page_and_a_document_with_an_index_of_both(
    claims_world: World, store: Store, home: Home, tmp_path: Path
) -> None:
    files = written(store, home, tmp_path / "boards")
    assert set(files) == {"index.html", "index.json", f"{STEM}.html", f"{STEM}.json"}
    index = json.loads(files["index.json"])
    (one,) = index["boards"]
    assert (index["v"], index["network"], one["rows"]) == (1, "main", 2)
    assert {one["html"], one["json"]} < set(files)
    assert ("href", f"{STEM}.html") in Page(files["index.html"]).attributes
    assert (tmp_path / "boards" / "index.html").stat().st_mode & 0o044


def test_the_document_is_the_object_of_the_leaderboard(
    claims_world: World,
    store: Store,
    home: Home,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = written(store, home, tmp_path / "boards")
    assert json.loads(files[f"{STEM}.json"]) == json.loads(
        arnode(capsys, "leaderboard", "--class", CLASS, "--json")
    )


def test_the_page_keeps_three_ways_of_knowing_apart(
    claims_world: World, store: Store, home: Home, tmp_path: Path
) -> None:
    page = Page(written(store, home, tmp_path / "boards")[f"{STEM}.html"])
    groups, names, best, second = page.cells
    assert [text for _, text in groups] == ["", "claimed", "others", "here"]
    assert [text for _, text in names] == [
        *("rank", "id", "claimed gain", "at least", "val_bpb", "tries", "rerun", "others"),
        "here",
    ]
    by_knowing = {
        knowing: [text for kind, text in best if knowing in kind.split()]
        for knowing in ("claimed", "others", "here")
    }
    assert by_knowing["claimed"][0] == "+0.100000"
    assert by_knowing["others"][1] == "+1 ~1 -0"
    assert by_knowing["here"] == ["smaller +0.040000"]
    assert second[-1] == ("here words", "not measured")


def test_no_page_runs_or_fetches_anything(
    claims_world: World, store: Store, home: Home, tmp_path: Path
) -> None:
    for name, text in written(store, home, tmp_path / "boards").items():
        if name.endswith(".html"):
            page = Page(text)
            assert "script" not in page.elements
            assert not {"src", "onclick", "onload", "style"} & {key for key, _ in page.attributes}
            links = [value for key, value in page.attributes if key == "href"]
            assert all((tmp_path / "boards" / link).is_file() for link in links)
            assert "default-src 'none'" in text


def test_the_same_records_make_the_same_bytes_and_no_file_is_written_twice(
    claims_world: World, store: Store, home: Home, tmp_path: Path
) -> None:
    first = written(store, home, tmp_path / "a")
    assert written(store, home, tmp_path / "b") == first
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()}
    assert written(store, home, tmp_path / "a") == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()} == before


def test_peers_words_are_text(
    claims_world: World, store: Store, home: Home, tmp_path: Path
) -> None:
    hostile = replace(confirm(TREES[2], STEADY), env=Env.of({"torch": HOSTILE[:60]}))
    record = claims_world.say(KEYS[2], hostile)
    store.intake.ingest([record.wire], now_ms=NOW_MS)
    files = written(store, home, tmp_path / "boards")
    assert len(json.loads(files[f"{STEM}.json"])["rows"]) == 3
    assert "script" not in Page(files[f"{STEM}.html"]).elements


def test_a_long_board_shows_its_first_rows_and_keeps_all(
    claims_world: World, store: Store, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert SHOWN > 100
    monkeypatch.setattr("node.exports.board_pages.SHOWN", 1)
    files = written(store, home, tmp_path / "boards")
    page = Page(files[f"{STEM}.html"])
    assert len(page.cells) == 3
    assert "1 more row in the JSON document" in files[f"{STEM}.html"]
    assert len(json.loads(files[f"{STEM}.json"])["rows"]) == 2


def test_a_task_that_scores_itself_says_why_it_ranks_nowhere(
    claims_world: World, store: Store, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TaskManifest, "scoring", property(lambda _: "self"))
    text = written(store, home, tmp_path / "boards")[f"{STEM}.html"]
    assert "self-scored" in text
    assert "claimed gain" not in text


def test_the_command_writes_those_that_are_meant(
    claims_world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "boards")
    said = json.loads(arnode(capsys, "export", "board", folder, "--json"))
    assert [one["html"] for one in said["boards"]] == [f"{STEM}.html"]
    text = arnode(capsys, "export", "board", folder, "--task", "tiny", "--class", CLASS)
    assert "1 leaderboard of the network main, starting at index.html" in text
    assert CLASS in arnode(capsys, "export", "board", folder, "--class", "none-such", code=2)
    assert "tiny" in arnode(capsys, "export", "board", folder, "--task", "none-such", code=2)


def test_a_home_without_boards_has_an_index_that_says_so(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    arnode(capsys, "export", "board", str(tmp_path / "boards"))
    assert "No leaderboard yet" in (tmp_path / "boards" / "index.html").read_text()
    assert json.loads((tmp_path / "boards" / "index.json").read_text())["boards"] == []
