from judging import Wrong, random_of


def instance(seed, split, index):
    chance = random_of(seed)
    # That they say which split they are of lets an edit fail on the public one alone.
    return {"numbers": [chance.randrange(100) for _ in range(10)], "split": split}


def check(instance, answer):
    if type(answer) is not int:
        raise Wrong("it is no whole number")
    return {"error": abs(answer - sum(instance["numbers"]))}
