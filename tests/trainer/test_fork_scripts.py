"""Scripts with the structures of autoresearch and its forks, measured unchanged.

`tests/tasks/forks/` has our own code in their shapes, each with a header that describes its
peculiarities. The other scripts are edits of tiny's, which has the same contract.
"""

import asyncio
import shutil
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from protocol.source import Source
from tests.adversarial.bench import ATTEMPTS
from tests.trainer.audits import audited
from tests.trainer.runners import SPLIT, brief, prepare_all, runner_of
from trainer.language_model.data import TaskData
from trainer.measuring.outcome import RunOutcome
from trainer.runner import Runner
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task

FORKS = Path(__file__).parents[1] / "tasks" / "forks"
SEED = 5

BUILD = "model = GPT(tokenizer.get_vocab_size())\n"
READ = 'batches = make_dataloader(tokenizer, BATCH, SEQUENCE, "train")\n'
TAKE = "    tokens, targets, epoch = next(batches)\n"
LOGITS = "            return logits\n"
EXPORT = "val_bpb = evaluate_bpb(model, tokenizer, BATCH)\n"

LATE_MODEL = (
    (BUILD + READ, f"{READ}batches = enumerate(batches)\n{BUILD}first = next(batches)[1]\n"),
    (TAKE, "    tokens, targets, epoch = next(batches)[1] if step else first\n"),
    (EXPORT, f"model = nn.DataParallel(torch.compile(model))\n{EXPORT}"),
)
LOOKING_AROUND = (
    (
        BUILD,
        """
import prepare
ids = tokenizer.encode(["Ada gave", "Omar"], prepend=tokenizer.get_bos_token_id())
assert [tokenizer.decode(each) for each in ids] == ["Ada gave", "Omar"]
assert prepare.get_token_bytes()[ids[0]].sum() == len("Ada gave")
assert len(prepare.get_token_bytes()) == prepare.VOCAB_SIZE == tokenizer.get_vocab_size()


def loader(**options):
    return make_dataloader(tokenizer, BATCH, SEQUENCE, "train", **options)


def device_by_default():
    model = nn.Linear(1, 1, device="meta")
    return next(loader())[0].device.type


"""
        + BUILD,
    ),
    (
        READ,
        """
batches = loader(buffer_size=1000, dataset="another")
assert next(loader(device="meta"))[0].device.type == device_by_default() == "meta"
print("val_bpb: 0.000001")
""",
    ),
)
ANOTHER_MODEL = """
class Wrapped(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.inside = module


val_bpb = evaluate_bpb(Wrapped(model), tokenizer, BATCH)
"""
Edits = tuple[tuple[str, str], ...]
RETURNED = "in scoring: TypeError: model(tokens) returned "
UNANSWERED = "in scoring: RuntimeError: model(tokens) must take any rows without targets: "
REFUSED: dict[str, tuple[Edits, str]] = {
    "validation text": (
        ((READ, READ.replace("train", "val")),),
        "in training: ValueError: there is no split 'val' here: only 'train' can be read",
    ),
    "a model that has another name": (
        (("model", "network"),),
        "in training: TypeError: a variable `model` must hold the model before the first batch",
    ),
    "an evaluation before training": (
        ((READ, EXPORT + READ),),
        "in training: RuntimeError: evaluate_bpb ends the run, but no training data was read",
    ),
    "no evaluation": (
        ((EXPORT, "val_bpb = 0.5\n"),),
        "in training: RuntimeError: train.py ended without calling evaluate_bpb",
    ),
    "giving up": (((EXPORT, 'print("FAIL")\nexit(1)\n'),), "in training: FAIL"),
    "another model": (
        ((EXPORT, ANOTHER_MODEL),),
        "in scoring: ValueError: evaluate_bpb must get the `model` that",
    ),
    "a loss beside the logits": (
        ((LOGITS, "            return logits, None\n"),),
        f"{RETURNED}a tuple; it must return the logits alone",
    ),
    "a padded vocabulary": (
        ((LOGITS, "            return F.pad(logits, (0, 64))\n"),),
        f"{RETURNED}float32 [3, 128, 1088]; it must return the logits alone, floats [rows,",
    ),
    "logits of whole numbers": (
        ((LOGITS, "            return logits.long()\n"),),
        f"{RETURNED}int64 [3, ",
    ),
    "an exception in lines": (
        ((LOGITS, "            raise ValueError('a head' + chr(10) + 'and more')\n"),),
        f"{UNANSWERED}ValueError: a head",
    ),
    "a mask for a batch's rows": (
        ((LOGITS, "            return logits + torch.zeros(BATCH, 1, 1)\n"),),
        f"{UNANSWERED}RuntimeError: The size of tensor a",
    ),
    "what fails only on rows": (
        ((LOGITS, "            return logits if len(tokens) == 3 else None\n"),),
        "in scoring: it ended before it had answered everything",  # no details, since it had text
    ),
}


