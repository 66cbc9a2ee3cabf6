from judging import Wrong, random_of


def instance(seed, split, index):
    chance = random_of(seed)
    return {"numbers": [chance.randrange(100) for _ in range(10)]}


def check(instance, answer):
    if type(answer) is not int:
        raise Wrong("it is no whole number")
    return {"error": abs(answer - sum(instance["numbers"]))}
