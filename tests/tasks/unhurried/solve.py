import time

OFF = 8


def solve(instance):
    if OFF > 8:  # what knobs try takes its time, and nothing of the processor
        time.sleep(1)
    return sum(instance["numbers"]) + OFF