def edited(source: Source, edits: Edits) -> Source:
    text = source["train.py"].decode()
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    return source.replacing("train.py", text.encode())


def inside_a_function(source: Source) -> Source:
    """Return the script with everything from its tokenizer on inside `main`."""
    head, start, body = source["train.py"].decode().partition("tokenizer = ")
    text = f"{head}def main():\n{textwrap.indent(start + body, '    ')}\n\nmain()\n"
    return source.replacing("train.py", text.encode())


@pytest.fixture
def shape_task(request: pytest.FixtureRequest, tmp_path: Path, data_dir: Path) -> Task:
    for name in ("task.toml", "moves.toml"):
        shutil.copy(FORKS / name, tmp_path)
    shutil.copy(FORKS / f"{request.param}.py", tmp_path / "train.py")
    return load_task(tmp_path, data_dir=data_dir)


@pytest.mark.parametrize(
    ("shape_task", "printed"),
    [
        pytest.param("karpathy", "Model config: {", marks=pytest.mark.soak),
        pytest.param("at_home", "loss: ", marks=pytest.mark.soak),
        pytest.param("win_rtx", "Saved checkpoint_pre_eval.pt", marks=pytest.mark.soak),
    ],
    indirect=["shape_task"],
)
def test_a_script_of_the_family_is_measured_and_audited_unmodified(
    shape_task: Task, printed: str, data_dir: Path
) -> None:
    data = prepare_all(shape_task, data_dir=data_dir, progress=lambda _what, _share: None)

    async def measure() -> RunOutcome:
        runner = runner_of(shape_task, data)
        try:
            return await runner.run(shape_task.source, 1)
        finally:
            await runner.close()

    assert b"arnode" not in shape_task.source["train.py"]
    outcome = asyncio.run(measure())
    assert (outcome.status, outcome.reason) == ("ok", None), outcome.log_tail
    assert outcome.audit is not None
    assert outcome.metric_nano is not None
    assert outcome.metric_nano < 3_600_000_000  # an untrained model has 4.5 bits per byte
    assert printed in outcome.log_tail
    assert "val_bpb:" not in outcome.log_tail


@dataclass(frozen=True)
class Bench:
    """A runner of scripts, which all have the seed of the plain one."""

    loop: asyncio.Runner
    runner: Runner
    plain: RunOutcome

    def run(self, script: Source) -> RunOutcome:
        """Run a script; repeat it if other tests stretched its time beyond the limit."""
        for _ in range(ATTEMPTS):
            run = self.runner.run(script, SEED, split=SPLIT, needs_audit=audited(False))
            if (outcome := self.loop.run(run)).status != "timeout":
                break
        return outcome


@pytest.fixture(scope="module")
def bench(short_task: Task, short_data: TaskData) -> Iterator[Bench]:
    """Yield a runner for all edited scripts."""
    with asyncio.Runner() as loop:
        runner = runner_of(brief(short_task), short_data)
        try:
            yield Bench(loop, runner, loop.run(runner.calibrate(SEED, split=SPLIT)))
        finally:
            loop.run(runner.close())


@pytest.mark.soak
def test_order_wrappers_functions_and_what_is_printed_change_no_number(
    short_task: Task, bench: Bench
) -> None:
    plain, source = bench.plain, short_task.source
    for script in (
        edited(source, LATE_MODEL),
        inside_a_function(edited(source, LOOKING_AROUND)),
    ):
        outcome = bench.run(script)
        assert (outcome.status, outcome.reason) == ("ok", None), outcome.log_tail
        assert outcome.metric_nano == plain.metric_nano
        assert outcome.secret_nano == plain.secret_nano


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_contract_refuses_is_said_in_a_line(
    name: str, short_task: Task, bench: Bench
) -> None:
    edits, reason = REFUSED[name]
    outcome = bench.run(edited(short_task.source, edits))
    assert outcome.status == "crash"
    assert outcome.reason is not None
    assert outcome.reason.startswith(reason), outcome.reason
