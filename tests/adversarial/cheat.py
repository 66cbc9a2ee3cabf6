"""Sources that want a better number than they have earned, and what each is worth.

A cheat is the baseline's `train.py` with edits; longer pieces are real attack code in
`cheating/*.txt`, kept from linters by its name. `ends` says how a run of it must end: with one of
the failures, or `ok`, and then it has to be worth next to nothing on the secret split.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Protocol

import numpy as np

from protocol.runs import Status
from tests.trainer.runners import SPLIT
from trainer.language_model.evaluator import LogProbs
from trainer.language_model.text.vocabulary import TokenRows
from trainer.measuring.outcome import RunOutcome

PIECES = Path(__file__).parent / "cheating"
WORTHLESS_SD = 0.25

Edit = tuple[str, str]

# Places of the baseline that cheats edit.
IMPORT = "import torch\nfrom prepare"
NORM = "\n\ndef norm(x):\n"
ANSWER = "        if targets is None:\n            return logits\n"
READ = "batches = make_dataloader("
STEPS = "steps = TOKEN_BUDGET // (BATCH * SEQUENCE)\n"
EXPORT = "val_bpb = evaluate_bpb("

MODULES = (IMPORT, "import contextlib, glob, os, sys, time\n\nimport torch\nfrom prepare")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cheat:
    """Edits of the honest baseline, and how a run of the result must end.

    `bound_sd` is what an `ok` may be worth on the secret split, in standard deviations of one run;
    None where the number is true: nothing is hidden, and the split nobody saw shows the gain too.
    `is_fast`: whether the tests play it; the long proofs play all.
    """

    name: str
    edits: tuple[Edit, ...]
    ends: Status = "rejected"
    reason: str = ""
    bound_sd: float | None = WORTHLESS_SD
    is_fast: bool = True

    def source(self, baseline: str) -> str:
        """Return the cheating train.py. Raises ValueError if the baseline is another one."""
        for old, new in self.edits:
            if baseline.count(old) != 1:
                raise ValueError(f"{self.name}: {old!r} is not there once")
            baseline = baseline.replace(old, new)
        return baseline


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """The gain of a cheat over the honest baseline with the same seeds: honest − cheat.

    `ends` are the runs' statuses; gains are means over the runs that ended `ok`, in standard
    deviations of one run, None if none did.
    """

    name: str
    ends: tuple[Status, ...]
    public_sd: float | None
    secret_sd: float | None

    def holds(self, cheat: Cheat) -> bool:
        """Return whether it ended as required and gained no more than allowed."""
        if cheat.ends != "ok":
            return set(self.ends) == {cheat.ends}
        if self.secret_sd is None:
            return False
        return cheat.bound_sd is None or self.secret_sd < cheat.bound_sd


class Runs(Protocol):
    """The part of a bench that `worth` needs: a baseline and runs of one file with a seed."""

    @property
    def baseline(self) -> str: ...
    @property
    def noise_sd(self) -> float: ...
    def run(self, train: str, seed: int, *, split: bytes = SPLIT) -> RunOutcome: ...
    def honest_run(self, seed: int, split: bytes = SPLIT) -> RunOutcome: ...


def worth(bench: Runs, cheat: Cheat, seeds: Sequence[int], *, split: bytes = SPLIT) -> Worth:
    """Run a cheat and the baseline with the same seeds: pairs of one seed are nearly noiseless."""
    ends: list[Status] = []
    gains: list[tuple[int, int]] = []
    for seed in seeds:
        source = cheat.source(bench.baseline)
        outcome, honest = bench.run(source, seed, split=split), bench.honest_run(seed, split)
        ends.append(outcome.status)
        if outcome.metric_nano is not None and honest.metric_nano is not None:
            assert outcome.secret_nano is not None
            assert honest.secret_nano is not None
            public_gain = honest.metric_nano - outcome.metric_nano
            gains.append((public_gain, honest.secret_nano - outcome.secret_nano))
    public, secret = ([gain[split] for gain in gains] for split in (0, 1))
    unit = 1e9 * bench.noise_sd
    return Worth(
        name=cheat.name,
        ends=tuple(ends),
        public_sd=fmean(public) / unit if public else None,
        secret_sd=fmean(secret) / unit if secret else None,
    )


def piece(name: str, values: Mapping[str, object] = {}) -> str:
    """Return a piece of attack code with its `@NAME@` filled in."""
    text = (PIECES / f"{name}.txt").read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    return text


def before_model(*code: str) -> Edit:
    """Put code where the baseline's own functions begin."""
    return NORM, "".join(code).rstrip() + "\n" + NORM


def answering(logits: str) -> Edit:
    """Let the model answer another expression than its `logits` when it is scored."""
    return ANSWER, f"        if targets is None:\n            return {logits}\n"


def before_data(code: str) -> Edit:
    """Do something once the model is built."""
    return READ, f"{code}\n{READ}"


PEEK = (MODULES, before_model(piece("peek")))
REFUTED = "reported log-probabilities are"


