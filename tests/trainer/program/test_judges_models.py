"""Judges that ask a language model: the requests allowed, and the effect on the task."""

import asyncio
from pathlib import Path

import pytest

from protocol.errors import ArnodeError, ConfigurationError
from protocol.styles import Style
from tests.trainer.program.tasks import ONE_OF_EACH, Bench, figures, read, write_task
from tests.trainer.program.test_models import SCRIPT, Counting
from trainer.measuring.models import KeptModels, ModelFault
from trainer.program.checking import examine

NANO = 10**9
JUDGE = """\
from judging import ask


def instance(seed, split, index):
    return index


def check(instance, answer):
    for _ in range(CALLS):
        said = ask([{"role": "user", "content": f"{answer}?"}], model=MODEL)
    return {"error": float(len(said))}
"""
SOLVE = "def solve(instance):\n    return 'ab'\n"
BUDGET = '[judge.llm]\nmodels = ["{model}"]\ncalls = 2\ntokens = 1000\n'
FIXED = '[instances]\nfixed = ["one"]\n'
SCRIPTED = BUDGET.format(model="scripted") + 'script = "scripted.py"\n'


def write_asking(
    folder: Path,
    *,
    model: str = "any",
    calls: int = 1,
    judge: str = JUDGE,
    budget: str = "",
    how: str = "",
    instances: str = ONE_OF_EACH,
) -> Path:
    """Write a task whose judge asks a model so often, of two calls per instance."""
    return write_task(
        folder,
        how=f'editable = ["solve.py"]\nentry = "solve.py:solve"\n{how}',
        judge=judge.replace("MODEL", repr(model)).replace("CALLS", str(calls)),
        instances=instances,
        more=budget or BUDGET.format(model=model),
        files={"solve.py": SOLVE, "scripted.py": SCRIPT},
    )


def test_a_judge_asks_the_nodes_model_and_is_shown_the_same_again(tmp_path: Path) -> None:
    models = Counting()
    with Bench(read(write_asking(tmp_path)), models=KeptModels(models)) as bench:
        first = figures(bench.run())
        assert first == figures(bench.run())
    assert first == (len("answer 1") * NANO,) * 2
    assert [one.messages[0].content for one in models.asked] == ["ab?", "ab?"]  # one of each split


def test_a_candidate_that_asks_the_same_does_not_get_the_judges_answer(tmp_path: Path) -> None:
    solve = "import json, os, urllib.request\ndef solve(instance):\n"
    solve += "    told = {'model': 'any', 'messages': [{'role': 'user', 'content': 'ab?'}]}\n"
    solve += (
        "    call = urllib.request.Request(os.environ['OPENAI_BASE_URL'] + '/chat/completions',"
    )
    solve += " data=json.dumps(told).encode())\n    urllib.request.urlopen(call).read()\n"
    folder = write_asking(tmp_path, budget=BUDGET.format(model="any") + _OF_CANDIDATES)
    (folder / "solve.py").write_text(solve + "    return 'ab'\n")
    models = Counting()
    with Bench(read(folder), models=KeptModels(models)) as bench:
        figures(bench.run())
    assert [one.messages[0].content for one in models.asked] == ["ab?"] * 4
    assert len({one.seed for one in models.asked}) == 4


_OTHER_SCRIPT = '[llm]\nmodels = ["scripted"]\nscript = "solve.py"\ncalls = 2\ntokens = 9\n'
_OF_CANDIDATES = '[llm]\nmodels = ["any"]\ncalls = 1\ntokens = 1000\n'


def test_what_is_beyond_the_budget_is_not_answered(tmp_path: Path) -> None:
    task = read(write_asking(tmp_path, calls=3, instances=FIXED))
    with Bench(task, models=KeptModels(Counting())) as bench:
        outcome = bench.run()
    assert outcome.status == "rejected"
    assert "all 2 calls of this instance are made" in (outcome.reason or "")


def test_a_task_without_the_section_has_nobody_who_answers(tmp_path: Path) -> None:
    with Bench(read(write_asking(tmp_path, budget="\n", instances=FIXED))) as bench:
        outcome = bench.run()
    assert "only with a [judge.llm] in task.toml" in (outcome.reason or "")


def test_a_model_that_is_away_is_no_fault_of_the_answer(tmp_path: Path) -> None:
    models = Counting(fault=ModelFault(detail="nobody is there", is_askers=False))
    task = read(write_asking(tmp_path))
    with (
        Bench(task, models=KeptModels(models)) as bench,
        pytest.raises(ArnodeError, match="nobody is there"),
    ):
        bench.run()


def test_the_tasks_script_may_be_whom_it_asks(tmp_path: Path) -> None:
    with Bench(read(write_asking(tmp_path, model="scripted", budget=SCRIPTED))) as bench:
        public, secret = figures(bench.run())
    assert public != 0 != secret


def test_such_a_task_ranks_nowhere_and_one_pair_shows_nothing(tmp_path: Path) -> None:
    task = read(write_asking(tmp_path))
    assert task.manifest.scoring == "model"
    assert not task.manifest.is_ranked
    assert Style.of(task.manifest).name == "differences"


def test_it_is_not_attacked_by_a_check(tmp_path: Path) -> None:
    task = read(write_asking(tmp_path, model="scripted", budget=SCRIPTED))

    async def notes() -> dict[str, str]:
        remarks = examine(task, seconds=1.0, progress=lambda _what, _share: None)
        return {one.about: one.what async for one in remarks if one.level == "note"}

    assert asyncio.run(notes())["attacks"].startswith("scored by a language model")


@pytest.mark.parametrize(
    ("budget", "how", "says"),
    [
        (BUDGET.format(model="any"), 'scoring = "self"\n', "scoring"),
        (BUDGET.format(model="scripted"), "", "script"),
        (SCRIPTED + _OTHER_SCRIPT, "", "name one script"),
    ],
)
def test_bad_fields_are_named(tmp_path: Path, budget: str, how: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(write_asking(tmp_path, budget=budget, how=how))
    assert says in f"{caught.value.message} {caught.value.hint}"
