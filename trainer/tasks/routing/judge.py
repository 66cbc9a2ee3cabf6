"""Vehicles with a capacity visit customers and come home: how much longer than a reference?

An instance is drawn from its seed: some customers lie in clusters, some alone. Distances are whole
numbers, so that a length is exact. The reference is worked out here, from the instance alone, in a
fixed number of ruin-and-recreate steps of whole numbers: the same on every machine, and as a rule
within 0.005 of what much longer searches find. So a gap below zero is possible, by a little.
"""

from itertools import pairwise
from math import isqrt

from judging import Wrong, random_of

SIDE = 10_000  # of the square that all lie in
FEWEST_CUSTOMERS, SIZES = 40, 8  # 40, 43, … 61 customers, by the instance's index
CUSTOMERS_A_ROUTE = (5, 10)

SEARCHES = 3  # of the reference, each from the start; the best one counts
STEPS = 5_000  # of each
MOST_NEIGHBOURS = 20  # customers taken out around one of them at a time
LONGEST_STRING = 10  # or in strings of neighbouring routes
TAKEN_IN_STRINGS = 12  # customers at a time, at the most on average
FIRST_THRESHOLD = 600  # a worse solution is taken if it is longer by less; shrinks to 0
BLINKS_OF_1000 = 10  # how often a good place is overlooked


# What is made


