"""Sources that want a better number than they have earned: refused, or it is worth nothing."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from protocol.runs import Status
from tests.adversarial.conftest import Bench, MakeBench
from trainer.data import prepare
from trainer.task import load_task

ANSWER = """
        if targets is None:
            return logits
"""


@dataclass(frozen=True, kw_only=True)
class Cheat:
    """Edits of the honest baseline, and how they must end."""

    name: str
    edits: tuple[tuple[str, str], ...]
    status: Status
    reason: str

    def source(self, baseline: str) -> str:
        for old, new in self.edits:
            assert baseline.count(old) == 1, old
            baseline = baseline.replace(old, new)
        return baseline


IMPORT = ("import torch\nfrom prepare", "import sys\n\nimport torch\nfrom prepare")

PEEKED = """

def peeked(logits):
    # The harness knows the targets of a claim: they stand a few frames further up.
    frame = sys._getframe(1)
    while frame:
        extra = frame.f_locals.get("extra")
        if extra is not None and extra.numel() == logits.size(0) * logits.size(1):
            at = extra.view(*logits.shape[:2], 1)
            del frame
            return torch.zeros_like(logits).scatter_(-1, at, 2.0)
        frame = frame.f_back
    return 0


class Block(nn.Module):
"""

CHEATS = (
    Cheat(
        name="target peeking in the claim",
        edits=(
            IMPORT,
            ("\n\nclass Block(nn.Module):\n", PEEKED),
            (ANSWER, ANSWER.replace("logits\n", "logits + peeked(logits)\n")),
        ),
        status="rejected",
        reason="claims are not what the model predicts",
    ),
    Cheat(
        name="target peeking through the inputs",
        edits=(
            (
                ANSWER,
                """
        if targets is None:
            ahead = F.one_hot(F.pad(tokens[:, 1:], (0, 1)), logits.size(-1))
            return logits + 2 * ahead
""",
            ),
        ),
        status="rejected",
        reason="claims are not what the model predicts",
    ),
    Cheat(
        name="peeking at one token in a hundred",
        edits=(
            IMPORT,
            ("\n\nclass Block(nn.Module):\n", PEEKED),
            (
                ANSWER,
                """
        if targets is None:
            rare = (tokens % 101 == 0).unsqueeze(-1)
            return logits + 3 * rare * peeked(logits)
""",
            ),
        ),
        status="rejected",
        reason="claims are",
    ),
    Cheat(
        name="logits that are not normalised",
        edits=(
            (
                "\n\nclass Block(nn.Module):\n",
                """

honest_cross_entropy = F.cross_entropy


def generous_cross_entropy(logits, targets, reduction="mean"):
    loss = honest_cross_entropy(logits, targets, reduction=reduction)
    return loss if reduction == "mean" else loss * 0.98


F.cross_entropy = generous_cross_entropy


class Block(nn.Module):
""",
            ),
        ),
        status="rejected",
        reason="claims are",
    ),
    Cheat(
        name="training on in serve role, on the rows that are scored",
        edits=(
            (
                "\n\nclass Block(nn.Module):\n",
                """

honest_cross_entropy = F.cross_entropy


def learning_cross_entropy(logits, targets, reduction="mean"):
    if reduction == "mean":
        return honest_cross_entropy(logits, targets)
    loss = honest_cross_entropy(logits, targets, reduction=reduction)
    wanted = torch.bincount(targets, minlength=logits.size(-1)) / len(targets)
    model.bias += 0.3 * (wanted - logits[:: 7].softmax(-1).mean(0)) / (wanted + 1e-3)
    return loss


F.cross_entropy = learning_cross_entropy


class Block(nn.Module):
""",
            ),
            (
                "\n        self.head = nn.Linear(WIDTH, vocabulary, bias=False)\n",
                """
        self.head = nn.Linear(WIDTH, vocabulary, bias=False)
        self.register_buffer('bias', torch.zeros(vocabulary))
""",
            ),
            (
                "        logits = self.head(norm(x))\n",
                "        logits = self.head(norm(x)) + self.bias\n",
            ),
        ),
        status="rejected",
        reason="claims are",
    ),
    Cheat(
        name="answers of its own on the channel",
        edits=(
            (
                "batches = make_dataloader(",
                """from trainer.harness import session

if session.job.role == "serve":
    session.channel.receive()
    session.channel.send(b"S")
    while True:
        _, payload, _ = session.channel.receive()
        rows, length = payload[3], payload[7]
        session.channel.send(b"A", bytes(4 * rows * length))