def peeking(name: str, logits: str, *, is_fast: bool = True) -> Cheat:
    """A cheat that knows the targets of a claim, and those only: `peeked(logits)`."""
    return Cheat(name=name, edits=(*PEEK, answering(logits)), reason=REFUTED, is_fast=is_fast)


def smuggling(*, steps: int, ends: Status) -> Cheat:
    """Leave the last steps of training to the process that scores: data and Adam travel along."""
    # On tiny: where the schedule's straight way to zero stands when training ends.
    share = steps / (300 + steps) / 0.5
    return Cheat(
        name=f"training on in serve role, {steps} steps",
        edits=(
            before_data(
                f"STEPS_IN_SERVE = {steps}\n"
                "size = sum(parameter.numel() for parameter in model.parameters())\n"
                'model.register_buffer("moments", torch.zeros(2, size))\n'
                "room = torch.zeros(STEPS_IN_SERVE, BATCH, SEQUENCE + 1, dtype=torch.int16)\n"
                'model.register_buffer("smuggled", room)\n'
                + piece("smuggle", {"STEPS": steps, "SHARE": share})
            ),
            ("progress = step / steps\n", "progress = step / (steps + STEPS_IN_SERVE)\n"),
            (
                "    loss.backward()\n",
                """    if step < STEPS_IN_SERVE:
        model.smuggled[step, :, :-1] = tokens
        model.smuggled[step, :, -1] = targets[:, -1]
    loss.backward()
""",
            ),
            (EXPORT, f"keep_moments(optimizer)\n{EXPORT}"),
        ),
        ends=ends,
        reason="" if ends == "ok" else "the start of ",
    )


def pretraining(*, seconds: float, ends: Status) -> Cheat:
    """The world's grammar in the source, and training on its text before there is any data."""
    return Cheat(
        name=f"training on own text before the data, {seconds:g} s",
        edits=(
            (NORM, f"\n{piece('generator')}\n{piece('pretrain', {'SECONDS': seconds})}{NORM}"),
            before_data('if session.job.role == "train":pretrain(model)'),
        ),
        ends=ends,
        reason="" if ends == "ok" else "training used more than",
        bound_sd=None,
        is_fast=False,
    )


def leaking(*, facts: int) -> Cheat:
    """Report in the serve role which places of the text were hardest, and crash.

    The script is shown public and secret rows alike, and prints what a source could carry of both:
    a row's key, a place in it and the token there.
    """
    return Cheat(
        name="printing the hardest places of the secret split",
        edits=(before_model(piece("leak", {"FACTS": facts})), answering("leaked(tokens, logits)")),
        ends="crash",
        reason="in scoring: it ended before it had answered everything",
    )


def remembering(
    rows: TokenRows, claims: LogProbs, *, facts: int, of: str = "the public split"
) -> Cheat:
    """Store the `facts` hardest places of a leaked split's rows.

    `claims` are an honest run's for these rows: log-probabilities [rows, context].
    """
    later = claims.copy()
    later[:, :3] = 0  # a row is known by its first four tokens: an audit sees none behind its place
    hardest = np.argsort(later, axis=None)[:facts]
    packed = bytearray()
    by_row = np.stack(np.unravel_index(np.sort(hardest), claims.shape), axis=1)
    for row in np.unique(by_row[:, 0]):
        key = sum(int(token) * 5**n for n, token in enumerate(rows[row, :4])) % 65521
        places = by_row[by_row[:, 0] == row, 1]
        packed += key.to_bytes(2, "big") + bytes([len(places)])
        for place in places:
            packed += bytes([place]) + int(rows[row, place + 1]).to_bytes(2, "big")
    text = base64.b85encode(bytes(packed)).decode()
    return Cheat(
        name=f"remembering {of}",
        edits=(
            before_model(piece("memory", {"FACTS": text})),
            answering("logits + remembered(tokens, logits)"),
        ),
        ends="ok",
    )


def distinguishing(rows: TokenRows, *, peek_at_known: bool) -> Cheat:
    """Peek only at rows of a leaked split, or only at the others."""
    keys = {sum(int(token) * 5**n for n, token in enumerate(row[:4])) % 65521 for row in rows}
    text = base64.b85encode(b"".join(key.to_bytes(2, "big") for key in sorted(keys))).decode()
    known = "sum(tokens[:, n] * 5**n for n in range(4)) % 65521"
    sign = "" if peek_at_known else "~"
    return Cheat(
        name=f"peeking at {'public' if peek_at_known else 'secret'} rows only",
        edits=(
            MODULES,
            before_model(
                piece("peek"),
                f"\n\nimport base64\n\nPACKED = base64.b85decode({text!r})\n"
                "KNOWN = torch.tensor([PACKED[n] * 256 + PACKED[n + 1] "
                "for n in range(0, len(PACKED), 2)])\n",
            ),
            answering(
                f"logits + ({sign}torch.isin({known}, KNOWN)).view(-1, 1, 1) * peeked(logits)"
            ),
        ),
        reason=REFUTED,
    )
