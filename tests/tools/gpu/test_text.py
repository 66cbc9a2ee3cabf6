"""Text that no sandbox shows, its splits, and the vocabulary that is learned from it."""

import gzip
import random
from pathlib import Path

import pytest

from protocol.errors import ArnodeError
from tools.gpu.bpe import learn_vocabulary
from tools.gpu.text import Texts, candidates, gather, places
from tools.paths import ROOT
from trainer.language_model.text.vocabulary import train_vocabulary
from trainer.language_model.text.windows import WINDOW_BYTES

WORDS = [
    "".join(random.Random(number).choices("etaoinshrdlu", k=1 + number % 9))
    for number in range(900)
]


def prose(seed: int, paragraphs: int = 12) -> str:
    """Return text that no other seed returns a line of."""
    choices = random.Random(seed)
    return "\n\n".join(" ".join(choices.choices(WORDS, k=40)) for _ in range(paragraphs))


def gathered(root: Path, shown: list[Path]) -> Texts:
    found = candidates([root], shown, most=1000)
    return gather(found, shown, size=1 << 20, least=10_000, scored=1 << 20)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "installed"
    folder.mkdir()
    for number in range(40):
        (folder / f"page-{number}.txt").write_text(prose(number))
    return folder


def test_every_file_is_in_one_split_and_none_is_lost(root: Path) -> None:
    texts = gathered(root, [])
    assert len(texts.training) == 30
    assert len(texts.public) + len(texts.secret) == 10
    assert {*texts.training, *texts.public, *texts.secret} == set(map(prose, range(40)))
    assert texts.account["files"] == 40
    assert texts.account["mb_by_place"] == {str(root): texts.account["found_mb"]}


def test_compressed_manuals_are_read_and_tables_and_programs_are_not(root: Path) -> None:
    (root / "manual.1.gz").write_bytes(gzip.compress(prose(50, 200).encode()))
    (root / "broken.gz").write_bytes(b"\x1f\x8b" + bytes(2000))
    (root / "numbers.csv").write_text("1234,5678\n" * 500)
    (root / "program").write_bytes(bytes(range(256)) * 20)
    (root / "library.so.1").write_text(prose(51))
    texts = gathered(root, [])
    assert texts.account["files"] == 41
    assert prose(50, 200) in "\n\n".join((*texts.training, *texts.public, *texts.secret))


def test_what_a_sandbox_shows_is_neither_gathered_nor_scored(root: Path, tmp_path: Path) -> None:
    before = gathered(root, [])
    scored = before.public[0]
    shown = tmp_path / "shown.py"
    shown.write_text(f"# {scored[100 : 100 + 3 * WINDOW_BYTES]}\n")
    hidden_one = next(path for path in root.iterdir() if path.read_text() == before.training[0])
    after = gathered(root, [shown, hidden_one])
    assert scored not in after.public + after.secret
    assert before.training[0] not in after.training + after.public + after.secret


def test_a_paragraph_counts_once_and_a_trained_line_is_not_scored(root: Path) -> None:
    before = gathered(root, [])
    licence = prose(60, 1)
    for path in root.iterdir():
        path.write_text(f"{path.read_text()}\n\n{licence}")
    line = before.training[0].partition("\n\n")[0]
    scored = next(path for path in root.iterdir() if before.public[0] in path.read_text())
    scored.write_text(f"{before.public[0]}\n\nas they say:\n{line}\n")
    after = gathered(root, [])
    everything = "\n\n".join((*after.training, *after.public, *after.secret))
    assert everything.count(licence) == 1
    assert before.public[0] not in "\n\n".join(after.public + after.secret)


def test_too_little_text_is_refused(root: Path) -> None:
    with pytest.raises(ArnodeError, match=r"0\.\d MB of text .* 5 are needed"):
        gather(candidates([root], [], most=1000), [], size=1 << 20, least=5_000_000, scored=1)


def test_no_more_of_a_place_is_looked_at_than_asked_for(root: Path) -> None:
    assert len(candidates([root], [], most=7)) == 7


def test_the_repository_is_text_that_is_installed_everywhere() -> None:
    assert ROOT in places()


def test_a_vocabulary_says_any_text_and_says_it_as_shortly_as_the_library_that_tasks_use() -> None:
    text = ROOT.joinpath("docs", "protocol.md").read_text()
    own, theirs = learn_vocabulary([text], 600), train_vocabulary([text], 600)
    assert own.size == theirs.size == 600
    assert own.decode(own.encode("Größe 3.14 \0 ≠\n")).decode() == "Größe 3.14 \0 ≠\n"
    assert len(own.encode(text)) <= 1.02 * len(theirs.encode(text))
    assert own.ranks == learn_vocabulary([text], 600).ranks


def test_a_text_without_repetitions_has_no_more_than_bytes() -> None:
    assert learn_vocabulary(["abc"], 600).size == 257