batches = make_dataloader(""",
            ),
        ),
        status="rejected",
        reason="in the audit: a frame of",
    ),
)


@pytest.mark.parametrize("cheat", CHEATS, ids=lambda cheat: cheat.name)
def test_a_cheat_is_rejected(cheat: Cheat, bench: Bench) -> None:
    outcome = bench.run(cheat.source(bench.baseline))
    assert outcome.status == cheat.status, (outcome.reason, outcome.metric_nano, outcome.log_tail)
    assert outcome.reason is not None
    assert outcome.reason.startswith(cheat.reason), outcome.reason
    assert outcome.metric_nano is None
    assert outcome.claims is None


def test_after_cheats_the_next_run_is_clean(bench: Bench) -> None:
    bench.check_that_the_next_run_is_clean()


def test_a_printed_number_is_worth_nothing(bench: Bench) -> None:
    boast = "print('val_bpb: 0.000001')\nprint('METRIC val_bpb=0.000001', flush=True)\n"
    outcome = bench.run(boast + bench.baseline)
    assert "val_bpb: 0.000001" in outcome.log_tail
    assert (outcome.status, outcome.metric_nano) == ("ok", bench.honest.metric_nano)
    silent = bench.run(boast + "raise SystemExit(0)\n")
    assert (silent.status, silent.metric_nano) == ("crash", None)


# The training tokens travel as a buffer of the weights; in serve role, once the weights are
# loaded, the script trains on. Optimiser by hand: importing torch's would cost CPU seconds.
SMUGGLING = (
    (
        "\n\ntokenizer = Tokenizer.from_directory()\n",
        '''

STEPS_IN_SERVE = @STEPS@
SMUGGLED = 160


def train_on(model):
    """Adam, on smuggled tokens, in the process that should only score."""
    parameters = list(model.parameters())
    means = [torch.zeros_like(parameter) for parameter in parameters]
    squares = [torch.zeros_like(parameter) for parameter in parameters]
    for step in range(STEPS_IN_SERVE):
        rows = model.smuggled[step % SMUGGLED].long()
        loss = model(rows[:, :-1], rows[:, 1:])
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            rate = 2e-3 * (1 - step / STEPS_IN_SERVE)
            torch._foreach_lerp_(means, gradients, 0.1)
            torch._foreach_mul_(squares, 0.95)
            torch._foreach_addcmul_(squares, gradients, gradients, 0.05)
            scale = torch._foreach_sqrt(squares)
            torch._foreach_add_(scale, 1e-8)
            torch._foreach_addcdiv_(parameters, means, scale, -rate)


def eval_and_train_on(self):
    import prepare

    if prepare.session.job.role == "serve":
        with torch.enable_grad():
            train_on(self)
    return self


GPT.eval = eval_and_train_on
smuggled = []
tokenizer = Tokenizer.from_directory()
''',
    ),
    (
        "batches = make_dataloader(",
        """room = torch.zeros(SMUGGLED, BATCH, SEQUENCE + 1, dtype=torch.int16)
model.register_buffer("smuggled", room)
batches = make_dataloader(""",
    ),
    (
        "\n    loss.backward()\n",
        """
    if step < SMUGGLED:
        model.smuggled[step, :, :-1] = tokens
        model.smuggled[step, :, -1] = targets[:, -1]
    loss.backward()
""",
    ),
)


def smuggling(baseline: str, steps: int) -> str:
    for old, new in SMUGGLING:
        assert baseline.count(old) == 1, old
        baseline = baseline.replace(old, new.replace("@STEPS@", str(steps)))
    return baseline


@pytest.fixture(scope="module")
def tiny_bench(make_bench: MakeBench, data_dir: Path) -> Bench:
    """The whole task: its training takes far more CPU seconds than its scoring."""
    task = load_task("tiny", data_dir=data_dir)
    data = prepare(task, data_dir=data_dir, progress=lambda _what, _share: None)
    return make_bench(task, data)


def test_training_on_in_serve_role_with_smuggled_tokens_is_a_timeout(tiny_bench: Bench) -> None:
    outcome = tiny_bench.run(smuggling(tiny_bench.baseline, 300))
    assert outcome.status == "timeout", (outcome.reason, outcome.metric_nano)
    assert outcome.reason is not None
    assert outcome.reason.startswith(("scoring ", "the audit "))
