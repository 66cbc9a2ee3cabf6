"""The generated world: the same everywhere, unambiguous, and its entropy floor is correct."""

import hashlib
import itertools
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.world_parser import derivations
from trainer.language_model.text.vocabulary import train_vocabulary
from trainer.tasks import tiny
from trainer.tasks.tiny import world
from trainer.tasks.tiny.chance import Dice, Table
from trainer.tasks.tiny.english import counted, number_word, past_tense, plural, with_article
from trainer.tasks.tiny.splitmix import SplitMix64, shuffled
from trainer.tasks.tiny.tables import FORMS, world_tables, zipf

GOLDEN_100_KB = "8f92265356d0a327b32f178751b4ca5b6a740a9f77e1d0f37065912f39beb512"


@pytest.fixture(scope="module")
def documents() -> list[world.Document]:
    return world.first_documents(world.PUBLIC_SPLIT, 200_000)


def test_splitmix_gives_the_published_numbers() -> None:
    random = SplitMix64(1234567)
    assert [random.next() for _ in range(3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_the_first_100_kb_of_training_text_are_the_same_on_every_machine() -> None:
    text = "".join(
        document.text for document in world.first_documents(world.TRAINING_SPLIT, 100_000)
    )
    assert hashlib.sha256(text[:100_000].encode()).hexdigest() == GOLDEN_100_KB


def test_every_document_has_exactly_one_derivation_and_its_bits_are_the_floor() -> None:
    forms_used = set()
    for seed in range(100, 125):
        document = world.document_of_seed(seed)
        found = derivations(world_tables(), document.text)
        assert len(found) == 1, document.text
        assert found[0] == pytest.approx(document.bits, rel=1e-9)
        forms_used |= {
            word for word in ("wrote down", "Together", " told ") if word in document.text
        }
    assert len(forms_used) == 3  # the documents are long enough to use rare forms


def test_the_parser_finds_no_derivation_of_a_forged_document() -> None:
    text = next(world.documents_of_split(b"forged")).text
    assert derivations(world_tables(), text.replace(" people: ", " persons: ")) == []
    assert derivations(world_tables(), text[:-1]) == []


def test_the_floor_lies_near_0_43_bits_per_byte(documents: list[world.Document]) -> None:
    bits = sum(document.bits for document in documents)
    assert 0.42 < bits / sum(len(document.text) for document in documents) < 0.44


def test_text_is_ascii_and_documents_end_with_an_empty_line(
    documents: list[world.Document],
) -> None:
    assert all(document.text.isascii() for document in documents)
    assert all(
        document.text.endswith(".\n\n") or '"\n\n' in document.text for document in documents
    )


def test_no_document_of_one_split_occurs_in_another() -> None:
    splits = [
        world.TRAINING_SPLIT,
        world.PUBLIC_SPLIT,
        world.secret_split(b"a"),
        world.secret_split(b"b"),
    ]
    texts = [{document.text for document in world.first_documents(s, 150_000)} for s in splits]
    assert all(len(split) > 80 for split in texts)
    for one, other in itertools.combinations(texts, 2):
        assert not one & other


def test_every_form_of_sentence_occurs(documents: list[world.Document]) -> None:
    signs = {
        "find": " found ", "give": " gave ", "sell": " in all.", "travel": " went to ",
        "see": " saw ", "say": '," ', "tell": " told ", "copy": " wrote down: ",
        "ask": "How many ", "act": " a certain ", "count": " counted the ",
        "day": "The next day ", "mood": ", no longer ", "together": "Together ",
        "pet": " keeps a ", "pet_sleeps": " slept near ", "topic": "Then they all spoke ",
    }  # fmt: skip
    assert set(signs) == set(FORMS)
    text = "".join(document.text for document in documents)
    assert [form for form, sign in signs.items() if sign not in text] == []


def test_totals_add_up(documents: list[world.Document]) -> None:
    shown = next(d.text for d in documents if " now has " in d.text and " found " in d.text)
    assert derivations(world_tables(), shown)  # has the sums in the form that the grammar uses
    wrong = shown.replace(" now has ", " now has exactly ", 1)
    assert derivations(world_tables(), wrong) == []


@given(
    st.lists(st.integers(1, 1000), min_size=2, max_size=12),
    st.integers(0, 2**64 - 1),
    st.data(),
)
def test_probabilities_without_the_excluded_add_up_to_one(
    weights: list[int], seed: int, data: st.DataObject
) -> None:
    table = Table(range(len(weights)), weights)
    excluded = data.draw(st.sets(st.sampled_from(range(1, len(weights)))))
    left = [item for item in table.items if item not in excluded]
    assert sum(2 ** -table.bits_without(item, excluded) for item in left) == pytest.approx(1)
    dice = Dice(seed)
    picked = dice.pick(table, excluded)
    assert picked in left
    assert dice.bits == pytest.approx(table.bits_without(picked, excluded))


def test_a_table_with_a_duplicate_is_refused() -> None:
    with pytest.raises(ValueError, match="distinct"):
        Table(("lamp", "lamp"), (1, 2))


def test_dice_follow_the_weights() -> None:
    dice, table = Dice(7), Table(("often", "seldom"), (3, 1))
    often = sum(dice.pick(table) == "often" for _ in range(4000))
    assert abs(often - 3000) < 5 * math.sqrt(4000 * 3 / 16)


@given(st.integers(0, 2**64 - 1), st.integers(0, 50))
def test_shuffling_loses_nothing(seed: int, size: int) -> None:
    assert sorted(shuffled(range(size), SplitMix64(seed))) == list(range(size))


def test_zipf_weights_fall_with_rank() -> None:
    assert zipf(3, 2) == [1 << 24, 1 << 23, (1 << 24) // 3]
    assert zipf(5, 3) == sorted(zipf(5, 3), reverse=True)


def test_words_agree() -> None:
    assert [plural(noun) for noun in ("lamp", "torch", "ruby", "essay")] == [
        "lamps", "torches", "rubies", "essays",
    ]  # fmt: skip
    assert [past_tense(verb) for verb in ("smell", "move", "carry", "enjoy")] == [
        "smelled", "moved", "carried", "enjoyed",
    ]  # fmt: skip
    assert [number_word(n) for n in (0, 19, 20, 99, 100)] == [
        "no", "nineteen", "twenty", "ninety-nine", "100",
    ]  # fmt: skip
    assert (counted(1, "lamp"), counted(2, "lamp")) == ("one lamp", "two lamps")
    assert (with_article("old pan"), with_article("useful pan")) == ("an old pan", "a useful pan")


def test_the_vocabulary_file_is_what_training_text_gives() -> None:
    texts = [document.text for document in world.first_documents(world.TRAINING_SPLIT, 2_000_000)]
    kept = Path(tiny.__file__).with_name("vocabulary.tiktoken").read_bytes()
    assert train_vocabulary(texts, 1024).file_bytes == kept
