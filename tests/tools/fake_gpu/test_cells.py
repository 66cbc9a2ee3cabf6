"""The plan of runs on simulated cards."""

from pathlib import Path

import pytest

from tests.trainer.pinned import load_pinned
from tools.fake_gpu.cells import MADE, PARTS, Cell, cells, table_of_sizes
from tools.fake_gpu.environment import ARCHITECTURES, FakeCard, _refusing
from trainer.task_folder.task import Task

HEADER = """
#define cuMemAlloc                          cuMemAlloc_v2
#define cuStreamBeginCapture                __CUDA_API_PTSZ(cuStreamBeginCapture_v2)
CUresult CUDAAPI cuInit(unsigned int Flags);
CUresult CUDAAPI cuMemAlloc(CUdeviceptr *dptr, size_t bytesize);
"""


@pytest.fixture(scope="module")
def all_cells() -> list[Cell]:
    return cells([*PARTS])


@pytest.fixture(scope="module")
def nanochat(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return load_pinned("nanochat", tmp_path_factory.mktemp("pinned"))


def test_every_size_meets_every_architecture_compiled_and_not(
    all_cells: list[Cell], nanochat: Task
) -> None:
    least = table_of_sizes(nanochat.source["train.py"])
    wanted = {(gib, sm, how) for gib in least for sm in ARCHITECTURES for how in (True, False)}
    played = [cell for cell in all_cells if cell.part == "sizes"]
    assert {(cell.card.memory_gib, cell.card.sm, cell.compiles) for cell in played} == wanted
    assert len(played) == len(wanted)


def test_no_cell_is_there_twice_and_every_part_has_some(all_cells: list[Cell]) -> None:
    assert len({cell.key for cell in all_cells}) == len(all_cells)
    assert {cell.part for cell in all_cells} == set(PARTS)


def test_every_move_finding_and_end_of_a_hyperparameter_is_another_script(
    all_cells: list[Cell], nanochat: Task
) -> None:
    scripts = [cell.script for cell in all_cells if cell.part == "changes"]
    assert nanochat.source["train.py"] not in scripts
    assert len(set(scripts)) == len(scripts)
    names = " ".join(cell.name for cell in all_cells if cell.part == "changes")
    for move in nanochat.moves:
        assert f"move {move.name}" in names
    assert "MATRIX_LR = 0.01" in names
    assert "MATRIX_LR = 0.1" in names
    assert 'WINDOWS = "L"' in names


def test_a_script_without_a_table_is_reported() -> None:
    with pytest.raises(ValueError, match="no table SIZES"):
        table_of_sizes(b"ROWS = 3\n")


def test_the_card_is_passed_to_the_stub() -> None:
    reported = FakeCard.of(86, 24).variables()
    assert (reported["FAKE_GPU_SM"], reported["FAKE_GPU_MIB"]) == ("86", "24576")
    stub = Path("tools/fake_gpu/stub/runtime.c").read_text()
    assert all(f'"{name}"' in stub for name in reported)


def test_every_architecture_was_made() -> None:
    assert set(MADE) == set(ARCHITECTURES)


def test_whatever_the_driver_does_not_have_refuses_by_each_of_its_names() -> None:
    functions = _refusing(HEADER)
    assert "int cuMemAlloc(void) { return 801; }" in functions
    assert "int cuMemAlloc_v2(void)" in functions
    assert "int cuStreamBeginCapture_v2(void)" in functions
    assert "cuInit" not in functions  # is in driver.c
