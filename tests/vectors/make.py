"""Print the golden vectors, for review only: `python -m tests.vectors.make`.

The committed records.json is the authority: a difference between it and this output is a fault of
the code, unless the network version was raised; a new kind adds lines and changes none.
Every reject is signed over exactly the bytes it carries unless the signature is what is wrong.
"""

import json
from collections.abc import Callable
from itertools import count
from typing import Any

import msgpack

from protocol.encoding import Value, decode
from protocol.errors import Rejected
from protocol.keys import SIGNATURE_CONTEXT, SigningKey
from protocol.manifest import TaskManifest
from protocol.records import MAIN_NET, Record, parse_record, sign_record
from protocol.source import Source
from tests.protocol import examples
from tests.vectors import edwards
from tests.vectors.signatures import KEY, NONCE, signature_with

Map = dict[str, Any]


def main() -> None:
    """Print records.json."""
    print(json.dumps(vectors(), indent=1, ensure_ascii=False))


def vectors() -> Map:
    """Return what records.json holds."""
    return {
        "author_seed": examples.AUTHOR_SEED.hex(),
        "transport_seed": examples.TRANSPORT_SEED.hex(),
        "trees": [_tree(), _tree("a/b.py")],
        "tasks": [_task(examples.MANIFEST), _task(examples.PROGRAM_MANIFEST)],
        "records": [_accepted(record) for record in records()],
        "variants": [{"variant": name, **_accepted(record)} for name, record in variants().items()],
        "rejects": [_rejected(name, wire) for name, wire in rejects().items()],
    }


def records() -> list[Record]:
    """Return a chain with one record of each kind."""
    chain: list[Record] = []
    for seq, body in enumerate(examples.BODIES.values()):
        chain.append(
            sign_record(
                examples.AUTHOR,
                net=MAIN_NET,
                seq=seq,
                prev=chain[-1].id if chain else None,
                ts_ms=examples.START_MS + seq,
                body=body,
                refs=(chain[0].id,) if seq == 4 else (),
            )
        )
    return chain


def variants() -> dict[str, Record]:
    """Return records that hold what is optional, or a word of a later version, by what it is."""
    bodies = examples.VARIANTS.items()
    return {
        name: sign_record(
            examples.AUTHOR,
            net=MAIN_NET,
            seq=len(examples.BODIES) + at,
            prev=None,
            ts_ms=examples.START_MS + at,
            body=body,
        )
        for at, (name, body) in enumerate(bodies)
    }


def signed(payload: bytes, key: SigningKey = examples.AUTHOR) -> bytes:
    """Return a wire form of any payload, signed by `key`."""
    return bytes(msgpack.packb([payload, key.sign(SIGNATURE_CONTEXT + payload)]))


def payload_of(kind: str, change: Callable[[Map], object] = lambda _: None) -> bytes:
    """Return the payload of the example of `kind` after `change`, canonical or not."""
    record = next(record for record in records() if record.kind == kind)
    value: Map = msgpack.unpackb(record.payload_bytes)
    change(value)
    return bytes(msgpack.packb(value))


def _set(name: str, item: object) -> Callable[[Map], object]:
    return lambda value: value.__setitem__(name, item)


def _optional(**items: object) -> Callable[[Map], object]:
    """Return what adds fields to a map and keeps it sorted."""

    def add(value: Map) -> None:
        both = sorted({**value, **items}.items())
        value.clear()
        value.update(both)

    return add


def _as_program(body: Map) -> None:
    body.update(kind="program", tokenizer=None, vocabulary=0, context=0, scored_rows=0)


def _in_body(change: Callable[[Map], object]) -> Callable[[Map], object]:
    return lambda value: change(value["body"])


def _in_run(change: Callable[[Map], object]) -> Callable[[Map], object]:
    return lambda value: change(value["body"]["runs"][0])


def _again_of_no_target(body: Map) -> None:
    body["target"] = None
    _optional(again=body["runs"][0])(body)


def _spliced(old: bytes, new: bytes) -> bytes:
    payload = payload_of("adopt")
    assert payload.count(old) == 1
    return payload.replace(old, new)


def rejects() -> dict[str, bytes]:
    """Return wire forms with one fault each, by what is wrong."""
    return {
        **_broken_shapes(),
        **{name: signed(payload) for name, payload in _broken_encodings().items()},
        **{name: signed(payload_of(*change)) for name, change in _broken_fields().items()},
    }


