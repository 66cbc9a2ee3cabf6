"""A home as after months: thousands of experiments, claims of peers, words meant to do harm.

All of it goes through the store's own ways in: own records are signed and numbered, peers' are
taken in, a head is confirmed in pairs.
"""

import random
import unicodedata
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from node.home.home import Home
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.record_kinds import Diff, FoundOn, Origin, PatchBody, ResultBody, TaskBody
from protocol.records import Record
from protocol.remarks import InsightBody, IntentBody
from protocol.runs import Run
from protocol.source import Source
from tests.node.examples import (
    BASELINE,
    HARDWARE_CLASS,
    KEY,
    MANIFEST,
    TASK,
    patch_body,
    result_body,
    run,
)
from tests.node.line_writers import BASE_NANO, Clock, keep, promotion_trial, with_baseline
from tests.node.peer_authors import PeerAuthor
from tests.protocol.worlds import rerun

EXPERIMENTS = 1_000
CLAIMS = 30
MARK = "__hurt"  # what a script that runs would set on the window
LONG = "W" * 60
ARABIC = "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645"
STACKED = unicodedata.normalize(
    "NFC", "z" + "\u0301\u0302\u0303" * 8
)  # what is written above and below its line
HOSTILE = (
    f'"><img src=x onerror="window.{MARK}=1"> {ARABIC} {STACKED}',
    f"<script>window.{MARK}=1</script>{LONG}",
    f"{{{{constructor.constructor('{MARK}=1')()}}}} javascript:{MARK}=1",
)
_SD_NANO = 1_000_000
_DAY_MS = 86_400_000
_LATEST_MS = 600_000  # between two experiments
_VALUE = f'"<img src=x onerror={MARK}=1>"'
_ALSO = ("DEPTH", "WARMUP_STEPS", f"{'VERY_' * 12}LONG")
_ORIGINS = ("search", "llm", "command", "combining")


@dataclass(frozen=True, slots=True, kw_only=True)
class Full:
    """Ids of the records that were written."""

    confirmed: str
    kept: str
    built_on: str  # another that was kept, on the head and not on the baseline
    hostile: str
    claim: str
    task: str


def fill(home: Home, store: Store, *, count: int = EXPERIMENTS) -> Full:
    """Write it all, and return where to look."""
    chance = random.Random(7)
    blobs = Blobs(home.blobs)
    clock = Clock()
    clock.now_ms -= count * _LATEST_MS // 2 + _DAY_MS
    line_writer = with_baseline(home, store, clock_ms=clock)
    kept = keep(line_writer, "0.2")
    keep(line_writer, "0.3")
    confirmed = promotion_trial(line_writer, gain_nano=40_000_000)
    with store.transaction():
        patches = _patches(store, chance)
        for _ in range(count - 4):
            hostile = _experiment(store, chance, patches)
        _say(store)
        _transferred(store, chance, kept.patch)
    claim = _peers(store, blobs)
    built_on = keep(line_writer, "0.4")
    return Full(
        confirmed=confirmed.id.hex(),
        kept=kept.result.hex(),
        built_on=built_on.result.hex(),
        hostile=hostile.id.hex(),
        claim=claim.hex(),
        task=TASK.hex(),
    )


def add_one(store: Store, title: str) -> Record:
    """Record one more experiment, as a running node does."""
    with store.transaction():
        patch = _patch(store, 999_999, title, "search")
        body = result_body("screen", (run(BASE_NANO),), source=_source(999_999), patch=patch.id)
        return store.append_own(KEY, body, ts_ms=_now_ms(store))


def _now_ms(store: Store) -> int:
    return store.experiments.listed(newest_first=True, limit=1)[0].ts_ms + 1000


def _source(number: int) -> Source:
    return Source.of({"train.py": b"LEARNING_RATE = %d.5\n" % number})


def _patch(store: Store, number: int, title: str, origin: str) -> Record:
    body: PatchBody = patch_body(BASELINE, _source(number), title=title)
    diff = Diff(zlib=zlib.compress(_diff(number, title).encode()))
    ready = replace(body, origin=Origin(proposer=origin), diff=diff)
    return store.append_own(KEY, ready, ts_ms=_now_ms(store))


