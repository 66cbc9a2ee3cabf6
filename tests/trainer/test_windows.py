"""Shared windows: all text that a sandbox could read is found, and nothing else."""

import random
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.language_model.text import windows
from trainer.language_model.text.windows import MAX_HITS, SharedWindow, shared_windows

LETTERS = string.ascii_letters + string.digits + " .,\n"


def noise(seed: int, size: int) -> bytes:
    return "".join(random.Random(seed).choices(LETTERS, k=size)).encode()


@given(st.integers(0, 300), st.integers(0, 300), st.integers(64, 200))
def test_a_shared_window_is_found_wherever_it_lies(
    tmp_path_factory: pytest.TempPathFactory, in_text: int, in_file: int, length: int
) -> None:
    folder = tmp_path_factory.mktemp("visible")
    shared = noise(1, length)
    (folder / "file").write_bytes(noise(2, in_file) + shared + noise(3, 70))
    text = noise(4, in_text) + shared + noise(5, 90)
    hits = shared_windows(text, [folder])
    assert hits
    for hit in hits:
        assert hit.path == folder / "file"
        window = text[hit.offset : hit.offset + 64]
        assert len(window) == 64
        assert window in (folder / "file").read_bytes()


def test_of_a_long_passage_every_aligned_block_lies_in_a_hit(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(noise(2, 77) + noise(1, 1000) + noise(3, 70))
    text = noise(4, 41) + noise(1, 1000) + noise(5, 90)
    covered = {hit.offset + byte for hit in shared_windows(text, [tmp_path]) for byte in range(64)}
    assert covered >= set(range(41 + 31, 1041 - 31))  # up to 31 bytes before and after them


@given(st.integers(0, 100), st.integers(0, 100))
def test_sixty_three_shared_bytes_are_no_window(
    tmp_path_factory: pytest.TempPathFactory, in_text: int, in_file: int
) -> None:
    folder = tmp_path_factory.mktemp("visible")
    shared = noise(1, 63)
    (folder / "file").write_bytes(noise(2, in_file) + b"#" + shared + b"#" + noise(3, 70))
    text = noise(4, in_text) + b"!" + shared + b"!" + noise(5, 90)
    assert shared_windows(text, [folder]) == []


def test_unrelated_text_has_no_hit(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(noise(1, 200_000))
    assert shared_windows(noise(2, 200_000), [tmp_path]) == []


def test_runs_of_few_distinct_bytes_do_not_count(tmp_path: Path) -> None:
    rule = b"-" * 200 + b" " * 200 + b"=+" * 100 + bytes(200)
    (tmp_path / "file").write_bytes(rule)
    assert shared_windows(rule, [tmp_path]) == []


def test_hits_are_bounded(tmp_path: Path) -> None:
    shared = noise(1, 32 * (MAX_HITS + 20))
    (tmp_path / "file").write_bytes(shared)
    assert len(shared_windows(shared, [tmp_path])) == MAX_HITS
    assert len(shared_windows(shared, [tmp_path], at_most=7)) == 7


def test_a_passage_across_pieces_of_a_large_file_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "_PIECE_BYTES", 1024)
    shared = noise(1, 64)
    for start in (1024 - 33, 1024 - 1, 2048 - 63, 5000):
        path = tmp_path / f"{start}"
        path.write_bytes(noise(2, start) + shared + noise(3, 3000))
        text = noise(4, 500) + shared
        assert shared_windows(text, [path]) == [SharedWindow(path, 500)]
        path.unlink()


def test_a_linked_file_counts_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(noise(1, 500))
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert len({hit.path for hit in shared_windows(noise(1, 500), [tmp_path])}) == 1


def test_a_file_that_is_not_there_and_a_short_text_are_no_trouble(tmp_path: Path) -> None:
    assert shared_windows(noise(1, 500), [tmp_path / "absent"]) == []
    assert shared_windows(noise(1, 40), [tmp_path]) == []


def test_a_window_too_small_to_hold_an_aligned_block_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="aligned"):
        shared_windows(noise(1, 500), [tmp_path], window=48)


def test_progress_reaches_the_end(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(noise(1, 5000))
    shares: list[float] = []
    shared_windows(noise(2, 500), [tmp_path], progress=lambda _what, share: shares.append(share))
    assert shares[-1] > 0.99
