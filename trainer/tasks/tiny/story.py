"""The grammar of a document: a heading, a cast, then sentences that remember what went before.

Every hidden choice is printed (topic, tense, places, day), so that the text has one derivation
only and the bits of its choices are its exact information. A story does not know whether its pen
invents a document (`chance.Dice`) or replays one (the parser in the tests).
"""

from collections.abc import Collection
from dataclasses import dataclass

from trainer.tasks.tiny.chance import Pen
from trainer.tasks.tiny.english import (
    counted,
    number_word,
    past_tense,
    plural,
    present_tense,
    with_article,
)
from trainer.tasks.tiny.tables import Tables
from trainer.tasks.tiny.words import DAYS, ONES

_COPIED_SENTENCES = 4  # how far back "wrote down" reaches
_RECENT_THINGS = 5  # how many of a person's latest things are talked about


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in the cast; `number` is the place in it."""

    number: int
    name: str
    pronoun: str
    surname: str
    job: str


class Story:
    """One document. `tell()` writes all of it with the pen."""

    def __init__(self, tables: Tables, pen: Pen) -> None:
        self.tables = tables
        self.pick, self.write = pen.pick, pen.write
        self.pen = pen
        self.cast: list[Person] = []
        self.recent: list[Person] = []  # the last mentioned first
        self.things: list[dict[str, int]] = []  # by person: how many of what, latest last
        self.place_of: list[int] = []
        self.mood_of: dict[int, str] = {}
        self.pet_of: dict[int, tuple[str, str]] = {}  # name, animal
        self.adjective_of: dict[str, str] = {}
        self.copied: list[str] = []
        self.subject: Person | None = None  # of the previous sentence: may become a pronoun

    def tell(self) -> None:
        self.begin()
        while self.add_sentence():
            pass

    def begin(self) -> None:
        self._write_heading()
        self._introduce_cast()

    def add_sentence(self) -> bool:
        """Write one more sentence and what separates it; return whether another follows."""
        start = self.pen.mark()
        form = self.pick(self.tables.form, self._impossible_forms())
        self.subject = getattr(self, f"_{form}")()
        if self.subject is not None:  # a plain statement: worth copying later
            first = self.pen.written_since(start).split(".")[0] + "."
            if first not in self.copied:
                self.copied = [*self.copied, first][-_COPIED_SENTENCES:]
        if self._happens(4):
            self.write("\n\n")
            return False
        if self._happens(12):
            self.write("\n")
            self.subject = None
        else:
            self.write(" ")
        return True

    def _happens(self, percent: int) -> bool:
        return self.pick(self.tables.chance[percent])

    # The heading and the cast

    def _write_heading(self) -> None:
        self.topic = self.pick(self.tables.topic)
        self.write(f"# The {self.topic} at ")
        self.places: list[str] = []
        for joint in (", near ", " and ", ", on a "):
            self.places.append(self.pick(self.tables.place, self.places))
            self.write(self.places[-1] + joint)
        self.day = self.pick(self.tables.below[len(DAYS)])
        self.write(DAYS[self.day])
        self.is_past = self.pick(self.tables.is_past)
        self.write(f" in {self.pick(self.tables.year)}\n" if self.is_past else " of this year\n")

    def _introduce_cast(self) -> None:
        size = 3 + self.pick(self.tables.below[3])
        self.write(f"{ONES[size].capitalize()} people: ")
        names: list[tuple[str, str]] = []
        for number in range(size):
            names.append(self.pick(self.tables.name, names))
            self.write(f"{names[-1][0]} ")
            surname = self.pick(self.tables.surname)
            self.write(f"{surname} the ")
            job = self.pick(self.tables.job[self.topic], [person.job for person in self.cast])
            self.write(job + (".\n" if number == size - 1 else ", "))
            self.cast.append(Person(number, *names[-1], surname, job))
        self.recent = list(self.cast)
        self.things = [{} for _ in self.cast]
        self.place_of = [0] * size

    def _impossible_forms(self) -> tuple[str, ...]:
        impossible: tuple[str, ...] = ()
        if not any(self.things):
            impossible += ("give", "sell", "say", "tell", "ask", "count", "together")
        if not self.copied:
            impossible += ("copy",)
        if not self.pet_of:
            impossible += ("pet_sleeps",)
        if len(self.pet_of) == len(self.cast):
            impossible += ("pet",)
        return impossible

    # Parts of sentences

    def _person(
        self, people: Collection[Person] | None = None, other: Person | None = None
    ) -> Person:
        """Choose somebody; the recently mentioned are likelier."""
        possible = [
            person
            for person in self.recent
            if person is not other and (people is None or person in people)
        ]
        return possible[self.pick(self.tables.recent[len(possible)])]

    def _owner(self) -> Person:
        return self._person([person for person in self.recent if self.things[person.number]])

    def _mention(self, person: Person) -> None:
        self.recent.remove(person)
        self.recent.insert(0, person)

    def _write_subject(self, person: Person) -> None:
        """A name, a job, or a pronoun for the previous sentence's subject."""
        if person is self.subject and self._happens(65):
            self.write(person.pronoun.capitalize())
        elif self._happens(20):
            self.write(f"The {person.job}")
        else:
            self.write(person.name)

    def _write_verb(self, past: str, present: str) -> None:
        self.write(f" {past if self.is_past else present}")

    def _write_noun(self, noun: str) -> None:
        """A noun, often with the adjective it had before."""
        adjective = self.adjective_of.get(noun)
        if adjective and self._happens(70):
            self.write(f"{adjective} ")
        self.write(noun)

    def _topic_noun(self) -> str:
        return self.pick(self.tables.noun[self.topic])

    def _write_described(self, noun: str) -> None:
        """Article, adjective, noun; a thing keeps its adjective through the document."""
        if noun not in self.adjective_of:
            self.adjective_of[noun] = self.pick(self.tables.adjective[noun])
        self.write(with_article(f"{self.adjective_of[noun]} {noun}"))

    # Possessions

    def _thing_of(self, person: Person) -> str:
        latest = list(self.things[person.number])[::-1][:_RECENT_THINGS]
        return latest[self.pick(self.tables.recent[len(latest)])]

    def _add(self, person: Person, thing: str, count: int) -> None:
        owned = self.things[person.number]
        total = owned.pop(thing, 0) + count
        if total:
            owned[thing] = total

    def _write_total(self, person: Person, thing: str) -> None:
        total = self.things[person.number].get(thing, 0)
        self.write(f" {person.name} now has {counted(total, thing)}.")

    def _write_possession(self, end: str) -> None:
        owner = self._owner()
        self.write(f"{owner.name} has ")
        thing = self._thing_of(owner)
        count = self.things[owner.number][thing]
        many = f"the {plural(thing)}, {number_word(count)} of them"
        self.write((many if count > 1 else f"the one {thing}") + end)

    # The forms, named as in `tables.FORMS`. Each returns its subject if the next sentence may say
    # "she" or "he".

    def _find(self) -> Person:
        person = self._person()
        self._write_subject(person)
        self._write_verb("found ", "finds ")
        count = self.pick(self.tables.count)
        self.write(f"{number_word(count)} ")
        thing = self._topic_noun()
        self.write(thing if count == 1 else plural(thing))
        if self._happens(40):
            self.write(f" in {self.places[self.place_of[person.number]]}")
        self.write(".")
        self._add(person, thing, count)
        if self._happens(50):
            self._write_total(person, thing)
        self._mention(person)
        return person

    def _give(self) -> Person:
        giver = self._owner()
        self._write_subject(giver)
        self._write_verb("gave ", "gives ")
        taker = self._person(other=giver)
        self.write(f"{taker.name} ")
        thing = self._thing_of(giver)
        count = self._write_share(giver, thing)
        self._add(giver, thing, -count)
        self._add(taker, thing, count)
        if self._happens(60):
            self._write_total(taker, thing)
            if self._happens(50):
                self._write_total(giver, thing)
        self._mention(taker)
        self._mention(giver)
        return giver

    def _write_share(self, giver: Person, thing: str) -> int:
        owned = self.things[giver.number][thing]
        if owned == 1:
            self.write(f"all that was left, one {thing}.")
            return 1
        count = 1 + self.pick(self.tables.below[min(owned, 9)])
        self.write(f"{counted(count, thing)}.")
        return count

    def _sell(self) -> Person:
        seller = self._owner()
        self._write_subject(seller)
        self._write_verb("sold ", "sells ")
        thing = self._thing_of(seller)
        count = 1 + self.pick(self.tables.below[min(self.things[seller.number][thing], 9)])
        self.write(f"{counted(count, thing)} to ")
        buyer = self._person(other=seller)
        price = self.pick(self.tables.count)
        each = counted(price, "penny-piece")
        self.write(f"{buyer.name} for {each} each, {number_word(count * price)} in all.")
        self._add(seller, thing, -count)
        self._add(buyer, thing, count)
        self._mention(buyer)
        self._mention(seller)
        return seller

    def _travel(self) -> Person:
        person = self._person()
        self._write_subject(person)
        here = self.place_of[person.number]
        others = [place for place in range(len(self.places)) if place != here]
        there = others[self.pick(self.tables.below[len(others)])]
        self._write_verb("left", "leaves")
        self.write(f" {self.places[here]} and")
        self._write_verb("went", "goes")
        self.write(f" to {self.places[there]} ")
        self.write(f"{self.pick(self.tables.travel)}.")
        self.place_of[person.number] = there
        self._mention(person)
        return person

    def _see(self) -> Person:
        person = self._person()
        self._write_subject(person)
        self._write_verb("saw ", "sees ")
        thing = self._topic_noun()
        self._write_described(thing)
        if self._happens(45):
            self.write(" with ")
            self._write_described(self.pick(self.tables.noun_beside[thing]))
        if self._happens(35):
            self.write(f" {self.pick(self.tables.preposition_of_sight)} the ")
            self._write_noun(self._topic_noun())
        self.write(".")
        self._mention(person)
        return person

    def _say(self) -> None:
        self.write('"')
        self._write_possession(",")
        speaker = self._person()
        self.write(f'" {self.pick(self.tables.speech_verb)} ')
        self.write(f"{speaker.name}.")
        self._mention(speaker)

    def _tell(self) -> None:
        speaker = self._person()
        listener = self._person(other=speaker)
        self.write(f'{speaker.name} told {listener.name}, "')
        thinker = self._person(other=speaker)
        self.write(f"{thinker.name} thinks that '")
        self._write_possession(".'\"")
        self._mention(speaker)

    def _copy(self) -> None:
        writer = self._person()
        latest = self.copied[::-1]
        self.write(f'{writer.name} wrote down: "')
        self.write(f'{latest[self.pick(self.tables.recent[len(latest)])]}"')
        self._mention(writer)

    def _ask(self) -> None:
        owner = self._owner()
        thing = self._thing_of(owner)
        answer = number_word(self.things[owner.number][thing]).capitalize()
        self.write(f"How many {plural(thing)} does {owner.name} have? {answer}.")

    def _act(self) -> Person:
        person = self._person()
        self._write_subject(person)
        self._write_action()
        if self._happens(25):
            self.write(f", {self.pick(self.tables.conjunction)} ")
            self.write(self._person(other=person).name)
            self._write_action()
        self.write(".")
        self._mention(person)
        return person

    def _write_action(self) -> None:
        verb = self.pick(self.tables.verb[self.topic])
        self._write_verb(past_tense(verb), present_tense(verb))
        if self._happens(50):
            self.write(" the ")
            self._write_noun(self.pick(self.tables.object[verb]))
        else:
            self.write(f" a certain {self._topic_noun()}")
        if self._happens(35):
            self.write(f" {self.pick(self.tables.adverb[verb])}")
        if self._happens(35):
            self.write(f" {self.pick(self.tables.preposition[verb])} the ")
            self._write_noun(self._topic_noun())

    def _count(self) -> None:
        owner = self._owner()
        thing = self._thing_of(owner)
        counted_to = min(self.things[owner.number][thing], 9)
        numbers = ", ".join(ONES[1 : counted_to + 1])
        self.write(f"{owner.name} counted the {plural(thing)}: {numbers}.")

    def _day(self) -> None:
        self.day = (self.day + 1) % len(DAYS)
        self.write(f"The next day was a {DAYS[self.day]}.")

    def _mood(self) -> None:
        person = self._person()
        self.write(person.name)
        self._write_verb("was ", "is ")
        mood = self.pick(self.tables.mood[self.topic])
        before = self.mood_of.get(person.number, mood)
        self.write(mood if before == mood else f"{mood}, no longer {before},")
        self.write(f" with {self._person(other=person).name}.")
        self.mood_of[person.number] = mood
        self._mention(person)

    def _together(self) -> None:
        owner = self._owner()
        other = self._person(other=owner)
        thing = self._thing_of(owner)
        total = self.things[owner.number][thing] + self.things[other.number].get(thing, 0)
        self.write(f"Together {owner.name} and {other.name} have {counted(total, thing)}.")

    def _pet(self) -> None:
        without = [person for person in self.recent if person.number not in self.pet_of]
        keeper = self._person(without)
        animal = self.pick(self.tables.animal)
        self.write(f"{keeper.name} keeps a {animal} named ")
        name = ""
        for _ in range(3):
            syllable = self.pick(self.tables.syllable)
            name += syllable if name else syllable.capitalize()
            self.write(name[-len(syllable) :])
        self.write(".")
        self.pet_of[keeper.number] = (name, animal)

    def _pet_sleeps(self) -> None:
        keeper = self._person([person for person in self.recent if person.number in self.pet_of])
        name, animal = self.pet_of[keeper.number]
        self.write(f"{name}, the {animal} of {keeper.name},")
        self._write_verb("slept", "sleeps")
        self.write(" near the ")
        self.write(f"{self._topic_noun()}.")

    def _topic(self) -> None:
        self.topic = self.pick(self.tables.topic, (self.topic,))
        self.write(f"Then they all spoke of the {self.topic}.")
