"""Route a customer's ticket to one of the company's queues. Higher accuracy is better.

A language model is asked, in words that may be changed; what it answers is read here. It may be
asked twice for a ticket.
"""

import json
import os
import urllib.request

QUEUES = ("billing", "accounts", "delivery", "returns", "technical", "retention", "field")
IN_DOUBT = "technical"  # the queue of a ticket whose answer names none
LONGEST_TICKET = 100  # words of a ticket that the model gets to read


def ask(messages):
    """Return what the model answers to a chat."""
    call = urllib.request.Request(  # noqa: S310 -- the one address that there is
        os.environ["OPENAI_BASE_URL"] + "/chat/completions",
        data=json.dumps({"model": "scripted", "messages": messages}).encode(),
        headers={"Content-Type": "application/json", "Authorization": "Bearer none"},
    )
    with urllib.request.urlopen(call, timeout=30) as reply:  # noqa: S310 -- likewise
        return json.load(reply)["choices"][0]["message"]["content"]


def instructions():
    """Return what the model is told before it reads a ticket."""
    lines = ["Which team of our company should answer this customer?"]
    return "\n".join(lines)


def queue_in(answer):
    """Return the queue that an answer names."""
    for queue in QUEUES:
        if queue in answer:
            return queue
    return IN_DOUBT


def route(message):
    """Return the queue of a ticket."""
    words = message["ticket"].split()
    ticket = " ".join(words[:LONGEST_TICKET])
    messages = [
        {"role": "system", "content": instructions()},
        {"role": "user", "content": ticket},
    ]
    answer = ask(messages)
    return queue_in(answer)
