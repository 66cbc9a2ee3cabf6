"""A task's data: it depends on seed and secret only, and wrong bytes are never used."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.terminal.progress import silent
from protocol.errors import ConfigurationError
from tests.trainer.runners import prepare_all
from trainer.language_model.data import TaskData
from trainer.language_model.text.splits import MIN_TEXT_BYTES, read_splits
from trainer.language_model.text.token_cache import cached_tokens
from trainer.language_model.text.vocabulary import Tokens
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task, text_task
from trainer.tasks.tiny import world


@pytest.fixture(scope="module")
def own_dir(data_dir: Path, short_data: TaskData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the training tokens that the short task shares with tiny, to damage."""
    assert short_data.is_complete
    folder = tmp_path_factory.mktemp("data")
    (folder / "tokens").mkdir()
    for path in (data_dir / "tokens").glob("tiny-world-*"):
        shutil.copy(path, folder / "tokens")
    return folder


@pytest.fixture(scope="module")
def tiny(own_dir: Path) -> Task:
    return load_task("tiny", data_dir=own_dir)


@pytest.fixture(scope="module")
def data(tiny: Task, own_dir: Path) -> TaskData:
    return prepare_all(tiny, data_dir=own_dir, progress=silent)


@pytest.fixture(scope="module")
def small(data: TaskData) -> TaskData:
    """Return the same with a pool of a few documents."""
    (pool,) = data.training_parts
    starts = np.flatnonzero(pool == data.vocabulary.bos)
    return replace(data, training_parts=(pool[: starts[2]], pool[starts[2] : starts[5]]))


def documents(tokens: Tokens, bos: int) -> list[bytes]:
    return [part.tobytes() for part in np.split(tokens, np.flatnonzero(tokens == bos))[1:]]


def decoded(data: TaskData, tokens: Tokens) -> bytes:
    return data.vocabulary.decode(tokens.ravel().tolist())


def test_training_tokens_are_exactly_as_many_as_asked_for(data: TaskData, tiny: Task) -> None:
    tokens = data.training_tokens(1, tiny.manifest.budget.amount + 1)
    assert tokens.shape == (153_601,)
    assert tokens.dtype == np.uint16
    assert tokens[0] == data.vocabulary.bos


def test_a_seed_decides_the_order_of_the_documents(data: TaskData) -> None:
    assert (data.training_tokens(1, 5000) == data.training_tokens(1, 5000)).all()
    assert (data.training_tokens(1, 5000) != data.training_tokens(2, 5000)).any()


def test_another_count_gives_the_beginning_of_the_same(data: TaskData) -> None:
    assert (data.training_tokens(3, 9000)[:4000] == data.training_tokens(3, 4000)).all()


def test_every_document_of_every_part_comes_once_before_one_comes_again(small: TaskData) -> None:
    bos = small.vocabulary.bos
    whole = documents(small.training_tokens(9, small.training_size), bos)
    assert sorted(whole) == sorted(documents(np.concatenate(small.training_parts), bos))


@given(st.integers(0, 2**31 - 1), st.integers(1, 9000))
def test_a_pool_that_is_too_small_is_gone_through_again(
    small: TaskData, seed: int, count: int
) -> None:
    tokens = small.training_tokens(seed, count)
    assert len(tokens) == count
    known = set(documents(np.concatenate(small.training_parts), small.vocabulary.bos))
    assert set(documents(tokens, small.vocabulary.bos)[:-1]) <= known


def test_byte_counts_are_those_of_the_text(data: TaskData) -> None:
    assert data.byte_counts[data.vocabulary.bos] == 0
    rows = data.public_rows
    assert data.byte_counts[rows].sum() == len(decoded(data, rows))


def test_public_rows_are_the_public_documents_and_share_no_token(
    data: TaskData, tiny: Task
) -> None:
    manifest = tiny.manifest
    assert data.public_rows.shape == (manifest.scored_rows, manifest.context + 1)
    text = "".join(d.text for d in world.first_documents(world.PUBLIC_SPLIT, 300_000))
    assert text.encode().startswith(decoded(data, data.public_rows))


