"""Tickets of a company's customers, each of which belongs to one queue by what it asks for.

A ticket says what went wrong and what is wanted, which are of its own queue; around that stands
what people write besides: where they come from, what else happened, which is of another queue as
often as not, and a footer that their office adds.
"""

from collections.abc import Generator
from random import Random
from typing import Any

from judging import Wrong, random_of

TICKETS = 50
STORY = 0.6  # of the tickets tell something first that belongs to another queue
FOOTER = 0.4  # of the tickets end in a footer

# What went wrong, and what is wanted, by queue.
PROBLEMS = {
    "billing": (
        "My card was charged twice this month.",
        "The invoice shows an amount that I do not recognise.",
        "A direct debit left my bank although I had paid already.",
        "The discount code is missing from my latest bill.",
        "VAT was computed at the wrong rate.",
        "Your statement lists a fee that nobody told me about.",
        "The receipt has no tax number on it.",
        "I transferred the sum and still get dunning letters.",
    ),
    "accounts": (
        "I cannot log in since I have a new phone.",
        "The password link never reaches my inbox.",
        "My profile still carries my maiden name.",
        "Somebody else seems to use my username.",
        "The verification code is always refused.",
        "I am locked out after three attempts.",
        "My e-mail address has changed.",
        "Two-factor asks for a device that I no longer own.",
    ),
    "delivery": (
        "My parcel is a week late.",
        "Tracking has not moved since Monday.",
        "The courier left the box with a neighbour whom I do not know.",
        "Half of the order has not arrived.",
        "The driver claims that nobody was at home.",
        "The shipment went to my old street.",
        "It says dispatched, yet the depot knows nothing of it.",
        "The package was left in the rain.",
    ),
    "returns": (
        "The jacket is too small for me.",
        "The lamp came with a crack in its glass.",
        "I received the blue model instead of the black one.",
        "The gift does not suit my sister.",
        "One shoe has a torn seam.",
        "The wrong article was in the box.",
        "The kettle arrived dented.",
        "I ordered two by mistake and keep only one.",
    ),
    "technical": (
        "The app crashes whenever I open the map.",
        "An error with number 512 appears on the screen.",
        "The router restarts every hour.",
        "Since the update the page stays blank.",
        "The speaker does not pair over bluetooth.",
        "Videos freeze after some seconds.",
        "The software hangs while it syncs.",
        "The battery drains within two hours.",
    ),
    "retention": (
        "A competitor offers the same for less.",
        "I hardly use the subscription any more.",
        "The price went up for the third time.",
        "My contract renews next month.",
        "We are moving abroad and need none of this there.",
        "The premium plan is more than I need.",
        "I am thinking of leaving after ten years.",
        "The trial ends on Friday.",
    ),
    "field": (
        "The technician did not turn up on Tuesday.",
        "The socket in the wall hangs loose.",
        "A cable must be laid to the second floor.",
        "The dish on our roof has tilted in the storm.",
        "The meter in the cellar is to be replaced.",
        "The fitter drilled into a pipe.",
        "The new boiler is not connected yet.",
        "We have no time between eight and noon, when your engineer wants to come.",
    ),
}
WISHES = {
    "billing": (
        "Please correct the bill.",
        "I want the second payment refunded.",
        "Could you send me a proper invoice?",
        "Please stop the debit.",
        "I need a breakdown of the costs.",
    ),
    "accounts": (
        "Please reset my password.",
        "Could you unlock my account?",
        "I want my personal details changed.",
        "I need another way to sign in.",
        "Please delete the old profile.",
    ),
    "delivery": (
        "Could you tell me where my parcel is?",
        "Please send it again.",
        "I want it brought to a pick-up point.",
        "I need it before the weekend, so please hurry it up.",
        "Please ask the courier.",
    ),
    "returns": (
        "I want to exchange it.",
        "Please send me a label so that I can post it back.",
        "Could you replace it under warranty?",
        "I want to give it back.",
        "I need a different size.",
    ),
    "technical": (
        "Please fix the bug.",
        "Could you tell me how to install it afresh?",
        "I need it to work again.",
        "Please look at the logs.",
        "I want to go back to the previous version.",
    ),
    "retention": (
        "Please cancel my subscription.",
        "I want to end the contract.",
        "Could you make me a better offer?",
        "I need a cheaper plan.",
        "Please do not renew it.",
    ),
    "field": (
        "Please send somebody round.",
        "I need a new appointment.",
        "Could your engineer come in the afternoon?",
        "I want the installation finished.",
        "Please repair the damage in my house.",
    ),
}
# What is told besides: true, and not what the ticket is about. By the queue that it sounds like.
STORIES = {
    "billing": ("I pay every bill on time.", "The invoice for it was fine, by the way."),
    "accounts": ("I could log in without trouble this time.", "My password works again."),
    "delivery": ("The parcel came quickly last week.", "The courier was very kind."),
    "returns": ("I sent a jacket back in spring.", "The exchange of my shoes went well."),
    "technical": ("The app has been stable since the update.", "I fixed the router myself."),
    "retention": ("I renewed my contract in May.", "I have had the premium plan for years."),
    "field": ("Your technician was here in March.", "The installation went smoothly."),
}
GREETINGS = ("Hello,", "Dear team,", "Good morning,", "Hi there,", "To whom it may concern,")
FOOTERS = (
    "This message may be confidential; if it was delivered to the wrong address, return it.",
    "Please consider the environment before you print this. Our invoices are paid within 30 days.",
    "Sent from my phone. Error and omission excepted. Offices and contracts: see our page.",
)


def instance(seed: bytes, split: str, index: int) -> dict[str, list[str]]:
    """Draw tickets, each for any queue."""
    chance = random_of(seed)
    tickets = [_ticket(chance, chance.choice(list(PROBLEMS))) for _ in range(TICKETS)]
    return {"tickets": [text for text, _ in tickets], "queues": [queue for _, queue in tickets]}


def _ticket(chance: Random, queue: str) -> tuple[str, str]:
    parts = [chance.choice(GREETINGS)]
    if chance.random() < STORY:
        other = chance.choice([each for each in STORIES if each != queue])
        parts.append(chance.choice(STORIES[other]))
    problem, wish = chance.choice(PROBLEMS[queue]), chance.choice(WISHES[queue])
    parts += [problem, wish]
    if chance.random() < FOOTER:
        parts.append(chance.choice(FOOTERS))
    return " ".join(parts), queue


def converse(instance: dict[str, list[str]]) -> Generator[dict[str, str], object, None]:
    """Show one ticket after the other, and take the queue of each."""
    for ticket in instance["tickets"]:
        yield {"ticket": ticket}


def check(instance: dict[str, list[str]], transcript: Any) -> dict[str, float]:
    """Return the share of the tickets that came to their queue."""
    queues = instance["queues"]
    if type(transcript) is not list or len(transcript) != len(queues):
        raise Wrong("the conversation did not go through all tickets")
    right = 0
    for exchange, message, queue in zip(transcript, converse(instance), queues, strict=True):
        if type(exchange) is not list or len(exchange) != 2 or exchange[0] != message:
            raise Wrong("the conversation is not what the judge said")
        if type(exchange[1]) is not str or exchange[1] not in PROBLEMS:
            raise Wrong(f"a reply must be one of the queues: {', '.join(PROBLEMS)}")
        right += exchange[1] == queue
    return {"accuracy": right / len(queues)}