def instance(seed, split, index):
    """Return places, demands and a capacity. The first place is the depot and demands nothing."""
    chance = random_of(seed)
    customers = FEWEST_CUSTOMERS + 3 * (index % SIZES)
    centres = [(draw(chance, SIDE), draw(chance, SIDE)) for _ in range(2 + draw(chance, 4))]
    depot = (SIDE // 2, SIDE // 2) if draw(chance, 2) else (draw(chance, SIDE), draw(chance, SIDE))
    places = [depot]
    for _ in range(customers):
        if draw(chance, 2):
            places.append((draw(chance, SIDE), draw(chance, SIDE)))
        else:
            centre = centres[draw(chance, len(centres))]
            places.append(tuple(near(chance, along) for along in centre))
    demands = [0] + [1 + draw(chance, 40) for _ in range(customers)]
    low, high = CUSTOMERS_A_ROUTE
    on_a_route = low + draw(chance, high - low + 1)
    capacity = max(*demands, sum(demands) * on_a_route // customers)
    return {"places": [list(place) for place in places], "demands": demands, "capacity": capacity}


def draw(chance, below):
    """Return a whole number below a bound, by the one method that no version of Python changes."""
    return int(chance.random() * below)


def near(chance, centre):
    """Return a coordinate around a centre: the sum of three draws looks like a bell."""
    spread = sum(draw(chance, 1_200) for _ in range(3)) - 1_800
    return min(SIDE - 1, max(0, centre + spread))


def distances_of(places):
    """Return whole distances between all places, rounded down."""
    return [[isqrt((a - c) ** 2 + (b - d) ** 2) for c, d in places] for a, b in places]


def length_of(route, distances):
    """Return how long a route is, from the depot and back to it."""
    stops = [0, *route, 0]
    return sum(distances[a][b] for a, b in pairwise(stops))


# What was answered


def check(instance, answer):
    """Refuse routes that do not visit everybody once within the capacity; measure the others."""
    routes = routes_of(instance, answer)
    distances = distances_of(instance["places"])
    length = sum(length_of(route, distances) for route in routes)
    reference = reference_length(distances, instance["demands"], instance["capacity"])
    return {
        "gap": (length - reference) / reference,
        "length": length / SIDE,
        "vehicles": sum(1 for route in routes if route),
    }


def routes_of(instance, answer):
    """Return the answer's routes, if they are valid."""
    customers = len(instance["places"]) - 1
    if not isinstance(answer, dict) or set(answer) != {"routes"}:
        raise Wrong('the answer is {"routes": [[...], ...]}')
    routes = answer["routes"]
    if not isinstance(routes, list) or len(routes) > customers:
        raise Wrong("routes is a list of at most as many routes as there are customers")
    visited = [False] * (customers + 1)
    for route in routes:
        if not isinstance(route, list) or len(route) > customers:
            raise Wrong("a route is a list of the numbers of customers")
        load = 0
        for customer in route:
            if type(customer) is not int or not 1 <= customer <= customers:  # True is an int too
                raise Wrong(f"a customer is a whole number from 1 to {customers}")
            if visited[customer]:
                raise Wrong(f"customer {customer} is visited twice")
            visited[customer] = True
            load += instance["demands"][customer]
        if load > instance["capacity"]:
            raise Wrong(f"a vehicle carries {load}, its capacity is {instance['capacity']}")
    if not all(visited[1:]):
        raise Wrong(f"customer {visited.index(False, 1)} is not visited")
    return routes


# What it is measured by


def reference_length(distances, demands, capacity):
    """Return the length of the best routes that a few searches found, each of so many steps."""
    chance = random_of(sum(map(sum, distances)).to_bytes(32, "big"))
    near_first = [sorted(range(1, len(demands)), key=row.__getitem__) for row in distances]
    return min(
        searched_length(near_first, distances, demands, capacity, chance) for _ in range(SEARCHES)
    )


def searched_length(near_first, distances, demands, capacity, chance):
    """Return the length of the best routes of one search by ruin and recreate."""
    routes = [[customer] for customer in range(1, len(demands))]
    length = best = sum(length_of(route, distances) for route in routes)
    for step in range(STEPS):
        tried = [list(route) for route in routes]
        take = take_neighbours if draw(chance, 2) else take_strings
        absent = take(tried, near_first, chance)
        tried = [route for route in tried if route]
        put_back(tried, absent, distances, demands, capacity, chance)
        tried_length = sum(length_of(route, distances) for route in tried)
        threshold = FIRST_THRESHOLD * (STEPS - step) // STEPS
        if tried_length < length + threshold:
            routes, length = tried, tried_length
            best = min(best, length)
    return best


def take_neighbours(routes, near_first, chance):
    """Take a customer and those around it out of their routes; return who is out."""
    centre = 1 + draw(chance, len(near_first) - 1)
    absent = near_first[centre][: 1 + draw(chance, MOST_NEIGHBOURS)]
    for route in routes:
        route[:] = [customer for customer in route if customer not in absent]
    return absent


def take_strings(routes, near_first, chance):
    """Take a string of customers out of each of some neighbouring routes; return who is out
    (Christiaens and Vanden Berghe, Slack induction by string removals, 2020)."""
    route_of = {customer: number for number, route in enumerate(routes) for customer in route}
    centre = 1 + draw(chance, len(near_first) - 1)
    longest = min(LONGEST_STRING, max(map(len, routes)))
    strings = 1 + draw(chance, max(1, 4 * TAKEN_IN_STRINGS // (1 + longest) - 1))
    touched, absent = set(), []
    for customer in near_first[centre]:
        number = route_of[customer]
        if number in touched:
            continue
        if len(touched) == strings:
            break
        touched.add(number)
        route = routes[number]
        size = 1 + draw(chance, min(longest, len(route)))
        at = route.index(customer)
        first = max(0, at - size + 1)
        start = first + draw(chance, min(at, len(route) - size) - first + 1)
        absent += route[start : start + size]
        del route[start : start + size]
    return absent


def put_back(routes, absent, distances, demands, capacity, chance):
    """Put each customer into the route and place where it costs least, in one of four orders."""
    home = distances[0]
    match draw(chance, 11):
        case 0 | 1 | 2 | 3:
            absent.sort(key=lambda customer: chance.random())
        case 4 | 5 | 6 | 7:
            absent.sort(key=demands.__getitem__, reverse=True)
        case 8 | 9:
            absent.sort(key=home.__getitem__, reverse=True)
        case _:
            absent.sort(key=home.__getitem__)
    loads = [sum(demands[customer] for customer in route) for route in routes]
    for customer in absent:
        row, demand = distances[customer], demands[customer]
        least, where, place = 1 << 60, None, 0
        for number, route in enumerate(routes):
            if loads[number] + demand > capacity:
                continue
            before = 0
            for at, after in enumerate((*route, 0)):
                more = row[before] + row[after] - distances[before][after]
                if more < least and draw(chance, 1000) >= BLINKS_OF_1000:
                    least, where, place = more, number, at
                before = after
        if where is None:
            routes.append([customer])
            loads.append(demand)
        else:
            routes[where].insert(place, customer)
            loads[where] += demand
