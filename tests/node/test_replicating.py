"""Published findings: permission to run code, shared runs, verdicts of pairs."""

import io
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from node.home.home import Home
from node.on_demand.kept_runs import KeptRun, KeptRuns, kept_runs
from node.on_demand.replicating import (
    NEIGHBOURS,
    FindingCandidate,
    Replication,
    Replications,
    candidates_of,
    setting_of,
)
from node.on_demand.replications import (
    PAIR_HEADER,
    ReplicationEffort,
    as_json,
    pair_line,
    print_table,
    run_line,
    summary,
)
from protocol.errors import ConfigurationError
from protocol.ideas import Edit, PublishedFinding
from protocol.rule import POWER
from protocol.runs import CONTENDED
from protocol.source import Source
from tests.node.examples import BASELINE, BETTER, BROKEN, MANIFEST, run
from trainer.host.device import Device, processor
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task

HERE = bytes(32)
SD_NANO = MANIFEST.noise_floor_nano
BASE_NANO = 1_500_000_000


def finding(name: str, *edits: tuple[str, str], gain: float | None = None) -> PublishedFinding:
    return PublishedFinding(
        name=name,
        title=name.title(),
        idea="It should.",
        source="somebody",
        claimed="a little",
        claimed_gain=gain,
        edits=tuple(
            Edit(path="train.py", search=search, replace=replacement)
            for search, replacement in edits
        ),
    )


@pytest.fixture(scope="module")
def tiny() -> Task:
    return load_task("tiny", data_dir=Path())


