"""A parser of the generated world: it finds every sequence of choices that writes a document.

The story's own grammar runs with a pen that follows a list of choices and compares each written
word with the document. All derivations are kept, sentence by sentence. An unambiguous document has
exactly one at its end.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from trainer.tasks.tiny.chance import Item, Table
from trainer.tasks.tiny.story import Story
from trainer.tasks.tiny.tables import FORMS, Tables

# A chosen word is printed at once, so one that is not in sight was not chosen. If that were ever
# wrong, a document would have no derivation, and the tests would fail.
_SIGHT = 60


class _NeedsChoice(Exception):  # noqa: N818 - control flow of the search
    def __init__(self, options: list[int]) -> None:
        super().__init__()
        self.options = options


class _Contradicted(Exception):  # noqa: N818 - control flow of the search
    """A word that was written is not in the document."""


@dataclass
class Replay:
    """The pen that follows `choices` (positions in tables) through the document's text."""

    text: str
    position: int
    choices: list[int]
    bits: float = 0.0
    used: int = 0
    pieces: list[str] = field(default_factory=list)

    def pick(self, table: Table[Item], excluded: Collection[Item] = ()) -> Item:
        if self.used == len(self.choices):
            seen = self.text[self.position : self.position + _SIGHT]
            raise _NeedsChoice(
                [
                    position
                    for position, item in enumerate(table.items)
                    if item not in excluded and _may_be_printed(item, seen)
                ]
            )
        position = self.choices[self.used]
        self.used += 1
        self.bits += table.bits_without(position, excluded)
        return table.items[position]

    def write(self, text: str) -> None:
        if not self.text.startswith(text, self.position):
            raise _Contradicted
        self.position += len(text)
        self.pieces.append(text)

    def mark(self) -> int:
        return len(self.pieces)

    def written_since(self, mark: int) -> str:
        return "".join(self.pieces[mark:])


@dataclass
class Derivation:
    """A story after one sequence of choices."""

    story: Story
    position: int
    bits: float
    goes_on: bool


def derivations(tables: Tables, text: str, *, limit: int = 200_000) -> list[float]:
    """Return the bits of every derivation of a document. Raises if `limit` is not enough."""
    tries = 0

    def after(before: Derivation, step: Callable[[Story], bool]) -> list[Derivation]:
        nonlocal tries
        found, stack = [], [[]]
        while stack:
            tries += 1
            if tries > limit:
                raise AssertionError(f"more than {limit} tries")
            choices: list[int] = stack.pop()
            pen = Replay(text, before.position, choices)
            story = _copied(before.story, pen)
            try:
                goes_on = step(story)
            except _NeedsChoice as need:
                stack.extend([*choices, option] for option in need.options)
                continue
            except _Contradicted:
                continue
            found.append(Derivation(story, pen.position, before.bits + pen.bits, goes_on))
        return found

    def begin(story: Story) -> bool:
        story.begin()
        return True

    start = Derivation(Story(tables, Replay(text, 0, [])), 0, 0.0, True)
    running, done = after(start, begin), []
    while running:
        following = [later for one in running for later in after(one, Story.add_sentence)]
        done += [one.bits for one in following if not one.goes_on and one.position == len(text)]
        running = [one for one in following if one.goes_on]
    return done


def _may_be_printed(item: object, seen: str) -> bool:
    word = item[0] if isinstance(item, tuple) else item
    if not isinstance(word, str) or word in FORMS:  # a form has no word of its own
        return True
    return word[:-1].lower() in seen.lower()  # the last letter may change: pony, ponies


def _copied(story: Story, pen: Replay) -> Story:
    copy = object.__new__(Story)
    for name, value in vars(story).items():
        setattr(copy, name, _copied_value(value))
    copy.pen, copy.pick, copy.write = pen, pen.pick, pen.write
    return copy


def _copied_value(value: object) -> object:
    if isinstance(value, list):
        return [dict(item) if isinstance(item, dict) else item for item in value]
    return dict(value) if isinstance(value, dict) else value
