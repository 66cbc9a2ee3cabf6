"""Detection of repeated ideas: the same program, or nearly the same change.

The same canonical AST is never run twice. Two changes are alike if they add similar tokens,
regardless of spacing and of the names of new variables. A constant with a clearly different value
is a new idea. This module compares tokens and parses no code, because some of it is untrusted.
"""

import difflib
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from agent.proposal import Context, Outcome, PeerPatch
from agent.source.hunks import Hunk, hunks_of

ALIKE: Final = 0.6  # fraction of common shingles from which two changes are one idea
_CONTAINED = 0.7  # fraction of a peer's shingles in a change that builds on its patch
_LEAST_SHINGLES = 5  # a smaller patch of a peer is not looked for in changes
_SAME_NUMBER = 0.03  # relative difference up to which two values are the same idea
_COMPARED_OUTCOMES = 300  # the newest
_COMPARED_PEERS = 100
_MOST_TOKENS = 4_000  # of one change: only its first ones are compared
_MOST_ALIGNED = 400  # tokens of one hunk; in a longer hunk all tokens count as changed
_MOST_PARENTS = 4
_SHINGLE = 3
_NUMBER_SIGN = "#"
_LINE_END = "\n"

_TOKEN = re.compile(
    r"[A-Za-z_]\w*|(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|\*\*|//|->|[=!<>]=|[-+*/@|&]=|\S"
)
_BOUND = re.compile(r"\s*(?:self\.)?([A-Za-z_]\w*(?:\s*,\s*[A-Za-z_]\w*)*)\s*=(?!=)")
_DEFINED = re.compile(r"\s*(?:async\s+)?(?:def|class)\s+([A-Za-z_]\w*)\s*(?:\(([^()]*)\))?")
_LOOPED = re.compile(r"\bfor\s+([A-Za-z_]\w*(?:\s*,\s*[A-Za-z_]\w*)*)\s+in\b")
_NAME = re.compile(r"[A-Za-z_]\w*")

_Shingle = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """The change that an idea repeats: this node's earlier `outcome`, or the patch of a `peer`.

    Both are None if the same program was run before.
    """

    likeness: float
    outcome: Outcome | None = None
    peer: PeerPatch | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeSignature:
    """The tokens that a change adds, or that it removes if it adds nothing.

    `written` contains new names unchanged; `shingles` replaces them by numbers in order of
    appearance. Numeric constants are stored separately, to be compared by value.
    """

    is_removal: bool
    written: Counter[_Shingle]
    shingles: Counter[_Shingle]
    numbers: tuple[float, ...]


def repeat_of(hunks: Sequence[Hunk], fingerprint: bytes, context: Context) -> Repeat | None:
    """Return what this change repeats, or None if it is new.

    A repair of a crash and a combination of peers' patches resemble earlier changes on purpose, so
    only the same program counts as a repeat. A change that resembles a failed experiment is no
    repeat either, because the failed experiment's gain is unknown.
    """
    if context.tried(fingerprint):
        return Repeat(likeness=1.0)
    if context.crash is not None or context.aim == "combine":
        return None
    own = signature(hunks)
    repeats: list[Repeat] = []
    for outcome in context.history[-_COMPARED_OUTCOMES:]:
        if outcome.edits and outcome.decision != "failed":
            close = likeness(own, signature(hunks_of(outcome.edits)))
            repeats.append(Repeat(likeness=close, outcome=outcome))
    for peer in context.peers[:_COMPARED_PEERS]:
        close = likeness(own, signature(hunks_of(peer.edits, peer.diff)))
        repeats.append(Repeat(likeness=close, peer=peer))
    closest = max(repeats, key=lambda repeat: repeat.likeness, default=None)
    return closest if closest and closest.likeness >= ALIKE else None


def built_on(hunks: Sequence[Hunk], peers: Sequence[PeerPatch]) -> tuple[bytes, ...]:
    """Return the peers' patches that a change builds on: it contains most of their tokens."""
    own = signature(hunks)
    found: list[tuple[float, bytes]] = []
    for peer in peers[:_COMPARED_PEERS]:
        theirs = signature(hunks_of(peer.edits, peer.diff))
        size = theirs.written.total()
        if size >= _LEAST_SHINGLES and own.is_removal == theirs.is_removal:
            share = (own.written & theirs.written).total() / size
            if share >= _CONTAINED:
                found.append((share, peer.patch))
    found.sort(key=lambda one: (-one[0], one[1]))
    return tuple(patch for _, patch in found[:_MOST_PARENTS])


def signature(hunks: Sequence[Hunk]) -> ChangeSignature:
    """Return the signature by which a change is compared."""
    new_names = _new_names(hunks)
    removed: list[list[str]] = []
    added: list[list[str]] = []
    left = _MOST_TOKENS
    for hunk in hunks:
        old, new = _tokens(hunk.removed, left), _tokens(hunk.added, left)
        left -= len(old) + len(new)
        spans = _spans(old, new)
        removed += _changed(old, [(low, high) for low, high, _, _ in spans])
        added += _changed(new, [(low, high) for _, _, low, high in spans])
    is_removal = not any(added)
    stretches = removed if is_removal else added
    return ChangeSignature(
        is_removal=is_removal,
        written=_counted(stretches),
        shingles=_counted(_renamed(stretches, new_names)),
        numbers=tuple(
            number
            for tokens in stretches
            for token in tokens
            if (number := _number(token)) is not None
        ),
    )


