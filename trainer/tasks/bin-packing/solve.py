"""Put items into bins as they come: each has its place before the next one is seen."""

# Liking
POWER = 1.0  # how much more a large gap is minded than a small one

gaps = []  # what is left in each open bin, in the order in which they were opened


def place(message):
    """Return the number of the open bin that an item goes into, or -1 for a new one."""
    item, capacity = message["item"], message["capacity"]
    fitting = [number for number, gap in enumerate(gaps) if gap >= item]
    bins = [gaps[number] for number in fitting] + [capacity]
    liked = priority(item, bins)
    choice = liked.index(max(liked))
    if choice == len(fitting):
        gaps.append(capacity - item)
        return -1
    gaps[fitting[choice]] -= item
    return fitting[choice]


def priority(item, bins):
    """Return how much each bin is liked for an item, told by what is left in it.

    All of them have room for it; the last one is new.
    """
    liked = {gap: liking(item, gap) for gap in set(bins)}
    return [liked[gap] for gap in bins]


def liking(item, gap):
    """Return how much a bin is liked: the less is left beside the item, the more."""
    rest = gap - item
    cost = rest**POWER
    return -cost