def _broken_shapes() -> dict[str, bytes]:
    wire, short = records()[4].wire, signed(b"\x80")
    identity = b"\1" + bytes(31)  # the neutral element: sB less hA is sB for every message
    forged = payload_of("adopt", _set("author", identity))
    note = _in_body(_set("note", "x" * 17_000))
    return {
        "nothing": b"",
        "more than 16,384 bytes": signed(payload_of("result", note)),
        "a byte after the record": wire + b"\0",
        "a payload length in too many bytes": short[:1] + b"\xc5\0\1" + short[3:],
        "a signature of 63 bytes": bytes(msgpack.packb([payload_of("adopt"), bytes(63)])),
        "one bit of the signature": wire[:-1] + bytes([wire[-1] ^ 1]),
        "one bit of the payload": wire.replace(b"main", b"mail"),
        "signed by another key": signed(payload_of("adopt"), examples.TRANSPORT),
        "an author of small order": bytes(msgpack.packb([forged, identity + bytes(32)])),
        "an author with a torsion part": _of_torsion(),
    }


def _of_torsion() -> bytes:
    """Return a record whose signature passes in most libraries, under an invalid key."""
    author = edwards.encode(edwards.add(edwards.multiply(KEY, edwards.BASE), edwards.TORSION))
    r = edwards.encode(edwards.multiply(NONCE, edwards.BASE))
    for ts_ms in count(examples.START_MS):
        payload = payload_of("adopt", lambda value, ts=ts_ms: value.update(author=author, ts=ts))
        message = SIGNATURE_CONTEXT + payload
        if edwards.hashed(r, author, message) % edwards.COFACTOR == 0:
            break
    return bytes(msgpack.packb([payload, signature_with(r, author, message)]))


def _broken_encodings() -> dict[str, bytes]:
    nested: list[Any] = []
    for _ in range(5):
        nested = [nested]
    timestamp = msgpack.Timestamp(1, 0)
    return {
        "a byte after the payload": payload_of("adopt") + b"\0",
        "a payload cut short": payload_of("adopt")[:-1],
        "a payload that is no map": b"\x90",
        "keys unsorted": payload_of(
            "adopt", lambda value: value.update(author=value.pop("author"))
        ),
        "a key twice": _spliced(b"\xa3seq\x04", b"\xa3seq\x04\xa3seq\x04").replace(
            b"\x89", b"\x8a"
        ),
        "an int in too many bytes": _spliced(b"\xa3seq\x04", b"\xa3seq\xcc\x04"),
        "a text length in too many bytes": _spliced(b"\xa4main", b"\xd9\x04main"),
        "bytes for text": _spliced(b"\xa4main", b"\xc4\x04main"),
        "text that is not UTF-8": _spliced(b"\xa4main", b"\xa4\xed\xa0\x80n"),
        "a float": payload_of("adopt", _set("seq", 4.0)),
        "a timestamp": payload_of("adopt", _set("seq", timestamp)),
        "an extension": payload_of("adopt", _set("seq", msgpack.ExtType(5, b"x"))),
        "a bool for an int": payload_of("adopt", _set("seq", True)),
        "an int for a bool": payload_of("adopt", _in_body(_set("unverified", 0))),
        "an int of 2^53": payload_of("adopt", _set("ts", 2**53)),
        "a negative int of 2^53": payload_of("adopt", _in_body(_set("zz", -(2**53)))),
        "a key in capitals": payload_of("adopt", _in_body(_set("zZ", 1))),
        "a key of 25": payload_of("adopt", _in_body(_set("z" * 25, 1))),
        "a key that is empty": payload_of("adopt", _set("x", {"": 1})),
        "a key that is an int": payload_of("adopt", _set("x", {1: 1})),
        "text not in NFC": payload_of("adopt", _set("x", {"a": "e\u0301"})),
        "nested 7 deep": payload_of("adopt", _set("x", {"a": nested})),
        "a list of 513": payload_of("adopt", _set("x", {"a": [0] * 513})),
        "a list of 2^32 items announced": _spliced(b"\xa4main", b"\xdd\xff\xff\xff\xff"),
        "5,000 lists in one another": b"\x91" * 5_000,
    }