def test_the_floor_is_the_generators_entropy(data: TaskData) -> None:
    assert data.floor_nano is not None
    assert 420_000_000 < data.floor_nano < 440_000_000


def test_a_metric_in_another_unit_has_no_floor_that_is_known(tiny: Task, own_dir: Path) -> None:
    share = replace(tiny.manifest.metric, name="train_s", unit="of the baseline")
    timed = replace(tiny, manifest=replace(tiny.manifest, metric=share))
    assert prepare_all(timed, data_dir=own_dir, progress=silent).floor_nano is None


def test_every_key_draws_text_that_no_other_key_draws(data: TaskData) -> None:
    one, other = data.secret_rows(b"a"), data.secret_rows(b"b")
    assert (one == data.secret_rows(b"a")).all()
    assert one.shape == other.shape == data.public_rows.shape
    assert (one != other).any(axis=1).all()
    assert data.pool_bytes is None  # there is always more


def test_no_long_passage_of_validation_text_is_training_text(data: TaskData) -> None:
    training = decoded(data, data.training_parts[0])
    for rows in (data.public_rows, data.secret_rows(b"a")):
        text = decoded(data, rows)
        passages = [text[start : start + 200] for start in range(0, len(text) - 200, 199)]
        assert len(passages) > 500
        assert not any(passage in training for passage in passages)


def test_a_damaged_file_is_made_again(tiny: Task, data: TaskData, own_dir: Path) -> None:
    (path,) = (own_dir / "tokens").glob("tiny-world-*.npy")
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    again = prepare_all(tiny, data_dir=own_dir, progress=silent)
    assert (again.training_parts[0] == data.training_parts[0]).all()