def likeness(one: ChangeSignature, other: ChangeSignature) -> float:
    """Return the likeness of two changes, 0 to 1; 0 if a number is clearly different."""
    union = (one.shingles | other.shingles).total()
    if one.is_removal != other.is_removal or union == 0:
        return 0.0
    share = (one.shingles & other.shingles).total() / union
    if share >= ALIKE and _are_other_numbers(one.numbers, other.numbers):
        return 0.0
    return share


def _without_comment(line: str) -> str:
    """Return a line without its comment; keep a `#` that may be inside a string."""
    at = line.find("#")
    return line if at < 0 or "'" in line[at:] or '"' in line[at:] else line[:at]


def _tokens(lines: Iterable[str], most: int) -> list[str]:
    tokens: list[str] = []
    for line in lines:
        if len(tokens) >= most:
            break
        found = _TOKEN.findall(_without_comment(line))
        if found:
            tokens += [*found, _LINE_END]
    return tokens[: max(0, most)]


def _spans(old: list[str], new: list[str]) -> list[tuple[int, int, int, int]]:
    """Return the spans that differ, each as (old start, old end, new start, new end)."""
    if max(len(old), len(new)) > _MOST_ALIGNED:
        return [(0, len(old), 0, len(new))]
    opcodes = difflib.SequenceMatcher(None, old, new).get_opcodes()
    return [
        (low, high, new_low, new_high)
        for tag, low, high, new_low, new_high in opcodes
        if tag != "equal"
    ]


def _changed(tokens: list[str], spans: Iterable[tuple[int, int]]) -> list[list[str]]:
    """Return the tokens in each span, with the tokens just before and after it."""
    around = _SHINGLE - 1
    return [tokens[max(0, low - around) : high + around] for low, high in spans if high > low]


def _counted(stretches: Iterable[Sequence[str]]) -> Counter[_Shingle]:
    return Counter(shingle for tokens in stretches for shingle in _shingles(tokens))


def _shingles(tokens: Sequence[str]) -> list[_Shingle]:
    masked = [_NUMBER_SIGN if _number(token) is not None else token for token in tokens]
    if len(masked) < _SHINGLE:
        return [tuple(masked)]
    return [tuple(masked[at : at + _SHINGLE]) for at in range(len(masked) - _SHINGLE + 1)]


def _renamed(stretches: Iterable[Sequence[str]], names: Sequence[str]) -> list[list[str]]:
    """Replace new names by numbers in order of appearance, so that names do not matter."""
    called: dict[str, str] = {}
    for name in names:
        called.setdefault(name, f"${len(called)}")
    return [[called.get(token, token) for token in tokens] for tokens in stretches]


def _new_names(hunks: Sequence[Hunk]) -> list[str]:
    """Return the names that added lines bind and removed lines do not contain, in order."""
    there = {name for hunk in hunks for line in hunk.removed for name in _NAME.findall(line)}
    bound: list[str] = []
    for hunk in hunks:
        for line in hunk.added:
            bare = _without_comment(line).rstrip()
            assigned = _BOUND.match(bare)
            if assigned is not None and not bare.endswith(","):  # else it is a keyword argument
                bound += _NAME.findall(assigned[1])
            if (defined := _DEFINED.match(bare)) is not None:
                arguments = (
                    part.split("=")[0].split(":")[0] for part in (defined[2] or "").split(",")
                )
                bound += [defined[1], *(name.strip(" *") for name in arguments)]
            for looped in _LOOPED.finditer(bare):
                bound += _NAME.findall(looped[1])
    kept = {"self", "forward", "__init__", ""}
    return [name for name in dict.fromkeys(bound) if name not in there and name not in kept]


def _number(token: str) -> float | None:
    if not token[0].isdigit() and not (token[0] == "." and token[1:2].isdigit()):
        return None
    try:
        return float(token)
    except ValueError:
        return None


def _are_other_numbers(one: Sequence[float], other: Sequence[float]) -> bool:
    """Return whether two lists of equal length differ clearly at some position."""
    if len(one) != len(other):
        return False
    return any(not _is_same_number(left, right) for left, right in zip(one, other, strict=True))


def _is_same_number(one: float, other: float) -> bool:
    """Return whether two values count as the same idea. Just below 1, compare 1 - value."""
    if not math.isclose(one, other, rel_tol=_SAME_NUMBER):
        return False
    if 0.5 < one < 1 and 0.5 < other < 1:
        return math.isclose(1 - one, 1 - other, rel_tol=_SAME_NUMBER)
    return one == other or not (one.is_integer() and other.is_integer() and max(one, other) < 64)
