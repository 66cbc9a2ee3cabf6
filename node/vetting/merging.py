"""Carries a patch over to a base that has moved on: a three-way merge by whole lines."""

from merge3 import Merge3

from protocol.source import Source, split_lines


def merged(base: Source, ours: Source, theirs: Source) -> Source | None:
    """Return `ours` with the step from `base` to `theirs` made on it; None where both meet.

    Files of one side only are its own. The result is a new tree, to be judged in its own right.
    """
    sides = [dict(source.files) for source in (base, ours, theirs)]
    files: dict[str, bytes] = {}
    for path in sorted({path for side in sides for path in side}):
        old, mine, other = (side.get(path) for side in sides)
        if other == old or mine == other:
            chosen = mine
        elif mine == old:
            chosen = other
        elif old is None or mine is None or other is None:
            return None
        else:
            chosen = _merged_file(old, mine, other)
            if chosen is None:
                return None
        if chosen is not None:
            files[path] = chosen
    return Source.of(files)


def _merged_file(old: bytes, mine: bytes, other: bytes) -> bytes | None:
    merge = Merge3(split_lines(old), split_lines(mine), split_lines(other))
    lines: list[bytes] = []
    for group in merge.merge_groups():
        if group[0] == "conflict":
            return None
        lines += group[1]
    is_torn = any(not line.endswith(b"\n") for line in lines[:-1])  # a last line got a successor
    return None if is_torn else b"".join(lines)
