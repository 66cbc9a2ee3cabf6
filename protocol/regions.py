"""Regions: the parts of files that a candidate may change, if a task does not open whole files.

    region  {path, name}

A region named `EVOLVE-BLOCK` is the lines between one that contains `EVOLVE-BLOCK-START` and the
next that contains `EVOLVE-BLOCK-END`, as in OpenEvolve and ShinkaEvolve. A file may have several.
All other lines, including those with markers, must equal the task's baseline. Lines end with LF
only. The content of regions is not checked here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Annotated, Final

from protocol.codecs import identifier
from protocol.errors import Rejected
from protocol.fields import Mapped, RelativePath
from protocol.source import Source

REGION_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}"
_Line = tuple[int, bytes]  # (number from 1, content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Region(Mapped):
    """The editable lines of one file: those between markers of one name."""

    path: RelativePath
    name: Annotated[str, identifier(REGION_NAME)]

    @property
    def markers(self) -> tuple[str, str]:
        """The texts that mark the line before the region and the line after it."""
        return f"{self.name}-START", f"{self.name}-END"


def check_regions(
    source: Source, regions: Sequence[Region], *, baseline: Source
) -> Rejected | None:
    """Return the first change of a source outside of its regions, or None."""
    for region in regions:
        found = outside(source[region.path], region)
        known = outside(baseline[region.path], region)
        for lines in (found, known):
            if isinstance(lines, Rejected):
                return lines
        assert not isinstance(found, Rejected)  # noqa: S101 -- looked at above
        assert not isinstance(known, Rejected)  # noqa: S101 -- likewise
        for changed, kept in zip_longest(found, known):
            if changed is None or kept is None or changed[1] != kept[1]:
                where = f"line {changed[0]}" if changed else "its end"
                return Rejected(
                    f"{region.path}: {where} is outside of the region {region.name} and differs"
                    " from the task's file"
                )
    return None


def outside(data: bytes, region: Region) -> list[_Line] | Rejected:
    """Return the numbered lines of a file outside of a region, including the marker lines."""
    start, end = (marker.encode() for marker in region.markers)
    kept: list[_Line] = []
    began: int | None = None
    has_region = False
    for number, text in enumerate(data.split(b"\n"), 1):
        opens, closes = start in text, end in text
        if (opens and (began is not None or closes)) or (closes and began is None):
            marker = region.markers[0 if opens else 1]
            return Rejected(f"{region.path}: misplaced {marker} in line {number}")
        if began is None or closes:
            kept.append((number, text))
        if opens:
            began, has_region = number, True
        elif closes:
            began = None
    if began is not None:
        return Rejected(f"{region.path}: no {region.markers[1]} after line {began}")
    if not has_region:
        return Rejected(f"{region.path}: no {region.markers[0]} in the file")
    return kept


def lies_inside(data: bytes, region: Region, line: int) -> bool:
    """Return True if a line, counted from 1, is inside a region of its file."""
    kept = outside(data, region)
    return not isinstance(kept, Rejected) and line not in {number for number, _ in kept}
