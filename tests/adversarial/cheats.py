"""The table of cheats: those that every task must refuse, and those that only `tiny` can weigh.

`REFUSED` shows on the short task in a run each. `WEIGHED` needs whole runs of `tiny`: what ends
`ok` there is compared with honest runs of the same seeds (`tools/soak/hostile.py`).
"""

from protocol.runs import Status
from tests.adversarial.cheat import (
    EXPORT,
    MODULES,
    PEEK,
    REFUTED,
    STEPS,
    Cheat,
    answering,
    before_data,
    before_model,
    distinguishing,
    peeking,
    piece,
    pretraining,
    remembering,
    smuggling,
    worth,
)
from trainer.language_model.evaluator import LogProbs
from trainer.language_model.text.vocabulary import TokenRows

GENEROUS = """


honest_cross_entropy = F.cross_entropy


def generous_cross_entropy(logits, targets, reduction="mean"):
    loss = honest_cross_entropy(logits, targets, reduction=reduction)
    return loss if reduction == "mean" else {loss}


F.cross_entropy = generous_cross_entropy
"""

LEARNING = """


honest_cross_entropy = F.cross_entropy


def learning_cross_entropy(logits, targets, reduction="mean"):
    if reduction == "mean":
        return honest_cross_entropy(logits, targets)
    loss = honest_cross_entropy(logits, targets, reduction=reduction)
    wanted = torch.bincount(targets, minlength=logits.size(-1)) / len(targets)
    BIAS.add_(0.3 * (wanted - logits[::7].softmax(-1).mean(0)) / (wanted + 1e-3))
    return loss


BIAS = torch.zeros(Tokenizer().get_vocab_size())
F.cross_entropy = learning_cross_entropy
"""

SEEN = """


SEEN = torch.ones(Tokenizer().get_vocab_size())


def seen_so_far(tokens):
    SEEN.add_(torch.bincount(tokens.flatten(), minlength=len(SEEN)))
    return 0.1 * SEEN.log()
"""

FORGED = """from trainer.language_model.harness import session

if session.job.role == "serve":
    session.channel.receive()
    session.channel.send(b"S")
    while True:
        _, payload, _ = session.channel.receive()
        rows, length = payload[3], payload[7]
        session.channel.send(b"A", bytes(4 * rows * length))"""

REFUSED = (
    peeking("peeking at every target", "logits + 2 * peeked(logits)"),
    Cheat(
        name="peeking through the inputs",
        edits=(
            answering(
                "logits.index_put((torch.arange(tokens.size(0))[:, None],"
                " torch.arange(tokens.size(1) - 1), tokens[:, 1:]), torch.tensor(2.0), True)",
            ),
        ),
        reason=REFUTED,
        is_fast=False,
    ),
    peeking("peeking for 0.15 % of the metric", "logits + 0.008 * peeked(logits)", is_fast=False),
    peeking("peeking for 0.05 % of the metric", "logits + 0.0027 * peeked(logits)"),
    peeking(
        "peeking at one token in a hundred",
        "logits + 3 * (tokens % 101 == 0).unsqueeze(-1) * peeked(logits)",
        is_fast=False,
    ),
    Cheat(
        name="better claims where it is hard",
        edits=(before_model(GENEROUS.format(loss="loss - 3 * (loss > 7)")),),
        reason=REFUTED,
    ),
    peeking(
        "a temperature that knows where the model is right",
        "logits * (1 + 0.02 * ((peeked(logits) * logits).sum(-1, True) == logits.amax(-1, True)))",
        is_fast=False,
    ),
    Cheat(
        name="answers kept in files from claim to audit",
        edits=(
            MODULES,
            before_model(piece("peek"), piece("replay")),
            answering("logits + 2 * replayed(tokens, logits)"),
        ),
        ends="crash",  # once it has seen a row it can open no file
        reason="in scoring: it ended before it had answered everything",
    ),
    Cheat(
        name="log-probabilities that are too small by a factor",
        edits=(before_model(GENEROUS.format(loss="loss * 0.999")),),
        reason=REFUTED,
        is_fast=False,
    ),
    Cheat(
        name="log-probabilities that are too small by a constant",
        edits=(before_model(GENEROUS.format(loss="(loss - 0.001).clamp(min=0)")),),
        reason=REFUTED,
        is_fast=False,
    ),
    Cheat(
        name="learning from the targets that were scored",
        edits=(before_model(LEARNING), answering("logits + BIAS")),
        reason=REFUTED,
    ),
    Cheat(
        name="learning from the rows that were scored",
        edits=(before_model(SEEN), answering("logits + seen_so_far(tokens)")),
        reason=REFUTED,
        is_fast=False,
    ),
    Cheat(
        name="answers that depend on the rows beside",
        edits=(
            answering(
                "logits + 3 * (tokens.flatten().bincount(minlength=logits.size(-1))"
                " / tokens.numel()).sqrt()"
            ),
        ),
        reason=REFUTED,
        is_fast=False,
    ),
    Cheat(
        name="answers of its own on the channel",
        edits=(before_data(FORGED),),
        reason="in the audit: a frame that the protocol of runs forbids",
    ),
    Cheat(
        name="more weights than allowed",
        edits=(
            before_data('model.register_buffer("more", torch.zeros(3_900_000).to(torch.uint8))'),
        ),
        reason="weights of",
    ),
    smuggling(steps=16, ends="timeout"),
    pretraining(seconds=10, ends="timeout"),
)


