"""The task's own moves, as sources that must come through."""

from protocol.ideas import Move
from tests.adversarial.bench import Bench


def find_false_alarm(move: Move, bench: Bench) -> str | None:
    """Run the baseline with a move; say what was held against it."""
    source = bench.baseline
    for edit in move.edits:
        assert source.count(edit.search) == 1, (move.name, edit.search)
        source = source.replace(edit.search, edit.replace)
    outcome = bench.run_uncrowded(source)
    if outcome.status != "ok" or outcome.audit is None or outcome.metric_nano is None:
        return f"ended as {outcome.status}, {outcome.reason}: {outcome.log_tail}"
    return None if outcome.audit.k == 256 else f"audited at {outcome.audit.k} places"
