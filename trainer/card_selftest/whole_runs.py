"""Complete runs on generated text, which check a card's numerical noise and its speed.

Two runs with one seed and one run with another seed are trained, scored and audited. They measure
the difference between score and audit, the difference between runs, and the time that sandboxes
take. Only runs with one seed must be close: after so short a training, seeds differ by up to half a
bit. A last run checks that the audit rejects a model that reports false losses.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from protocol.source import Source
from protocol.units import NANO
from trainer.card_selftest.report import SEND_REPORT, Fault
from trainer.language_model.data import TaskData, rows_of
from trainer.language_model.text.vocabulary import Vocabulary, parse_ranks
from trainer.measuring.outcome import RunOutcome
from trainer.measuring.timeline import Stage
from trainer.runner import Runner
from trainer.task_folder.folder import BUILTIN_FOLDER
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task
from trainer.tasks.tiny.world import first_documents

SPLIT: Final = b"the proving run's secret split".ljust(32, b".")
_SAME_SEED, _OTHER_SEED = 1, 2
_LIE_NATS: Final = 0.2
_VOCABULARY: Final = "vocabulary.tiktoken"
_TASK: Final = """\
extends = "tiny"
name = "self-test"
title = "The self-test of a card, on generated text"
editable = ["train.py"]
hyperparameters = {{}}
limit_s = {limit_s}
warmup_limit_s = 300
memory_gb = {memory_gb}
weights_mb = 1000

[budget]
seconds = {seconds}

[audit]  # nanochat's caps
k = {audited}
tolerance = 0.005
tau = 0.3

[data]
recipe = "tiny-world"
vocabulary = "vocabulary.tiktoken"
context = {context}
rows = {rows}

[data.sha256]
training = "e687fd4ed06ee073727149c095730cd794c4fac8b87799d9132eccb2ad3f4c65"
public = "2a5edad3396facc8e33482d681237c326ffdc1cf01151ad82b6687c4e7aded9a"
"""
# Lowers the per-token losses that a run reports below those that the audit measures.
_LIE: Final = """

honest_cross_entropy = F.cross_entropy


def lying_cross_entropy(*args, reduction="mean", **options):  # torch.compile passes all of them
    loss = honest_cross_entropy(*args, reduction=reduction, **options)
    return loss if reduction == "mean" else (loss - {nats}).clamp(min=0)


F.cross_entropy = lying_cross_entropy
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The length of a run and the amount of data: `CARD` for cards, `TOY` for the processor.

    `training_bytes` of text are generated for training, and `scored_bytes` for each scored split.
    `absurd_bits` is the largest plausible difference between two runs with one seed, in bits per
    byte.
    """

    seconds: int
    context: int
    rows: int
    audited: int
    memory_gb: int
    absurd_bits: float
    training_bytes: int
    scored_bytes: int


CARD: Final = Scale(
    seconds=20, context=2048, rows=96, audited=128, memory_gb=48, absurd_bits=0.05,
    training_bytes=4_000_000, scored_bytes=1_500_000,
)  # fmt: skip
# The budget is time, so runs on a busy processor get different numbers of steps.
TOY: Final = Scale(
    seconds=2, context=128, rows=128, audited=64, memory_gb=4, absurd_bits=2.0,
    training_bytes=400_000, scored_bytes=150_000,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeRunResult:
    """The results of the complete runs so far; metrics in bits per byte, audits in nats."""

    figures: dict[str, float | str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def selftest_task(script: bytes, scale: Scale, folder: Path) -> Task:
    """Write the self-test's task into a folder, and return it."""
    (folder / _VOCABULARY).write_bytes((BUILTIN_FOLDER / "tiny" / _VOCABULARY).read_bytes())
    (folder / "train.py").write_bytes(script)
    (folder / "moves.toml").write_text("move = []\n")
    (folder / "task.toml").write_text(
        _TASK.format(
            limit_s=2 * scale.seconds + 60,
            memory_gb=scale.memory_gb,
            seconds=scale.seconds,
            audited=scale.audited,
            context=scale.context,
            rows=scale.rows,
        )
    )
    return load_task(folder, data_dir=folder)


def generated_data(scale: Scale) -> TaskData:
    """Return generated text as a task's data; nothing is downloaded, and no split is secret."""
    ranks = parse_ranks((BUILTIN_FOLDER / "tiny" / _VOCABULARY).read_bytes(), name=_VOCABULARY)
    scored = dict.fromkeys(("public", "secret"), scale.scored_bytes)
    sizes = {"training": scale.training_bytes, **scored}
    tokens = {name: _tokens(ranks, name.encode(), size) for name, size in sizes.items()}
    secret = rows_of(tokens["secret"], scale.context, scale.rows)
    return TaskData(
        vocabulary=ranks,
        public_rows=rows_of(tokens["public"], scale.context, scale.rows),
        secret_rows=lambda _key: secret,
        training_parts=(tokens["training"],),
    )


