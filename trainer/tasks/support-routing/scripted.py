"""A stand-in for a language model that reads prompts by simple rules, the same on every machine.

It behaves as small models do, in a way that can be counted. It chooses among the queues that a
prompt lists in lines that begin with a dash, else it answers from the top of its head. It knows
some words of some trades, and learns those of a definition behind the queue's name and those of
examples ("Ticket: …" above "Queue: …"). All sentences count the same unless it is told to go by
what the customer asks for. It chats unless it is told to answer with one word. And it slips: the
more it has to read, the likelier it takes the second best; asked once more, it looks closer.
"""

import hashlib
import re
from typing import Any

Chat = list[tuple[str, str]]  # who said it, and what

SLIP = 0.02  # how often it takes the second best, whatever it reads
SLIP_OF_WORD = 0.0002  # … for each word that it reads
LOOKS_CLOSER = 0.25  # of the slips are left when it has answered before and is asked again
OF_NAME, OF_DEFINITION, OF_EXAMPLE = 1.0, 1.0, 0.6  # what a word counts that speaks for a queue
OF_WISH = 3.0  # what a sentence counts that asks for something, where it is told to go by that

KNOWN = {
    "billing": "bill invoice payment paid card charged bank fee receipt tax money refunded debit",
    "accounts": "log login password account username profile sign locked unlock verification",
    "delivery": "parcel package courier tracking shipment late arrived deliver driver send",
    "returns": "return exchange back wrong replace damaged size label",
    "technical": "app error crashes software update bug fix screen install page router phone",
}
OFFHAND = {"accounts": "login", "returns": "refunds"}  # what it calls them if nobody tells it
COMMON = (  # words that say nothing
    " a all also an and any are as at be been but by can do does for from had has have i if in is"
    " it me my no not of on one or our so some that the them there they this to us was we were what"
    " when where which who will with you your "
)
WISHING = ("please", "could you", "i want", "i need")
FRAMES = (
    "This should go to {best}.",
    "The customer mentions {second}, but {best} is the better place.",
    "{Best}, I would say.",
    "It is for {best}, I think; {second} could help too.",
)
BARE = ("{best}", "{best}", "{best}", "{Best}.")


def answer(messages: list[dict[str, Any]], seed: int) -> str:
    """Return what the model says to a chat."""
    said = [(str(message["role"]), str(message["content"])) for message in messages]
    ticket, instructions = _parted(said)
    queues = _queues(instructions)
    chance = _chance(said, seed)
    names = {queue: queue for queue in queues}
    if not queues:
        queues = dict.fromkeys(KNOWN, "")
        names = {queue: OFFHAND.get(queue, queue) for queue in queues}
    best, second = _ranked(ticket, instructions, queues)
    slip = SLIP + SLIP_OF_WORD * sum(len(text.split()) for _, text in said)
    if any(role == "assistant" for role, _ in said):
        slip *= LOOKS_CLOSER
    if chance[0] < slip:
        best, second = second, best
    told = "one word" in instructions.lower() or "single word" in instructions.lower()
    frames = BARE if told else FRAMES
    best, second = names[best], names[second]
    frame = frames[int(chance[1] * len(frames))]
    return frame.format(best=best, Best=best.capitalize(), second=second)


def _parted(said: Chat) -> tuple[str, str]:
    """Return the ticket, and all else that is no answer of the model's own."""
    users = [number for number, (role, _) in enumerate(said) if role == "user"]
    if not users:
        return "", "\n".join(text for _, text in said)
    asked = said[users[0]][1]
    before, mark, ticket = asked.rpartition("Ticket:")
    others = [
        text
        for number, (role, text) in enumerate(said)
        if number != users[0] and role != "assistant"
    ]
    if mark:
        return ticket.partition("\nQueue:")[0], "\n".join([*others, before])
    return asked, "\n".join([*others, *_dashed(asked)])


def _dashed(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("- ")]


def _queues(instructions: str) -> dict[str, str]:
    """Return the queues that are listed, each with the words that define it."""
    queues: dict[str, str] = {}
    for line in _dashed(instructions):
        name, _, definition = line[2:].partition(":")
        name = name.strip().lower()
        queues[name] = f"{queues.get(name, '')} {definition}"
    return queues


def _examples(instructions: str, queue: str) -> str:
    """Return the tickets that are shown as examples of a queue, as one text."""
    shown = re.findall(r"^Ticket: (.*)\nQueue: (\S+)$", instructions, flags=re.MULTILINE)
    return " ".join(ticket for ticket, its_queue in shown if its_queue == queue)


def _words(text: str) -> list[str]:
    """Return the words that say something, without the endings of their forms."""
    words = [word for word in re.findall(r"[a-z0-9-]+", text.lower()) if f" {word} " not in COMMON]
    return [re.sub(r"(?<=...)(ing|ed|es|s)$", "", word) for word in words]


def _ranked(ticket: str, instructions: str, queues: dict[str, str]) -> tuple[str, str]:
    """Return the queue that most of a ticket's words speak for, and the second."""
    goes_by_wish = "asks for" in instructions.lower()
    evidence = {
        queue: (
            (OF_NAME, set(_words(KNOWN.get(queue, queue)))),
            (OF_DEFINITION, set(_words(definition))),
            (OF_EXAMPLE, set(_words(_examples(instructions, queue)))),
        )
        for queue, definition in queues.items()
    }
    scores = dict.fromkeys(queues, 0.0)
    for sentence in re.split(r"(?<=[.?!,])\s+", ticket):
        is_wish = any(wish in sentence.lower() for wish in WISHING)
        weight = OF_WISH if is_wish and goes_by_wish else 1.0
        for word in _words(sentence):
            for queue, kinds in evidence.items():
                scores[queue] += weight * sum(worth * (word in known) for worth, known in kinds)
    ranked = sorted(scores, key=lambda queue: -scores[queue])
    return ranked[0], ranked[min(1, len(ranked) - 1)]


def _chance(said: Chat, seed: int) -> list[float]:
    """Return two numbers from 0 to 1 that follow from the chat and the seed."""
    digest = hashlib.sha256(repr((seed, said)).encode()).digest()
    return [int.from_bytes(digest[at : at + 4], "big") / 2**32 for at in (0, 4)]