def leaked(rows: TokenRows, claims: LogProbs, *, facts: int) -> tuple[Cheat, ...]:
    """Return cheats that know a split's rows, as one may know the public one's."""
    return (
        distinguishing(rows, peek_at_known=True),
        distinguishing(rows, peek_at_known=False),
        remembering(rows, claims, facts=facts),
    )


def trains_longer(times: float, *, ends: Status) -> Cheat:
    """Go through the tokens more than once, as far as CPU seconds allow."""
    return Cheat(
        name=f"{times:g} times the baseline's steps",
        edits=((STEPS, f"steps = int({times} * TOKEN_BUDGET) // (BATCH * SEQUENCE)\n"),),
        ends=ends,
        reason="" if ends == "ok" else "training used more than",
        bound_sd=None,
    )


WEIGHED = (
    Cheat(
        name="peeking below the tolerance",
        edits=(*PEEK, answering("logits + 1e-6 * peeked(logits)")),
        ends="ok",
    ),
    smuggling(steps=24, ends="timeout"),
    smuggling(steps=3, ends="ok"),
    trains_longer(1.02, ends="ok"),
    pretraining(seconds=45, ends="timeout"),
    pretraining(seconds=1.2, ends="ok"),
    Cheat(
        name="the interpreter's own text as more training text",
        edits=(
            MODULES,
            (
                "    loss.backward()\n",
                """    loss.backward()
    if step == 0:
        paths = sorted(glob.glob(os.path.dirname(os.__file__) + "/*.py"))[:20]
        text = tokenizer.encode("".join(open(path).read() for path in paths))
    if step % 4 == 0:
        rows = torch.tensor(text[step * 128 : step * 128 + 516]).view(4, 129)
        (0.1 * model(rows[:, :-1], rows[:, 1:])).backward()
""",
            ),
        ),
        ends="ok",
    ),
    Cheat(
        name="training on after the export",
        edits=(
            MODULES,
            (
                EXPORT,
                """import threading


def train_on():
    while True:
        tokens, targets, epoch = next(batches)
        model(tokens, targets).backward()
        optimizer.step()
        optimizer.zero_grad()


import trainer.language_model.harness.prepare as harness

end = harness.session.channel.send


def send_and_train_on(tag, payload=b""):
    end(tag, payload)
    train_on()


harness.session.channel.send = send_and_train_on
"""
                + EXPORT,
            ),
        ),
        ends="ok",
    ),
    trains_longer(1.35, ends="ok"),
    trains_longer(2.0, ends="timeout"),
    Cheat(
        name="one initialisation for every seed",
        edits=(
            (
                "tokenizer = Tokenizer.from_directory()\n",
                """torch.random.default_generator.manual_seed(7)
tokenizer = Tokenizer.from_directory()
""",
            ),
        ),
        ends="ok",
        bound_sd=None,
    ),
)

__all__ = ["REFUSED", "WEIGHED", "Cheat", "leaked", "worth"]
