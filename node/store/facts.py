"""What boards read (protocol/board_facts.py) as JSON: some of its figures exceed 2^53."""

import json
from typing import Any

from protocol.board_facts import Claim, Fact, Move, Vote
from protocol.evidence import Evidence
from protocol.gains import Gain
from protocol.runs import Env


def to_text(fact: Fact) -> str:
    """Return the text that a fact is kept as; whose it is stands beside it."""
    match fact:
        case Claim():
            value: object = {
                "claim": fact.base.hex(),
                "tree": fact.tree.hex(),
                "metric": fact.metric_nano,
                "gain": _gain_text(fact.gain),
                "anchor": _gain_text(fact.anchor_gain),
                "size": fact.size_bytes,
                "env": dict(fact.env.items),
                "flags": fact.flags,
            }
        case Vote():
            value = {
                "vote": fact.verdict,
                "seq": fact.seq,
                "base": fact.base.hex(),
                "tree": fact.tree.hex(),
                "target": fact.target and fact.target.hex(),
                "gain": _gain_text(fact.gain),
                "anchor": _gain_text(fact.anchor_gain),
                "evidence": [fact.evidence.pairs, fact.evidence.total, fact.evidence.scatter],
            }
        case Move():
            value = {"move": fact.tree.hex()}
    return json.dumps(value, separators=(",", ":"))


def from_text(record: bytes, author: bytes, text: str) -> Fact:
    """Return what `to_text` was given, of this record and author."""
    value: dict[str, Any] = json.loads(text)
    match value:
        case {"claim": base, **rest}:
            return Claim(
                id=record,
                author=author,
                base=bytes.fromhex(base),
                tree=bytes.fromhex(rest["tree"]),
                metric_nano=rest["metric"],
                gain=_gain(rest["gain"]),
                anchor_gain=_gain(rest["anchor"]),
                size_bytes=rest["size"],
                env=Env.of(rest["env"]),
                flags=tuple(rest["flags"]),
            )
        case {"vote": verdict, **rest}:
            return Vote(
                id=record,
                author=author,
                seq=rest["seq"],
                base=bytes.fromhex(rest["base"]),
                tree=bytes.fromhex(rest["tree"]),
                target=rest["target"] and bytes.fromhex(rest["target"]),
                verdict=verdict,
                gain=_gain(rest["gain"]),
                anchor_gain=_gain(rest["anchor"]),
                evidence=_evidence(*rest["evidence"]),
            )
        case {"move": tree}:
            return Move(id=record, author=author, tree=bytes.fromhex(tree))
    raise AssertionError("`to_text` wrote it")


def _evidence(pairs: int, total: int, scatter: int) -> Evidence:
    return Evidence(pairs=pairs, total=total, scatter=scatter)


def _gain_text(gain: Gain | None) -> list[int] | None:
    return None if gain is None else [gain.pairs, gain.mean, gain.reach]


def _gain(values: list[int] | None) -> Gain | None:
    return None if values is None else Gain(pairs=values[0], mean=values[1], reach=values[2])
