"""The scored split: the same for all with one key, and its rows are known only with the key."""

from dataclasses import replace

import numpy as np
import pytest

from tests.trainer.runners import SPLIT
from trainer.language_model.data import TaskData
from trainer.language_model.secret_splits import LogProbCache, SecretSplits, grain_nano
from trainer.task_folder.task import Task

OTHER = b"another key".ljust(32, b".")


@pytest.fixture
def splits(short_task: Task, short_data: TaskData) -> SecretSplits:
    return SecretSplits(short_task.manifest, short_data)


def test_runs_with_one_key_are_scored_on_the_same_rows_in_the_same_order(
    splits: SecretSplits, short_task: Task, short_data: TaskData
) -> None:
    first, other = splits.draw(SPLIT), splits.draw(OTHER)
    again = SecretSplits(short_task.manifest, short_data).draw(SPLIT)
    assert (first.rows == again.rows).all()
    assert (first.secret == again.secret).all()
    assert (first.rows[first.secret] != other.rows[other.secret]).any(axis=1).all()
    assert (first.rows[first.public] == short_data.public_rows).all()
    assert (other.rows[other.public] == short_data.public_rows).all()


def test_where_secret_rows_stand_is_known_to_the_holder_of_the_key_alone(
    splits: SecretSplits, short_task: Task
) -> None:
    """A task's id is public, so an order that depends on it would separate secret from public."""
    places = {tuple(splits.draw(key).secret.tolist()) for key in (SPLIT, OTHER)}
    count = len(splits.draw(SPLIT).rows)
    guess = np.random.default_rng(np.frombuffer(short_task.id, dtype=np.uint32)).permutation(count)
    places.add(tuple(np.argsort(guess)[count // 2 :].tolist()))
    assert len(places) == 3


def test_a_run_without_a_key_has_a_split_of_its_own(splits: SecretSplits) -> None:
    one, other = splits.draw(None), splits.draw(None)
    assert one.key != other.key
    assert (one.rows[one.secret] != other.rows[other.secret]).any(axis=1).all()


def test_runs_that_decide_nothing_on_secret_rows_get_the_spare_ones_of_a_pool(
    short_task: Task, short_data: TaskData
) -> None:
    spare = short_data.public_rows[::-1]
    splits = SecretSplits(short_task.manifest, replace(short_data, spare_rows=spare))
    drawn = splits.draw(None)
    assert (drawn.rows[drawn.secret] == spare).all()
    counting = splits.draw(SPLIT)
    assert (counting.rows[counting.secret] == short_data.secret_rows(SPLIT)).all()


def test_a_metric_leaves_coarse_and_bounded(splits: SecretSplits, short_task: Task) -> None:
    grain = grain_nano(short_task.manifest.noise_floor_nano)
    assert splits.coarse(1_234_567_891) % grain == 0
    # Twice the loss of knowing nothing: an unaudited claim may be any number.
    assert 4_000_000_000 < splits.coarse(10**50) < 8_000_000_000
    assert splits.coarse(10**50) == splits.coarse(10**11)


def test_an_audit_compares_with_another_tree_on_the_same_split_alone() -> None:
    claimed, (one, other) = (
        LogProbCache(),
        (np.full((2, 3), value, np.float32) for value in (-1, -2)),
    )
    assert claimed.by_another(SPLIT, b"tree") is None
    claimed.note(SPLIT, b"tree", one)
    assert claimed.by_another(SPLIT, b"tree") is None  # its own claims would agree with a lie
    assert claimed.by_another(SPLIT, b"another") is one
    claimed.note(SPLIT, b"another", other)
    assert claimed.by_another(SPLIT, b"tree") is other
    assert claimed.by_another(OTHER, b"tree") is None
    claimed.note(OTHER, b"another", other)
    assert claimed.by_another(SPLIT, b"tree") is None