def _tokens(
    vocabulary: Vocabulary, split: bytes, size: int
) -> "np.ndarray[tuple[int], np.dtype[np.uint16]]":
    texts = [document.text for document in first_documents(b"proving " + split, size)]
    parts = [[vocabulary.bos, *tokens] for tokens in vocabulary.encode_all(texts)]
    return np.concatenate([np.array(part, dtype=np.uint16) for part in parts])


async def check_whole_runs(runner: Runner, scale: Scale) -> WholeRunResult:
    """Make all complete runs; return their results, and the faults of the card that they show.

    Raises all errors that are not the card's fault.
    """
    result = WholeRunResult()
    first = await _run(runner, runner.task.source, _SAME_SEED, result)
    if first is None:
        return result
    result.figures.update(_figures(first))
    result.figures["audit_tolerance_bpb"] = runner.metric_tolerance
    again = await _run(runner, runner.task.source, _SAME_SEED, result)
    other = await _run(runner, runner.task.source, _OTHER_SEED, result)
    if again and other:
        same, apart = _bits(first) - _bits(again), _bits(first) - _bits(other)
        result.figures["same_seed_bpb"] = same
        result.figures["other_seed_bpb"] = apart
        result.figures["noise_sd_bpb"] = abs(apart) / 2**0.5
        if abs(same) > scale.absurd_bits:
            result.faults.append(_absurd_noise(same))
    await _catch_liar(runner, result)
    return result


async def _run(
    runner: Runner, source: Source, seed: int, result: WholeRunResult
) -> RunOutcome | None:
    outcome = await runner.run(source, seed, split=SPLIT)
    if outcome.status == "ok":
        return outcome
    said = f"{outcome.status}: {outcome.reason}"
    is_audits = outcome.status == "rejected"
    result.faults.append(_audit_apart(said) if is_audits else _whole_run_fails(said))
    return None


async def _catch_liar(runner: Runner, result: WholeRunResult) -> None:
    """Run a model that reports too low losses; add a fault if it passes the audit."""
    script = runner.task.source["train.py"].decode()
    place = script.index("\nclass ")
    lying = f"{script[:place]}{_LIE.format(nats=_LIE_NATS)}{script[place:]}"
    source = runner.task.source.replacing("train.py", lying.encode())
    outcome = await runner.run(source, _SAME_SEED, split=SPLIT)
    result.figures["liar"] = outcome.status
    if outcome.status not in ("ok", "rejected"):  # it never reached the audit
        result.faults.append(_whole_run_fails(f"{outcome.status}: {outcome.reason}"))
    if outcome.status == "ok":
        result.faults.append(
            Fault(
                name="liar-not-caught",
                said=f"a model that reported losses {_LIE_NATS} nats too low passed its audit",
                hint=SEND_REPORT,
            )
        )


def _bits(outcome: RunOutcome) -> float:
    assert outcome.metric_nano is not None  # noqa: S101 -- the run has a score
    return outcome.metric_nano / NANO


def _figures(outcome: RunOutcome) -> dict[str, float | str]:
    """Return a run's score, peak memory and times.

    `counted_s` is the training time, which the budget limits, and `counted_share` is its fraction
    of the whole run. `sandboxes_s` is the time in which sandboxes started.
    """
    counted_s = _seconds(stage for stage in outcome.stages if stage.counts)
    whole_ms = outcome.stages[-1].end_ms - outcome.stages[0].start_ms if outcome.stages else 0
    sandbox_s = _seconds(one for one in outcome.stages if one.name in ("spawn", "import"))
    return {
        "metric_bpb": _bits(outcome),
        "counted_s": round(counted_s, 2),
        "counted_share": round(counted_s / max(whole_ms / 1000, 1e-3), 3),
        "sandboxes_s": round(sandbox_s, 2),
        "peak_gib": round(outcome.peak_mem_bytes / 2**30, 2),
    }


def _seconds(stages: Iterable[Stage]) -> float:
    return sum(stage.end_ms - stage.start_ms for stage in stages) / 1000


def _whole_run_fails(said: str) -> Fault:
    return Fault(
        name="run-fails", said=f"a whole run fails ({said})",
        hint=SEND_REPORT,
    )  # fmt: skip


def _audit_apart(said: str) -> Fault:
    return Fault(
        name="audit-beyond-tolerance", said=f"an honest run failed its audit ({said})",
        hint=SEND_REPORT,
    )  # fmt: skip


def _absurd_noise(apart: float) -> Fault:
    return Fault(
        name="noise-absurd",
        said=f"two runs with one seed differ by {abs(apart):.3f} bits per byte",
        hint="check the card: `nvidia-smi -q` shows memory errors and throttling",
    )  # fmt: skip