def _broken_fields() -> dict[str, tuple[str, Callable[[Map], object]]]:
    one = bytes(32)
    ok_without_secret = _in_run(_set("secret", None))
    others = {"author": examples.OLDER.public, "signature": bytes(64)}
    return {
        "an older network version": ("adopt", _set("v", 1)),
        "a later network version": ("adopt", _set("v", 4)),
        "prev missing": ("adopt", lambda value: value.pop("prev")),
        "an author of 31 bytes": ("adopt", _set("author", bytes(31))),
        "seq below zero": ("adopt", _set("seq", -1)),
        "17 refs": ("adopt", _set("refs", [one] * 17)),
        "refs nil": ("adopt", _set("refs", None)),
        "a body that is a list": ("adopt", _set("body", [])),
        "a kind in capitals": ("adopt", _set("kind", "Adopt")),
        "a net with a slash": ("adopt", _set("net", "a/b")),
        "a binding for another author": ("profile", _in_body(_set("binding", bytes(64)))),
        "an older key that names nobody": ("profile", _in_body(_set("formerly", others))),
        "a transport key of small order": ("profile", _in_body(_set("transport", one))),
        "a name of 65": ("profile", _in_body(_set("name", "é" * 65))),
        "a name with an escape character": ("profile", _in_body(_set("name", "\x1b[31m"))),
        "a name that shows nothing": ("profile", _in_body(_set("name", "\u3164"))),
        "a manifest without tokenizer": ("task", _in_body(_set("tokenizer", None))),
        "a manifest with a file twice": (
            "task",
            _in_body(_set("files", [["a.py", one], ["a.py", one]])),
        ),
        "a manifest with direction up": (
            "task",
            lambda value: value["body"]["metric"].update(direction="up"),
        ),
        "a task that is called a folder": ("task", _in_body(_set("name", ".."))),
        "a path that leaves its folder": (
            "patch",
            lambda value: value["body"]["files"][0].update(path="../train.py"),
        ),
        "a path that is hidden": (
            "patch",
            lambda value: value["body"]["files"][0].update(path=".git/config"),
        ),
        "nine files": (
            "patch",
            lambda value: value["body"].update(files=value["body"]["files"] * 9),
        ),
        "a diff of both sorts": ("patch", _in_body(_set("diff", {"blob": one, "zlib": b"x"}))),
        "a diff of no sort": ("patch", _in_body(_set("diff", {}))),
        "an inline diff of 8,193 bytes": ("patch", _in_body(_set("diff", {"zlib": bytes(8193)}))),
        "a title of 121": ("patch", _in_body(_set("title", "x" * 121))),
        "a title on two lines": ("patch", _in_body(_set("title", "a\nb"))),
        "a title turned around": ("patch", _in_body(_set("title", "a \u202eb"))),
        "a title with tag characters": ("patch", _in_body(_set("title", "a\U000e0062"))),
        "a title with a line separator": ("patch", _in_body(_set("title", "a\u2028b"))),
        "a why with isolates": ("patch", _in_body(_set("why", "a\n\u2067b\u2069"))),
        "a model with a mark of order": (
            "patch",
            lambda value: value["body"]["origin"].update(model="a\ufeff"),
        ),
        "nine parents": ("patch", _in_body(_set("parents", [one] * 9))),
        "an ok run without secret": ("result", ok_without_secret),
        "a crash with a metric": ("result", _in_run(_set("status", "crash"))),
        "a metric of 1.25": ("result", _in_run(_set("metric", 1.25))),
        "a role in capitals": ("result", _in_run(_set("role", "Winner"))),
        "a status of 33": ("result", _in_run(_set("status", "x" * 33))),
        "a later status with a metric": ("result", _in_run(_set("status", "frozen"))),
        "a stage with a space": ("result", _in_body(_set("stage", "a rehearsal"))),
        "a step below zero": ("result", _in_run(_optional(step=-1))),
        "an answer of 31 bytes": ("result", _in_run(_optional(answer=bytes(31)))),
        "a further figure of 1.5": ("result", _in_run(_optional(also={"peak_mb": 1.5}))),
        "65 runs": (
            "result",
            lambda value: value["body"].update(runs=[value["body"]["runs"][1]] * 65),
        ),
        "a baseline with a patch": ("result", _in_body(_set("stage", "baseline"))),
        "a confirmation without patch": ("result", _in_body(_set("patch", None))),
        "ok without an ok run": ("result", _in_body(_set("runs", []))),
        "33 entries of env": ("result", _in_body(_set("env", {f"k{i:02}": i for i in range(33)}))),
        "an env in an env": ("result", _in_body(_set("env", {"a": {}}))),
        "a note of 501": ("result", _in_body(_set("note", "x" * 501))),
        "a note with a selector of plane 14": ("result", _in_body(_set("note", "a\U000e0100"))),
        "a reason with a letter of nobody's": ("result", _in_run(_set("reason", "a\ue000"))),
        "an env with a soft hyphen": ("result", _in_body(_set("env", {"a": "b\u00ad"}))),
        "an adoption without evidence": ("adopt", _in_body(_set("evidence", None))),
        "a class with a space": ("adopt", _in_body(_set("class", "my card"))),
        "a size of 0": (
            "result",
            lambda value: value.update(body=dict(sorted({**value["body"], "size": 0}.items()))),
        ),
        "a re-run of its own base": (
            "rerun",
            lambda value: value["body"].update(tree=value["body"]["base"]),
        ),
        "a re-run without runs": ("rerun", _in_body(_set("runs", []))),
        "a verdict that is empty": ("rerun", _in_body(_set("verdict", ""))),
        "alpha without pairs": ("rerun", _in_body(_optional(alpha=50_000))),
        "pairs without alpha": ("rerun", _in_body(_optional(pairs=16))),
        "an alpha of 0": ("rerun", _in_body(_optional(alpha=0, pairs=16))),
        "33 pairs": ("rerun", _in_body(_optional(alpha=50_000, pairs=33))),
        "a proof of 63 bytes": ("rerun", _in_body(_set("proof", bytes(63)))),
        "seeds of one's own": ("rerun", _in_run(_set("seed", 1))),
        "a pair left out": ("rerun", lambda value: value["body"]["runs"].__delitem__(slice(2))),
        "an again that is a seed": ("rerun", _in_body(_optional(again=7))),
        "an again of no target": ("rerun", _in_body(_again_of_no_target)),
        "a proof for another result": ("rerun", _in_body(_set("target", one))),
        "a proof for no result": ("rerun", _in_body(_set("target", None))),
        "noise of a candidate": ("noise", _in_run(_set("role", "candidate"))),
        "noise without runs": ("noise", _in_body(_set("runs", []))),
        "an intent for two hours": ("intent", _in_body(_set("ttl_s", 7200))),
        "an intent without title": ("intent", _in_body(_set("title", ""))),
        "an intent that says nothing": ("intent", _in_body(_set("title", "\u200b"))),
        "an insight of 601": ("insight", _in_body(_set("text", "x" * 601))),
        "an insight of nothing": ("insight", _in_body(_set("text", ""))),
        "an insight with an Arabic mark": ("insight", _in_body(_set("text", "a\u061c"))),
        "17 pieces of evidence": ("insight", _in_body(_set("evidence", [one] * 17))),
        "a retraction of nothing": ("retract", _in_body(_set("target", None))),
        "a retraction of a record and the key": ("retract", _in_body(_set("revoke", True))),
        "a reason of 201": ("retract", _in_body(_set("reason", "x" * 201))),
        "a language model with a scale": (
            "task",
            lambda value: _optional(scale=6)(value["body"]["metric"]),
        ),
        "a program without a program": ("task", _in_body(_as_program)),
        "a patch found in two words": (
            "patch",
            _in_body(_optional(found_on={"class": "my card", "patch": None, "task": one})),
        ),
        "a report that ends before it begins": ("report", _in_body(_set("until", 0))),
        "a report with a title that turns around": ("report", _in_body(_set("title", "a\u202eb"))),
        "a model of tags": (
            "proposals",
            lambda value: value["body"]["counts"][1].update(model="gpt\U000e0041"),
        ),
        "a report of a text of 0 bytes": ("report", _in_body(_set("size", 0))),
        "a report with 33 figures": (
            "report",
            _in_body(_set("figures", {f"k{i:02}": i for i in range(33)})),
        ),
        "counts of nothing": ("proposals", _in_body(_set("counts", []))),
        "a proposer twice": (
            "proposals",
            lambda value: value["body"].update(counts=value["body"]["counts"][:1] * 2),
        ),
        "more kept than tried": (
            "proposals",
            lambda value: value["body"]["counts"][0].update(kept=689),
        ),
        "more outcomes than proposals": (
            "proposals",
            lambda value: value["body"]["counts"][0].update(unusable=1),
        ),
        "a reason with half an annotation": ("retract", _in_body(_set("reason", "a\ufff9"))),
    }


