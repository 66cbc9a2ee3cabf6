"""docs/protocol.md says what the code does: fields, tables, examples."""

import json
import re
from pathlib import Path

import pytest

from protocol.board import Row
from protocol.gains import LUCK, T95, gain_of, luck
from protocol.hardware import FAMILIES, family_of
from protocol.kinds import body_fields
from protocol.records import Record, parse_record
from protocol.topics import all_subscriptions
from tests.protocol.examples import BODIES
from tests.protocol.test_hardware import CARDS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "protocol.md").read_text("utf-8")
VECTORS = json.loads((ROOT / "tests" / "vectors" / "records.json").read_text("utf-8"))


def section(title: str) -> str:
    """Return the text below a heading, up to the next one."""
    below = TEXT.split(f"# {title}\n", 1)[1]
    return re.split(r"^##+ ", below, maxsplit=1, flags=re.MULTILINE)[0]


def fields(text: str) -> set[str]:
    """Return the names in the first column of a section's table."""
    rows = re.findall(r"^\| (`[^|]*) \|", text, flags=re.MULTILINE)
    return {name for row in rows for name in re.findall("`([a-z_0-9]+)`", row)}


@pytest.mark.parametrize("kind", BODIES)
def test_every_field_of_a_kind_is_described(kind: str) -> None:
    assert fields(section(kind)) == body_fields(kind)


def test_every_field_of_a_row_is_described() -> None:
    assert fields(section("Boards")) == Row.TABLE.names


def test_the_example_is_the_golden_record() -> None:
    block = section("Example").split("```")[1]
    lines = [line.partition("#")[0] for line in block.splitlines()]
    hexadecimal = "".join("".join(lines).split())
    (golden,) = (one for one in VECTORS["records"] if one["kind"] == "retract")
    assert hexadecimal == golden["wire"]
    assert golden["id"] in section("Example")
    record = parse_record(bytes.fromhex(hexadecimal))
    assert isinstance(record, Record)


def test_the_tables_and_the_example_of_boards_are_those_of_the_code() -> None:
    text = section("Boards")
    numbers = [int(word) for word in re.findall(r"\b\d{7}\b", text)]
    assert numbers == [*T95, *LUCK]
    gain = gain_of([31_000_000, 28_000_000, 35_000_000, 30_000_000], 10_400_000)
    assert gain is not None
    for tries, shown in ((5, "-5,993,826"), (1, "1,448,497")):
        assert f"{gain.lower_nano(10_400_000 * luck(tries)):,}" == shown
        assert shown in text
    assert f"{gain.reach:,}" in text
    assert f"{gain.upper_nano:,}" in text


def documented_family(slug: str) -> str:
    """Return the family of a class as the document says it."""
    lines = re.findall(r"^\| `([^|]*)` \| `([^|]*)` \|", section("Topics"), re.MULTILINE)
    for patterns, family in lines:
        if any(re.fullmatch(f"{pattern}(-.*)?", slug) for pattern in patterns.split(" ")):
            return str(family)
    return "cuda-other"


@pytest.mark.parametrize(
    "slug", [card[3] for card in CARDS] + ["cpu-x86_64", "cpux", "mi300x-192g"]
)
def test_families_follow_from_classes_as_described(slug: str) -> None:
    assert documented_family(slug) == family_of(slug)


def test_every_family_and_topic_is_described() -> None:
    described = set(re.findall(r"\| `(c[a-z0-9-]+)` \|", section("Topics")))
    assert described | {"cuda-other"} == set(FAMILIES)
    for topic in all_subscriptions("NETWORK", [bytes(32)]):
        name = topic.replace("0" * 16, "TASK")
        last = name.rpartition("/")[2]
        shown = name.replace(last, "FAMILY") if last in FAMILIES else name
        assert f"`{shown}`" in section("Topics")
