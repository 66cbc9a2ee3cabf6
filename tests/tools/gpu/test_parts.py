"""Each part from beginning to end, in a Python that has no more than a lent machine has."""

import json
import subprocess
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from tools.gpu.bare import make_bare
from tools.gpu.card import probe_machine
from tools.gpu.measuring import Report
from tools.gpu.parts import Options, measure
from tools.gpu.self_test import self_tested_device
from tools.paths import ROOT
from trainer.card_selftest import machine
from trainer.card_selftest.machine import Wanted
from trainer.card_selftest.report import (
    SelfTestConditions,
    SelfTestReport,
    SelfTestStep,
    save_report,
)
from trainer.host.device import processor
from trainer.sandbox import tier

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(torch.cuda.is_available(), reason="takes minutes on a card"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the text is kept from one part to the next, and what a self-test decided."""
    folder = tmp_path_factory.mktemp("gpu")
    save_report(
        SelfTestReport(
            setting=SelfTestConditions.of(processor()),
            steps=(),
            script_settings={"attention": "masked"},
        ),
        folder,
    )
    return folder


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bare(tmp_path_factory.mktemp("bare"))


def measured(python: Path, home: Path, part: str, *options: str) -> dict[str, Any]:
    """Return the document of a part at its smallest."""
    command = [python, "-m", "tools.gpu", part, "--home", home, "--seconds", "1"]
    command += ["--minutes", "20", *options]  # their number decides, not how busy the machine is
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "figures of no card" in ran.stderr
    document: dict[str, Any] = json.loads((home / f"{part}.json").read_text())
    assert json.loads(ran.stdout) == document
    assert document["device"] == "cpu"
    assert document["text"]["found_mb"] >= 1
    assert document["figures"]["proving"]["script_settings"] == {"attention": "masked"}
    return document


def test_nothing_else_is_installed_there(python: Path) -> None:
    tried = "import numpy, torch, tiktoken, msgpack, pynvml\nimport aiohttp"
    ran = subprocess.run([python, "-c", tried], capture_output=True, text=True, check=False)
    assert "No module named 'aiohttp'" in ran.stderr


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    venv.create(tmp_path / "empty", with_pip=False, symlinks=True)
    command = [tmp_path / "empty" / "bin" / "python", "-m", "tools.gpu"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "not here: torch, numpy, tiktoken, msgpack, nvidia-ml-py. Name" in ran.stderr


def test_noise_is_measured_over_seeds_with_what_auditing_takes(python: Path, home: Path) -> None:
    document = measured(python, home, "noise", "--runs", "2", "--points", "0")
    seeds = document["figures"]["seeds"]
    assert [run["seed"] for run in seeds["runs"]] == [1, 2]
    assert {run["status"] for run in seeds["runs"]} == {"ok"}
    assert seeds["range_bpb"] == pytest.approx(seeds["sd_bpb"] * 2**0.5)
    for run, audit in zip(seeds["runs"], seeds["audits"], strict=True):
        assert run["scored_s"] > 0
        assert run["audited_s"] > 0
        assert abs(audit["claim_minus_audit_nats"]) < 0.01


def test_both_scripts_are_compared_on_one_seed_and_a_point_is_taken_back(
    python: Path, home: Path
) -> None:
    document = measured(python, home, "compare", "--runs", "1", "--points", "1")
    pairs = document["figures"]["pairs"]
    (ours,), (theirs,) = pairs["ours"], pairs["autoresearch"]
    assert (ours["status"], theirs["status"]) == ("ok", "ok"), theirs["reason"]
    assert ours["seed"] == theirs["seed"] == 1
    assert pairs["difference_bpb"] == pytest.approx(ours["val_bpb"] - theirs["val_bpb"])
    assert pairs["noise_sd_bpb"] is None  # of one pair there is none
    (ablated,) = document["figures"]["ablations"].values()
    assert ablated["loss_without_bpb"] == pytest.approx(ablated["val_bpb"] - ours["val_bpb"])
    assert any("not asked for" in line for line in document["skipped"])


def test_a_pipeline_says_where_the_seconds_go(python: Path, home: Path) -> None:
    document = measured(python, home, "pipeline", "--runs", "2")
    figures = document["figures"]
    assert 0 < figures["counted_share"] < 1
    assert len(figures["gaps_s"]) == 1
    for experiment in figures["experiments"]:
        assert experiment["status"] == "ok"
        train = experiment["stages_s"]["train"]
        assert list(train) == ["spawn", "import", "build", "train", "export"]
        assert train["import"] > 0 < train["train"]  # the others may take less than a millisecond
    assert figures["sandbox"]["training_ratio"] > 0
    assert "MFU: no card" in document["skipped"]


def test_a_part_begins_with_the_selftest_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path
    device, tested = processor(), []
    step = SelfTestStep(name="abilities", detail="", seconds=1.0, faults=())

    def prove(wanted: Sequence[Wanted], *, say: object) -> list[tuple[SelfTestReport, None]]:
        tested.extend(wanted)
        reported = {"attention": "masked"}
        return [
            (
                SelfTestReport(
                    setting=SelfTestConditions.of(device), steps=(step,), script_settings=reported
                ),
                None,
            )
        ]

    monkeypatch.setattr(machine, "run_selftests", prove)
    for _ in range(2):
        report = Report()
        assert self_tested_device(probe_machine(), report, home).script_settings == {
            "attention": "masked"
        }
        assert report.figures["proving"]["steps"][0]["name"] == "abilities"  # type: ignore[index]
    assert tested == [(device, None)]
    assert json.loads((home / "gpu-report.json").read_text())[0]["script_settings"] == {
        "attention": "masked"
    }


def test_without_a_sandbox_nothing_runs_and_the_document_says_what_is_known(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A PATH without bubblewrap, and without git, on a kernel without Landlock."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(tier, "landlock_abi", lambda: 0)
    tier.probe_tier.cache_clear()
    out = tmp_path / "none.json"
    options = Options(
        part="noise", seconds=1, minutes=1.0, out=out, home=home, runs=1, memory=24.0, points=0,
        from_point=0,
    )  # fmt: skip
    try:
        assert measure(options) == 1
    finally:
        tier.probe_tier.cache_clear()
    document = json.loads(out.read_text())
    assert document["tier"] == "none"
    assert document["commit"] is None
    assert document["text"]["scored_rows"] > 0
    assert document["figures"] == {}
    assert any("no sandbox, no run" in line for line in document["skipped"])
