"""`python -I -m trainer.card_selftest`: test this machine's cards, and write gpu-report.json.

It needs no node, no home and no network.
"""

import argparse
import sys
from pathlib import Path

from trainer.card_selftest.machine import (
    REPORT,
    devices_to_test,
    no_driver,
    on_processor,
    run_selftests,
    write_report,
)
from trainer.cards.cards import probe_cards


def main() -> int:
    """Test one card of each hardware class, or the processor; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -I -m trainer.card_selftest")
    parser.add_argument(
        "--processor", action="store_true", help="test the processor instead, at toy size"
    )
    parser.add_argument(
        "--out", type=Path, default=Path(REPORT), help="the file to write the report to"
    )
    options = parser.parse_args()
    found = probe_cards()
    wanted = [on_processor()] if options.processor else devices_to_test(found)
    if not wanted:
        print(no_driver(found), file=sys.stderr)
        return 1

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    results = run_selftests(wanted, say=say)
    write_report(results, options.out)
    say(f"the report was written to {options.out}")
    return 0 if all(result.passed for result, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
