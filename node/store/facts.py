"""The stored form of leaderboard facts (protocol/board_facts.py), as JSON.

A fact is a JSON list: its kind, then its fields in order. The record's id and author are left out,
since they have their own columns in the store. JSON is used because some numbers exceed 2^53.
"""

import json
from dataclasses import astuple

from protocol.board_facts import BoardClaim, Fact, HeadMove, Vote
from protocol.evidence import Evidence
from protocol.gains import Gain
from protocol.rerun import Repeated
from protocol.runs import Env
from protocol.styles import StyleName


def to_text(fact: Fact) -> str:
    """Return the stored text of a fact."""
    _, _, *values = astuple(fact)
    return json.dumps([type(fact).__name__, *values], separators=(",", ":"), default=bytes.hex)


def from_text(record: bytes, author: bytes, text: str) -> Fact:
    """Return the fact that `to_text` encoded, for this record and author."""
    match json.loads(text):
        case ["BoardClaim", base, tree, metric_nano, gain, anchor_gain, noise_nano, *rest]:
            size_bytes, env, flags, published = rest
            return BoardClaim(
                id=record,
                author=author,
                base=bytes.fromhex(base),
                tree=bytes.fromhex(tree),
                metric_nano=metric_nano,
                gain=_gain(gain),
                anchor_gain=_gain(anchor_gain),
                noise_nano=noise_nano,
                size_bytes=size_bytes,
                env=Env.of(dict(*env)),
                flags=tuple(flags),
                published=tuple((seed, nano) for seed, nano in published),
            )
        case ["Vote", seq, base, tree, target, verdict, gain, anchor_gain, evidence, again]:
            return Vote(
                id=record,
                author=author,
                seq=seq,
                base=bytes.fromhex(base),
                tree=bytes.fromhex(tree),
                target=target and bytes.fromhex(target),
                verdict=verdict,
                gain=_gain(gain),
                anchor_gain=_gain(anchor_gain),
                evidence=_evidence(*evidence),
                again=_repeated(again),
            )
        case ["HeadMove", tree]:
            return HeadMove(id=record, author=author, tree=bytes.fromhex(tree))
    raise AssertionError("`to_text` wrote it")


def _evidence(
    pairs: int, total: int, scatter: int, style: StyleName = "runs", least_pairs: int = 1
) -> Evidence:
    return Evidence(pairs=pairs, total=total, scatter=scatter, style=style, least_pairs=least_pairs)


def _repeated(values: list[int] | None) -> Repeated | None:
    if values is None:
        return None
    seed, nano, grain_nano = values
    return Repeated(seed=seed, nano=nano, grain_nano=grain_nano)


def _gain(values: list[int] | None) -> Gain | None:
    if values is None:
        return None
    pairs, mean, reach, estimate = values
    return Gain(pairs=pairs, mean=mean, reach=reach, estimate=estimate)