@pytest.mark.parametrize("damage", [lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b[:50]])
def test_a_damaged_array_is_made_again(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "x.npy"
    for _ in range(2):
        kept = cached_tokens(path, lambda: np.arange(100, dtype=np.uint16))
        assert (kept == np.arange(100)).all()
        path.write_bytes(damage(path.read_bytes()))


def test_a_kept_array_is_not_made_again(tmp_path: Path) -> None:
    made = []

    def make() -> Tokens:
        made.append(1)
        return np.arange(10, dtype=np.uint16)

    for _ in range(3):
        assert (cached_tokens(tmp_path / "x.npy", make) == np.arange(10)).all()
    assert len(made) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.npy", "x.sha256"]


@pytest.mark.parametrize("name", ["training", "public"])
def test_other_tokens_than_the_task_names_are_refused(tiny: Task, own_dir: Path, name: str) -> None:
    hashes = {**dict(tiny.manifest.data), name: bytes(32)}
    other = replace(tiny, manifest=replace(tiny.manifest, data=tuple(sorted(hashes.items()))))
    with pytest.raises(ConfigurationError, match=f"{name} tokens do not have the sha256"):
        prepare_all(other, data_dir=own_dir, progress=silent)


def test_the_demos_task_scores_the_first_rows_of_tiny(data: TaskData, own_dir: Path) -> None:
    short = prepare_all(
        load_task("tiny-short", data_dir=own_dir), data_dir=own_dir, progress=silent
    )
    np.testing.assert_array_equal(short.public_rows, data.public_rows[:128])


def test_progress_never_goes_back(tiny: Task, own_dir: Path) -> None:
    shares: list[float] = []
    prepare_all(tiny, data_dir=own_dir, progress=lambda _what, share: shares.append(share))
    assert shares == sorted(shares)
    assert 0.0 < shares[-1] <= 1.0


# The user's own text


@pytest.fixture(scope="module")
def diary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "diary.txt"
    text = "".join(d.text for d in world.first_documents(b"diary", 600_000))
    path.write_text(text, encoding="utf-8")
    return path


def test_the_blocks_of_a_text_are_all_there_and_in_one_split_each(diary: Path) -> None:
    splits = read_splits(diary)
    blocks = [*splits.training, *splits.public, *splits.secret]
    assert len(blocks) == len(set(blocks)) > 150
    assert sum(map(len, blocks)) == diary.stat().st_size
    total = diary.stat().st_size
    assert 0.08 < sum(map(len, splits.public)) / total < 0.12
    assert 0.22 < sum(map(len, splits.secret)) / total < 0.28


def test_a_repeated_block_counts_once(tmp_path: Path, diary: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "one.txt").write_bytes(diary.read_bytes())
    (folder / "two.txt").write_bytes(diary.read_bytes())
    splits = read_splits(folder)
    assert sum(map(len, [*splits.training, *splits.public, *splits.secret])) == diary.stat().st_size


def test_blocks_never_cut_a_character(tmp_path: Path) -> None:
    path = tmp_path / "no-lines.txt"
    text = "".join(f"Größe {number}, 😀" for number in range(30_000))
    path.write_text(text, encoding="utf-8")
    splits = read_splits(path)
    assert sum(map(len, [*splits.training, *splits.public, *splits.secret])) == len(text)


def test_text_rows_are_drawn_from_the_secret_blocks_only(diary: Path, own_dir: Path) -> None:
    task = text_task(diary, data_dir=own_dir)
    data = prepare_all(task, data_dir=own_dir, progress=silent, visible=[])
    splits = read_splits(diary)
    secret = "".join(splits.secret).encode()
    rows = data.secret_rows(b"a")
    assert rows.shape == data.public_rows.shape == (task.manifest.scored_rows, 129)
    for row in rows:  # a row may hold the end of one block and the beginning of the next
        for part in np.split(row, np.flatnonzero(row == data.vocabulary.bos)):
            assert decoded(data, part) in secret
    assert data.spare_rows is not None  # for runs that decide nothing: no confirmation uses them
    assert data.spare_rows.shape == rows.shape
    draws = [data.secret_rows(bytes([key])) for key in range(40)]
    drawn = {row.tobytes() for draw in draws for row in draw}
    assert drawn.isdisjoint(row.tobytes() for row in data.spare_rows)
    assert data.pool_bytes is not None
    assert data.scored_bytes < data.pool_bytes < len(secret)
    assert not data.is_pool_public
    assert "".join(splits.public).encode().startswith(decoded(data, data.public_rows))
    assert (rows != data.secret_rows(b"b")).any()
    assert (rows == data.secret_rows(b"a")).all()


def test_a_changed_text_is_noticed(tmp_path: Path, diary: Path) -> None:
    path = tmp_path / "changing.txt"
    path.write_bytes(diary.read_bytes())
    task = text_task(path, data_dir=tmp_path)
    path.write_bytes(diary.read_bytes() + b"And so on.\n")
    with pytest.raises(ConfigurationError, match="has changed"):
        prepare_all(task, data_dir=tmp_path, progress=silent, visible=[])


def test_text_that_is_not_utf_8_names_file_and_offset(tmp_path: Path) -> None:
    (tmp_path / "fine.txt").write_text("fine " * 100_000)
    (tmp_path / "broken.txt").write_bytes(b"abc\xff" + b"x" * 100)
    with pytest.raises(ConfigurationError, match=r"broken\.txt: not UTF-8.*offset 3"):
        read_splits(tmp_path)


def test_a_text_that_is_too_small_says_so(tmp_path: Path) -> None:
    path = tmp_path / "short.txt"
    path.write_text("A short story.\n")
    with pytest.raises(ConfigurationError, match="too few") as raised:
        read_splits(path)
    assert str(MIN_TEXT_BYTES) in raised.value.hint


def test_much_repeated_text_is_too_small_as_well(tmp_path: Path) -> None:
    path = tmp_path / "again.txt"
    path.write_text("Again and again.\n" * 60_000)
    with pytest.raises(ConfigurationError, match="not repeated, are too few"):
        read_splits(path)


def test_an_empty_folder_has_no_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no text"):
        read_splits(tmp_path)