def _tree(*paths: str) -> Map:
    files = dict(examples.BASELINE.files) | {path: path.encode() for path in paths}
    source = Source.of(files)
    return {"files": {path: data.hex() for path, data in files.items()}, "tree": source.tree.hex()}


def _task(manifest: TaskManifest) -> Map:
    return {
        "manifest": shown(manifest.to_value()),
        "encoded": manifest.encoded.hex(),
        "id": manifest.id.hex(),
        "baseline_tree": manifest.baseline_tree.hex(),
    }


def _accepted(record: Record) -> Map:
    payload = decode(record.payload_bytes)
    assert not isinstance(payload, Rejected)
    return {
        "kind": record.kind,
        "value": shown(payload),
        "payload": record.payload_bytes.hex(),
        "id": record.id.hex(),
        "signature": record.signature.hex(),
        "wire": record.wire.hex(),
    }


def _rejected(name: str, wire: bytes) -> Map:
    answer = parse_record(wire)
    assert isinstance(answer, Rejected), f"{name} is accepted"
    return {"fault": name, "reason": answer.reason, "wire": wire.hex()}


def shown(value: Value) -> Any:
    """Return `value` for JSON: bytes as {"hex": …}."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, list):
        return [shown(item) for item in value]
    if isinstance(value, dict):
        return {key: shown(item) for key, item in value.items()}
    return value


if __name__ == "__main__":
    main()