def _diff(number: int, title: str) -> str:
    """A diff of one or two constants; that of a hostile title has a hostile value."""
    old, new = ("0.1", f"{number}.5") if title.startswith("LEARNING") else ('"plain"', _VALUE)
    name = "LEARNING_RATE" if title.startswith("LEARNING") else "MODE"
    lines = [f"-{name} = {old}", f"+{name} = {new}"]
    if number % 3 == 0:
        also = _ALSO[number // 3 % len(_ALSO)]
        lines += [f"-{also} = 8", f"+{also} = {number}"]
    return "--- a/train.py\n+++ b/train.py\n@@ -1 +1 @@\n" + "\n".join(lines) + "\n"


def _patches(store: Store, chance: random.Random) -> Sequence[Record]:
    """Some ideas, which many experiments have: among them hostile ones."""
    titles = [f"LEARNING_RATE → {number / 10}" for number in range(60)]
    titles += [title[:118] for title in HOSTILE]
    return [
        _patch(store, 10 + number, title, chance.choice(_ORIGINS))
        for number, title in enumerate(titles)
    ]


def _experiment(store: Store, chance: random.Random, patches: Sequence[Record]) -> Record:
    patch = chance.choice(patches[:-3]) if chance.random() < 0.95 else chance.choice(patches[-3:])
    body = patch.body
    assert isinstance(body, PatchBody)
    runs, stage, status = _runs(chance)
    result: ResultBody = result_body(stage, runs, patch=patch.id, status=status)
    reported = replace(result, tree=body.tree, note=HOSTILE[0] if status == "crash" else "")
    return store.append_own(KEY, reported, ts_ms=_now_ms(store) + chance.randrange(_LATEST_MS))


def _runs(chance: random.Random) -> tuple[tuple[Run, ...], str, str]:
    metric = round(BASE_NANO - 40_000_000 + chance.gauss(4, 3) * 4 * _SD_NANO)
    kind = chance.random()
    if kind < 0.06:
        return (run(None, status="crash", reason=HOSTILE[1][:100]),), "screen", "crash"
    if kind < 0.08:
        return (run(None, status="rejected", reason="the claim"),), "screen", "rejected"
    if kind < 0.2:
        return (run(metric), run(metric + _SD_NANO, seed=2)), "screen", "ok"
    return (run(metric),), "screen", "ok"


def _transferred(store: Store, chance: random.Random, patch: bytes) -> None:
    """Record a patch from this task that was tried on another, where it was kept."""
    upper = replace(MANIFEST, name="tiny-long", below=TASK)
    store.append_own(KEY, TaskBody(manifest=upper), ts_ms=_now_ms(store))
    found = FoundOn(task=TASK, hardware_class=HARDWARE_CLASS, patch=patch)
    for number, title in enumerate((HOSTILE[0][:118], "LEARNING_RATE → 0.2")):
        body = patch_body(BASELINE, _source(700_000 + number), title=title)
        transferred = replace(body, task=upper.id, found_on=found)
        record = store.append_own(KEY, transferred, ts_ms=_now_ms(store))
        runs = (run(BASE_NANO - chance.randrange(20) * _SD_NANO),)
        result = result_body("keep", runs, patch=record.id)
        reported = replace(result, task=upper.id, tree=transferred.tree)
        store.append_own(KEY, reported, ts_ms=_now_ms(store))


def _say(store: Store) -> None:
    """Publish this node's insights, in hostile words."""
    about = {"task": TASK, "hardware_class": HARDWARE_CLASS}
    store.append_own(
        KEY, InsightBody(**about, message=HOSTILE[0], evidence=()), ts_ms=_now_ms(store)
    )


def _peers(store: Store, blobs: Blobs) -> bytes:
    """Untrusted claims with hostile names and titles; another peer re-ran the first."""
    ada = PeerAuthor(store, blobs, number=40, name=f"<b>{LONG}"[:60])
    bob = PeerAuthor(store, blobs, number=41, name="bob")
    claims = [
        ada.claims(_source(2_000 + number), 5.0 + number, title=HOSTILE[number % 3][:118])
        for number in range(CLAIMS)
    ]
    tree = _source(2_000).tree
    gains = [5 * _SD_NANO + wobble for wobble in (-9, 9, 0, 0)]
    said = rerun(bob.key, tree, gains, "confirmed", base=BASELINE.tree, target=claims[0])
    bob.publish(replace(said, task=TASK, hardware_class=HARDWARE_CLASS))
    intent = IntentBody(
        task=TASK, hardware_class=HARDWARE_CLASS, base=tree, title=HOSTILE[0][:118], ttl_s=3600
    )
    bob.publish(intent)
    return claims[0]
