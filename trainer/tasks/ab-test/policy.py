"""Which variant of a page the next visitors see. Lower regret is better.

`choose` is called once a round with what is known so far, and answers for all visitors of that
round. What it shows is a trade: whoever sees a poor variant is lost, and whoever is never shown
a good one does not find it.
"""

EXPLORATION = 0.4  # the share of all visitors that is spread evenly, before the best is shown


def promise(converted, shown, seen):
    """Return how good a variant looks that `shown` of `seen` visitors saw."""
    views = max(shown, 1)
    return converted / views


def choose(message):
    """Return the variants, by number, that this round's visitors see."""
    shown, converted = message["shown"], message["converted"]
    visitors = message["rounds"] * message["visitors"]
    even = EXPLORATION * visitors
    open_variants = list(range(len(shown)))
    chosen = []
    for _ in range(message["visitors"]):
        seen = sum(shown)
        if seen < even:
            variant = min(open_variants, key=lambda each: shown[each])
        else:
            variant = max(
                open_variants, key=lambda each: promise(converted[each], shown[each], seen)
            )
        shown[variant] += 1  # on their way: the rest of the round takes them into account
        chosen.append(variant)
    return chosen
