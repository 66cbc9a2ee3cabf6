"""Judge of `bin-packing`: a thousand items come one at a time, and each is put into a bin at once.

Sizes are those of FunSearch's Weibull setting: scale 45, shape 3, between 1 and 100, whole. All is
whole numbers; the score is replayed from the transcript and trusts nothing that was said in it.
"""

from collections.abc import Generator
from typing import TypedDict

from judging import Wrong, random_of

ITEMS = 1_000
CAPACITY = 100
SCALE = 45
SHAPE = 3
NEW_BIN = -1


class Instance(TypedDict):
    """The sizes of the items, in the order in which they come, and of every bin."""

    capacity: int
    items: list[int]


class Message(TypedDict):
    """What a candidate is told of an item; of those to come after it, it learns the number."""

    item: int
    capacity: int
    to_come: int


def instance(seed: bytes, split: str, index: int) -> Instance:
    """Return an instance that follows from its seed."""
    chance = random_of(seed)
    drawn = (round(chance.weibullvariate(SCALE, SHAPE)) for _ in range(ITEMS))
    return {"capacity": CAPACITY, "items": [min(max(size, 1), CAPACITY) for size in drawn]}


def messages(instance: Instance) -> list[Message]:
    """Return what a candidate is told, item by item."""
    items = instance["items"]
    return [
        {"item": item, "capacity": instance["capacity"], "to_come": len(items) - position}
        for position, item in enumerate(items, start=1)
    ]


def converse(instance: Instance) -> Generator[Message, object, None]:
    """Tell one item after another; what is wrong with a reply is said when all is checked."""
    for message in messages(instance):  # noqa: UP028 -- a list takes no replies
        yield message


def check(instance: Instance, transcript: object) -> dict[str, float]:
    """Return the share of bins beyond what the sizes alone demand. Raises Wrong."""
    asked = messages(instance)
    if not isinstance(transcript, list) or len(transcript) != len(asked):
        raise Wrong(f"not all of the {len(asked)} items were placed")
    left: list[int] = []
    for number, (message, turn) in enumerate(zip(asked, transcript, strict=True), start=1):
        if not isinstance(turn, list | tuple) or len(turn) != 2 or turn[0] != message:
            raise Wrong(f"the transcript has another item {number} than the instance")
        place(left, message["item"], turn[1], capacity=instance["capacity"], number=number)
    demanded = -(-sum(instance["items"]) // instance["capacity"])
    return {"excess": len(left) / demanded - 1, "bins": len(left)}


def place(left: list[int], item: int, reply: object, *, capacity: int, number: int) -> None:
    """Put an item where the reply says; `left` is what is left in each bin. Raises Wrong."""
    # Of this exact type alone: True is an int to Python.
    if type(reply) is not int or not NEW_BIN <= reply < len(left):
        raise Wrong(f"the reply to item {number} is no bin that is open, and not {NEW_BIN}")
    if reply == NEW_BIN:
        left.append(capacity - item)
        return
    if left[reply] < item:
        raise Wrong(f"item {number} of size {item} does not fit into what is left of its bin")
    left[reply] -= item