@pytest.fixture(scope="module")
def seconds(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """tiny's script with a budget of seconds."""
    folder = tmp_path_factory.mktemp("seconds")
    (folder / "task.toml").write_text(
        'extends = "tiny"\nname = "by-the-clock"\n[budget]\nseconds = 2\n'
    )
    return load_task(folder, data_dir=folder)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[KeptRuns]:
    with kept_runs(tmp_path / "replications" / "runs.jsonl", HERE, is_fresh=False) as runs:
        yield runs


class Bench:
    """Runs as they would have been measured, of one candidate."""

    def __init__(
        self, kept: KeptRuns, claim: float | None = None, *, block: int = 0, memorised_nano: int = 0
    ) -> None:
        self.kept = kept
        self.memorised_nano = memorised_nano
        self.candidate = FindingCandidate(
            finding=finding("lamps", gain=claim), source=BETTER, block=block, refusal=""
        )
        self.replications = Replications(manifest=MANIFEST, kept=kept, policy=POWER)

    def ran(self, number: int, source: Source, gain_nano: int | None, **changes: object) -> None:
        """One run of a pair; a gain of None: it crashed."""
        role = "base" if source == BASELINE else "candidate"
        metric = None if gain_nano is None else BASE_NANO - gain_nano
        status = "ok" if metric else "crash"
        made = run(metric, role=role, status=status)  # type: ignore[arg-type]
        seed = self.kept.seed(self.candidate.block, number)
        self.kept.keep(
            KeptRun(
                setting=HERE,
                tree=source.tree,
                run=replace(made, seed=seed, **changes),  # type: ignore[arg-type]
                tolerance_nano=10,
                memorised_nano=self.memorised_nano,
            )
        )

    def pair(self, number: int, gain_nano: int) -> None:
        noise = SD_NANO // 2 * (-1) ** number
        self.ran(number, BASELINE, noise)
        self.ran(number, BETTER, noise + gain_nano)

    def look(self) -> Replication:
        return self.replications.look(self.candidate)

    def missing(self) -> list[tuple[Source, int]]:
        return self.replications.missing(BASELINE, [self.candidate])


# What the pairs say


def test_a_large_gain_is_confirmed_as_soon_as_the_rule_knows(kept: KeptRuns) -> None:
    bench = Bench(kept)
    assert (bench.look().verdict, bench.look().is_open) == ("open", True)
    for number in range(16):
        if not bench.look().is_open:
            break
        bench.pair(number, 6 * SD_NANO)
    found = bench.look()
    assert found.verdict == "confirmed"
    assert 2 <= len(found.confirmation.pairs) == number < 10
    assert found.confirmation.judgement is not None
    assert found.confirmation.judgement.evidence.gain == pytest.approx(6 * SD_NANO / 1e9)


def test_nothing_stays_unconfirmed_and_is_not_run_on(kept: KeptRuns) -> None:
    bench = Bench(kept)
    number = 0
    while bench.look().is_open:
        bench.pair(number, 0)
        number += 1
    assert bench.look().verdict == "unconfirmed"
    assert number <= POWER.max_pairs


def test_a_comparable_claim_may_be_refuted(kept: KeptRuns) -> None:
    bench = Bench(kept, claim=6 * SD_NANO / 1e9)
    number = 0
    while bench.look().is_open:
        bench.pair(number, 0)
        number += 1
    assert bench.look().verdict == "refuted"
    judged = bench.look().confirmation.judgement
    assert judged is not None
    assert judged.claim == "does_not_hold"


def test_what_crashes_is_unrunnable_and_says_why(kept: KeptRuns) -> None:
    bench = Bench(kept)
    bench.pair(0, SD_NANO)
    bench.ran(1, BASELINE, 0)
    bench.ran(1, BETTER, None, reason="NameError: \u202elamps")
    found = bench.look()
    assert (found.verdict, found.is_open) == ("unrunnable", False)
    assert "crash: NameError" in found.reason
    assert "\u202e" not in pair_line(found)
    assert as_json(found, POWER)["reason"] == found.reason


def test_a_crash_of_the_base_costs_another_run_of_it_and_no_pair(kept: KeptRuns) -> None:
    bench = Bench(kept)
    bench.ran(0, BASELINE, None, serve_ms=0)
    bench.ran(0, BETTER, SD_NANO)
    assert bench.look().is_open
    assert bench.missing() == [(BASELINE, kept.seed(0, 0))]
    bench.ran(0, BASELINE, 0)
    bench.ran(0, BETTER, 9 * SD_NANO)  # nobody runs it again; if somebody did, the first counts
    (pair,) = bench.look().confirmation.pairs
    assert (pair.base.status, pair.candidate.metric_nano) == ("ok", BASE_NANO - SD_NANO)
    assert set(bench.missing()) == {(BASELINE, kept.seed(0, 1)), (BETTER, kept.seed(0, 1))}
    bench.ran(1, BASELINE, None, serve_ms=0)
    bench.ran(1, BETTER, SD_NANO)
    assert not bench.look().is_open
    assert "the base ended with crash" in bench.look().reason


def test_the_first_open_pair_of_a_block_is_made_whole_for_all_before_the_next(
    kept: KeptRuns,
) -> None:
    bench, late = Bench(kept), Bench(kept)
    late.candidate = replace(late.candidate, source=BROKEN)
    block = [bench.candidate, late.candidate]
    bench.pair(0, SD_NANO)
    first, second = kept.seed(0, 0), kept.seed(0, 1)
    assert bench.replications.missing(BASELINE, block) == [(BROKEN, first)]
    late.ran(0, BROKEN, SD_NANO)
    wanted = bench.replications.missing(BASELINE, block)
    assert sorted(wanted, key=str) == sorted(
        [(BETTER, second), (BROKEN, second), (BASELINE, second)], key=str
    )
    assert bench.replications.missing(BASELINE, block) == wanted  # the seed decides the order
    bench.ran(1, BASELINE, None, serve_ms=0)
    bench.ran(1, BETTER, SD_NANO)
    late.ran(1, BROKEN, SD_NANO)
    assert bench.replications.missing(BASELINE, block) == [(BASELINE, second)]
    late.ran(1, BASELINE, None, serve_ms=0)
    assert bench.replications.missing(BASELINE, block) == []  # both are unrunnable


def test_no_pair_is_dropped_because_others_used_the_card(kept: KeptRuns) -> None:
    bench = Bench(kept)
    bench.ran(0, BASELINE, 0)
    bench.ran(0, BETTER, SD_NANO, flags=(CONTENDED,), tokens=0)
    assert len(bench.look().confirmation.pairs) == 1


def test_a_pair_that_is_not_whole_waits_for_its_other_half(kept: KeptRuns) -> None:
    bench = Bench(kept)
    bench.pair(0, SD_NANO)
    bench.ran(1, BETTER, SD_NANO)
    bench.pair(2, SD_NANO)
    assert [pair.seed for pair in bench.look().confirmation.pairs] == [kept.seed(0, 0)]
    bench.ran(1, BASELINE, 0)
    assert len(bench.look().own) == len(bench.look().bases) == 3


def test_what_a_source_could_know_by_heart_is_taken_off(kept: KeptRuns) -> None:
    benches = [Bench(kept), Bench(kept, block=1, memorised_nano=SD_NANO // 2)]
    for bench in benches:
        bench.pair(0, SD_NANO)
    before, after = (bench.look().confirmation.latest for bench in benches)
    assert before is not None
    assert after is not None
    assert before.gain - after.gain == pytest.approx(SD_NANO / 2e9)


# Whose code runs, and next to which base runs


def test_with_a_budget_of_tokens_all_share_their_base_runs(tiny: Task) -> None:
    assert tiny.catalogue is not None
    findings = [finding(f"width-{n}", ("WIDTH = 64", f"WIDTH = {n}")) for n in range(10, 20)]
    candidates = candidates_of(tiny.catalogue, tiny, findings, only=())
    assert {one.block for one in candidates} == {0}


def test_with_a_budget_of_seconds_few_share_theirs_and_always_the_same(seconds: Task) -> None:
    assert seconds.catalogue is not None
    findings = [finding(f"width-{n}", ("WIDTH = 64", f"WIDTH = {n}")) for n in range(10, 20)]
    candidates = candidates_of(seconds.catalogue, seconds, findings, only=())
    blocks = [one.block for one in candidates]
    assert all(blocks.count(block) <= NEIGHBOURS for block in blocks)
    assert blocks == sorted(blocks)
    (last,) = candidates_of(seconds.catalogue, seconds, findings, only=["width-19"])
    assert last.block == blocks[-1]


def test_untrusted_code_that_does_more_than_arithmetic_is_not_run(
    tiny: Task, tmp_path: Path
) -> None:
    reaching = finding("reaching", ("LAYERS = 2", "LAYERS = 2\nopen('/etc/passwd')"))
    harmless = finding("harmless", ("LAYERS = 2", "LAYERS = 3"))
    strange = tmp_path / "findings.toml"
    marked, clean = candidates_of(strange, tiny, [reaching, harmless], only=())
    assert "more than arithmetic" in marked.refusal
    assert "open" in marked.refusal
    assert clean.refusal == ""
    assert tiny.catalogue is not None
    (own,) = candidates_of(tiny.catalogue, tiny, [reaching], only=())
    assert own.refusal == ""


def test_a_copy_of_a_built_in_catalogue_is_untrusted(tiny: Task, tmp_path: Path) -> None:
    assert tiny.catalogue is not None
    copy = shutil.copy(tiny.catalogue, tmp_path)
    reaching = finding("reaching", ("LAYERS = 2", "LAYERS = 2\nopen('/etc/passwd')"))
    (marked,) = candidates_of(Path(copy), tiny, [reaching], only=())
    assert marked.refusal


def test_what_no_source_may_contain_is_not_run_either(tiny: Task) -> None:
    assert tiny.catalogue is not None
    hidden = finding("hidden", ("LAYERS = 2", "LAYERS = 2  # \u202e"))
    (refused,) = candidates_of(tiny.catalogue, tiny, [hidden], only=())
    assert "hidden character" in refused.refusal


def test_a_refused_finding_is_unrunnable_without_a_run(kept: KeptRuns) -> None:
    refused = FindingCandidate(
        finding=finding("x"), source=BROKEN, block=0, refusal="not run: because"
    )
    found = Replications(manifest=MANIFEST, kept=kept, policy=POWER).look(refused)
    assert (found.verdict, found.is_open, found.reason) == ("unrunnable", False, "not run: because")


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ((("LAYERS = 2", "LAYERS = 2"),), "does not change the baseline"),
        ((("LAYERS = 2", "LAYERS = 3"), ("LAYERS = 2\nWIDTH", "LAYERS = 4\nWIDTH")), "overlap"),
        ((), "does not change the baseline"),
    ],
)
def test_edits_that_make_nothing_of_the_baseline_are_a_fault_of_the_catalogue(
    tiny: Task, tmp_path: Path, edits: tuple[tuple[str, str], ...], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"finding odd: .*{said}"):
        candidates_of(tmp_path / "c.toml", tiny, [finding("odd", *edits)], only=())


# What else a metric depends on


def test_torch_sources_and_the_secret_make_another_setting_and_the_core_count_does_not(
    tiny: Task, tmp_path: Path
) -> None:
    home = Home(tmp_path / "home")
    here = processor()

    def with_env(**changes: str | int) -> Device:
        return replace(here, environment={**here.environment, **changes})

    catalogue = [finding("wide", ("WIDTH = 64", "WIDTH = 96"))]
    setting = setting_of(home, here, tiny, catalogue)
    assert setting_of(home, with_env(cores=77), tiny, catalogue) == setting
    assert setting_of(home, with_env(torch="0.1"), tiny, catalogue) != setting
    assert setting_of(Home(tmp_path / "another"), here, tiny, catalogue) != setting
    # Its secret split is drawn when all sources are fixed: another catalogue has another one.
    assert setting_of(home, here, tiny, [finding("deep", ("LAYERS = 2", "LAYERS = 3"))]) != setting


def test_a_run_without_its_pair_stands_in_its_column() -> None:
    lines = [run_line(role, run(BASE_NANO, role=role)) for role in ("base", "candidate")]
    assert [line.index("1.5") for line in lines] == [
        PAIR_HEADER.index("base"),
        PAIR_HEADER.rindex("finding"),
    ]


def test_a_catalogue_s_text_is_printed_as_text(kept: KeptRuns) -> None:
    bench = Bench(kept)
    bench.pair(0, SD_NANO)
    evil = replace(finding("lamps"), source="\x1b[2J[bold]me[/bold]", claimed="much \u202e")
    found = replace(bench.look(), candidate=replace(bench.candidate, finding=evil))
    shown = io.StringIO()
    out = Console(file=shown, width=160, color_system=None, markup=False)
    print_table(out, [found], unit="bits per byte", hardware_class="cpu-x86_64")
    assert "\x1b" not in shown.getvalue()
    assert "\u202e" not in shown.getvalue()
    assert "\\x1b[2J[bold]me[/bold]" in shown.getvalue()
    assert "+0.0005" in shown.getvalue()


def test_the_last_line_reports_what_it_took(kept: KeptRuns) -> None:
    bench = Bench(kept)
    bench.pair(0, SD_NANO)
    said = summary([bench.look()] * 2, ReplicationEffort(runs=5, runs_now=3, seconds=125))
    assert said == "2 findings: 2 open; 3 runs in 2 min, 2 earlier runs"
