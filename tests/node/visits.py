"""Visits of models and agents, as they are stored."""

from agent.completion import ModelCost
from agent.visit.trace import EditedFile, Refusal, TraceStep
from node.store.traces import TraceBody, VisitSummary

PROMPT = "You improve the source of an experiment.\n" * 40
DIFF = """\
--- a/train.py
+++ b/train.py
@@ -1,2 +1,2 @@
-LEARNING_RATE = 0.1
+LEARNING_RATE = 0.3
 WIDTH = 64
"""
STEPS = (
    TraceStep(kind="prompt", who="system", text=PROMPT),
    TraceStep(kind="prompt", who="user", text="# The task\ntiny: improve val_bpb.\n" * 20),
    TraceStep(
        kind="answer",
        who="some/model",
        text="I would try a larger step.",
        ms=8_123,
        tokens_in=6_210,
        tokens_out=412,
        usd_nano=21_000_000,
    ),
    TraceStep(kind="refusal", text="I found no blocks in your answer.", refusal="unreadable"),
    TraceStep(kind="reply", who="user", text="I found no blocks. Give the whole answer again."),
    TraceStep(
        kind="answer",
        who="some/model",
        text="TITLE: A larger step\nWHY: The loss still falls.",
        ms=61_400,
        tokens_in=6_700,
        tokens_out=530,
        usd_nano=25_000_000,
    ),
    TraceStep(kind="edit", text=DIFF, files=(EditedFile(path="train.py", added=1, removed=1),)),
)


def visit(
    title: str = "A larger step", refusal: Refusal | None = None, **changes: object
) -> VisitSummary:
    """Return a visit that led to a proposal, or with `refusal` to none."""
    fields = {
        "ts_ms": 1_700_000_000_000,
        "task": bytes(32),
        "proposer": "some/model",
        "title": "" if refusal else title,
        "refusal": refusal,
        "reason": "it gave no usable answer" if refusal else "",
        "is_answered": True,
        "ms": 69_523,
        "cost": ModelCost(calls=2, tokens_in=12_910, tokens_out=942, usd_nano=46_000_000),
        **changes,
    }
    return VisitSummary(**fields)  # type: ignore[arg-type]


def body(*steps: TraceStep) -> TraceBody:
    return TraceBody(steps=steps or STEPS)
