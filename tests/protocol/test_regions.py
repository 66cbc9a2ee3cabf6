"""Regions: only the text between the markers may change."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Rejected
from protocol.hygiene import check_for_task
from protocol.manifest import TaskManifest
from protocol.regions import Region, check_regions, lies_inside, outside
from protocol.source import Source
from tests.protocol.examples import PROGRAM_MANIFEST, PROGRAM_SPEC

REGION = Region(path="sort.rs", name="EVOLVE-BLOCK")
TEXT = "use a;\n// EVOLVE-BLOCK-START\nfn sort() {}\n// EVOLVE-BLOCK-END\nfn main() {}\n"
TWO = TEXT + "# EVOLVE-BLOCK-START\n# EVOLVE-BLOCK-END\n"


def of(text: str) -> Source:
    return Source.of({"other.rs": b"fn other() {}\n", "sort.rs": text.encode()})


def refusal(text: str, base: str = TEXT) -> str | None:
    fault = check_regions(of(text), (REGION,), baseline=of(base))
    return fault.reason if fault else None


@pytest.mark.parametrize(
    ("text", "base"),
    [
        (TEXT, TEXT),
        (TEXT.replace("fn sort() {}", "fn sort() {\n    1\n}\n"), TEXT),
        (TEXT.replace("fn sort() {}\n", ""), TEXT),
        (TWO.replace("START\n# ", "START\nlet a = 1;\n# "), TWO),
    ],
)
def test_what_lies_inside_may_change(text: str, base: str) -> None:
    assert refusal(text, base) is None


OUTSIDE = "is outside of the region EVOLVE-BLOCK and differs from the task's file"
CHANGED = {
    "a line before": (TEXT.replace("use a;", "use b;"), f"sort.rs: line 1 {OUTSIDE}"),
    "a line behind": (TEXT.replace("main() {}", "main() {1}"), f"sort.rs: line 5 {OUTSIDE}"),
    "a line more at the end": (TEXT + "more\n", f"sort.rs: line 6 {OUTSIDE}"),
    "a line less at the end": (TEXT.removesuffix("fn main() {}\n"), f"sort.rs: line 5 {OUTSIDE}"),
    "nothing at the end": (TEXT.removesuffix("\n"), f"sort.rs: its end {OUTSIDE}"),
    "a marker": (
        TEXT.replace("// EVOLVE-BLOCK-START", "EVOLVE-BLOCK-START"),
        f": line 2 {OUTSIDE}",
    ),
    "a region more": (TWO, f"sort.rs: line 6 {OUTSIDE}"),
    "an early end": (
        TEXT.replace("fn sort() {}", "// EVOLVE-BLOCK-END\nmine\n// EVOLVE-BLOCK-START"),
        f"sort.rs: line 4 {OUTSIDE}",
    ),
    "a second start": (
        TEXT.replace("fn sort() {}", "EVOLVE-BLOCK-START"),
        "sort.rs: misplaced EVOLVE-BLOCK-START in line 3",
    ),
    "a second end": (
        TEXT.replace("fn sort() {}", "EVOLVE-BLOCK-END"),
        "sort.rs: misplaced EVOLVE-BLOCK-END in line 4",
    ),
    "both in one line": (
        TEXT.replace("fn sort() {}", "EVOLVE-BLOCK-END EVOLVE-BLOCK-START"),
        "sort.rs: misplaced EVOLVE-BLOCK-START in line 3",
    ),
    "no end": (
        TEXT.replace("// EVOLVE-BLOCK-END\n", ""),
        "sort.rs: no EVOLVE-BLOCK-END after line 2",
    ),
    "no markers": ("fn main() {}\n", "sort.rs: no EVOLVE-BLOCK-START in the file"),
    "nothing": ("", "sort.rs: no EVOLVE-BLOCK-START in the file"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_changes_outside_is_refused_and_where_is_said(name: str) -> None:
    text, why = CHANGED[name]
    said = refusal(text)
    assert said is not None
    assert said.endswith(why)


def test_other_files_of_a_source_are_free() -> None:
    freed = of(TEXT).replacing("other.rs", b"fn free() {}\n")
    assert check_regions(freed, (REGION,), baseline=of(TEXT)) is None


@given(inner=st.lists(st.sampled_from(["x", "EVOLVE-BLOCK-START", "EVOLVE-BLOCK-END", "", "y\r"])))
def test_no_text_inside_changes_what_lies_outside(inner: list[str]) -> None:
    """An accepted source has the baseline's other lines in their order."""
    text = TEXT.replace("fn sort() {}", "\n".join(inner))
    if refusal(text) is None:
        found, known = outside(text.encode(), REGION), outside(TEXT.encode(), REGION)
        assert not isinstance(found, Rejected)
        assert not isinstance(known, Rejected)
        assert [line for _, line in found] == [line for _, line in known]
        assert not any("EVOLVE" in line for line in inner)


def test_lines_inside_are_distinguished_from_others() -> None:
    inside = [lies_inside(TEXT.encode(), REGION, line) for line in range(1, 7)]
    assert inside == [False, False, True, False, False, False]


def test_a_tasks_rules_for_sources_hold_its_regions() -> None:
    region = Region(path="main.py", name="EVOLVE-BLOCK")
    program = Source.of({"lib/sort.py": b"a\n", "main.py": TEXT.encode()})
    manifest = PROGRAM_MANIFEST
    free = check_for_task(program.replacing("main.py", b"b\n"), manifest, baseline=program)
    assert free is None
    bound = replace(manifest, program=replace(PROGRAM_SPEC, regions=(region,)))
    assert check_for_task(program, bound, baseline=program) is None
    moved = program.replacing("main.py", TEXT.replace("use a", "use b").encode())
    fault = check_for_task(moved, bound, baseline=program)
    assert fault is not None
    assert "main.py: line 1 is outside" in fault.reason


def test_a_manifest_names_each_editable_file_once() -> None:
    def read(*regions: Region) -> TaskManifest | Rejected:
        spec = replace(PROGRAM_SPEC, regions=regions)
        return TaskManifest.from_value(replace(PROGRAM_MANIFEST, program=spec).to_value())

    lib, main = (Region(path=path, name="A") for path in ("lib/sort.py", "main.py"))
    assert isinstance(read(lib, main), TaskManifest)
    for regions, why in (
        ((main, lib), "regions: not sorted"),
        ((main, main), "regions: not sorted"),
        ((Region(path="judge.py", name="A"),), "a file that is not editable"),
        ((Region(path="main.py", name="A B"),), "name"),
        ((), "regions"),
    ):
        fault = read(*regions)
        assert isinstance(fault, Rejected)
        assert why in fault.reason
    assert "regions" not in str(PROGRAM_MANIFEST.to_value())
