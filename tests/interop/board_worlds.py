"""Random worlds of records about one leaderboard, for a second client to compute."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from protocol.encoding import encode
from protocol.errors import Rejected
from protocol.keys import SIGNATURE_CONTEXT, SigningKey
from protocol.manifest import TaskManifest
from protocol.program import Instances, ModelBudget, ProgramSpec
from protocol.record_kinds import ResultBody
from protocol.records import MAIN_NET, VERSION, Record, RecordId, parse_record
from protocol.rerun import RerunBody, prove_seeds, rerun_seed
from protocol.runs import Env, Run
from protocol.units import NANO
from tests.protocol.examples import FAILED_RUN, GOOD_RUN, MANIFEST, PROGRAM_MANIFEST, START_MS
from tests.protocol.worlds import KEYS, TREES, UNKNOWN_AUTHOR, adopt, confirm, retract

AUTHORS: Final = (*KEYS, UNKNOWN_AUTHOR)
_LARGEST: Final = 2**53 - 1
_VERDICTS: Final = ("confirmed", "smaller", "refuted", "unconfirmed", "unrunnable", "dreamt")


def _program(name: str, instances: Instances, **changes: Any) -> TaskManifest:
    spec = PROGRAM_MANIFEST.program
    assert isinstance(spec, ProgramSpec)
    direction = changes.pop("direction", "min")
    metric = replace(
        PROGRAM_MANIFEST.metric, name=name, direction=direction, max_step_nano=changes.pop("step")
    )
    noise = changes.pop("noise", 0)
    settings: dict[str, Any] = {"llm": None, "instances": instances, **changes}
    return replace(
        PROGRAM_MANIFEST, metric=metric, noise_floor_nano=noise, program=replace(spec, **settings)
    )


def _drawn(secret: int) -> Instances:
    return Instances(public=16, secret=secret, fixed=())


_FIXED: Final = Instances(public=0, secret=0, fixed=("n=26", "n=27"))
_UPWARDS: Final = replace(MANIFEST.metric, direction="max")
_CALLS: Final = ModelBudget(models=("any",), calls=40, tokens=20_000)
MANIFESTS: Final[dict[str, TaskManifest]] = {
    "a language model": MANIFEST,
    "a language model, upwards": replace(MANIFEST, metric=_UPWARDS),
    "a language model without a noise floor": replace(MANIFEST, noise_floor_nano=0),
    "a language model with a target": replace(MANIFEST, target_nano=NANO),
    "drawn instances": _program("excess", _drawn(16), step=10**9),
    "few drawn instances, upwards": _program(
        "excess", _drawn(3), step=10**8, direction="max", noise=5_000_000
    ),
    "one drawn instance": _program("excess", _drawn(1), step=10**9, noise=7),
    "public instances alone": _program("excess", _drawn(0), step=10**9),
    "fixed instances, measured": _program("wall_s", _FIXED, step=10**6),
    "exact": _program("excess", _FIXED, step=10**8),
    "exact, upwards": _program("excess", _FIXED, step=10**8, direction="max", noise=10**6),
    "a model as its part": _program("excess", _FIXED, step=10**9, llm=_CALLS),
    "a model as its judge": _program(
        "excess", _FIXED, step=10**9, scoring="model", judge_llm=_CALLS
    ),
    "figures of its own": _program("excess", _drawn(16), step=10**9, scoring="self"),
    "a judge that asks": _program("excess", _FIXED, step=10**9, scoring="later", judge_llm=_CALLS),
    "a later kind": replace(MANIFEST, kind="prophecy", evaluator="oracle/1"),
}
UNKNOWN: Final = RecordId(hashlib.sha256(b"unknown").digest())
CLASSES: Final = ("cpu-x86_64", "any")


@dataclass
class RandomWorld:
    """Records about one task and class, and others that change nothing about it."""

    manifest: TaskManifest
    hardware_class: str
    chance: random.Random
    records: list[Record] = field(default_factory=list)
    _claims: list[tuple[Record, ResultBody, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        noise = max(self.manifest.noise_floor_nano, 1_000)
        self._noise, self._step = self.chance.choice(
            [
                (noise, 4 * noise),
                (noise // 2, 4 * noise),
                (4 * noise, 0),
                (0, noise // 3),
                (1, 2),
                (0, 1),
                *[(noise // 8, 40 * noise), (noise // 20, 15 * noise), (1, 40 * noise)] * 3,
            ]
        )
        self._is_huge = self.chance.random() < 0.04
        self._is_tidy = self.chance.random() < 0.5
        self._keys = AUTHORS[: self.chance.randint(2, len(AUTHORS))]
        self._trees = TREES[: self.chance.randint(1, 3)]
        self._bases = [self.manifest.baseline_tree] * 3 + [*TREES[2:]]

    def fill(self, count: int) -> "RandomWorld":
        """Add records."""
        kinds = ["claim"] * 4 + ["rerun"] * 9 + ["adopt", "adopt", "other"]
        kinds += [] if self._is_tidy else ["retract", "equivocate"]
        for kind in self.chance.choices(kinds, k=count):
            # Now and then somebody without a record on this leaderboard retracts or equivocates.
            keys = AUTHORS if kind in ("retract", "equivocate") else self._keys
            getattr(self, f"_{kind}")(self.chance.choice(keys))
        return self

    def _say(self, key: SigningKey, said: Any, **changes: Any) -> Record:
        """Add a record; the changes are to its payload's fields."""
        own = [record for record in self.records if record.author == key.public]
        fields = {
            "v": VERSION,
            "net": MAIN_NET,
            "kind": said.kind,
            "author": key.public,
            "seq": len(own),
            "prev": own[-1].id if own else None,
            "ts": START_MS + len(self.records),
            "body": said.to_value(),
            **changes,
        }
        payload = encode(fields)
        record = parse_record(encode([payload, key.sign(SIGNATURE_CONTEXT + payload)]))
        assert not isinstance(record, Rejected), record
        self.records.append(record)
        return record

    def _here(self, body: Any) -> Any:
        return replace(body, task=self.manifest.id, hardware_class=self.hardware_class)

    def _sign(self) -> int:
        return -1 if self.manifest.metric.direction == "max" else 1

    def _some(self, role: str, seed: int, figure: float) -> list[Run]:
        """Return a run with this figure, and perhaps runs before and after it that do not count."""
        chance = self.chance
        noisy = round(figure + chance.gauss(0, 1) * self._noise)
        apart = [0, 0, chance.randint(-3, 3), round(chance.gauss(0, 2) * self._noise)]
        secret = noisy + chance.choice(apart)
        flags = chance.choices([(), ("contended",), ("throttled", "later")], [30, 1, 1])[0]
        good = replace(
            GOOD_RUN,
            seed=seed,
            role=role,
            metric_nano=max(-_LARGEST, min(_LARGEST, noisy)),
            secret_nano=max(-_LARGEST, min(_LARGEST, secret)),
            flags=flags,
        )
        if self._is_tidy or chance.random() < 0.8:
            return [good]
        bad = replace(FAILED_RUN, seed=seed, role=role)
        return chance.choice(
            [
                [bad, good],
                [good, bad],
                [bad],
                [good, replace(good, metric_nano=1, secret_nano=1)],
                [replace(good, role="shadow")],
                [replace(good, metric_nano=0)],
                [replace(good, secret_nano=0), good],
                [replace(good, metric_nano=0, secret_nano=0), good],
            ]
        )

    def _runs(
        self, seeds: Sequence[int], gain: float, anchors: int, from_anchor: float
    ) -> tuple[Run, ...]:
        level = 2 * NANO
        if self._is_huge:
            level = self.chance.choice([-1, 1]) * (_LARGEST - 10)
            gain, from_anchor = 10**9 * gain, -(10**9) * from_anchor
        runs: list[Run] = []
        for place, seed in enumerate(seeds):
            some = self._some("base", seed, level)
            some += self._some("candidate", seed, level - self._sign() * gain)
            if place < anchors:
                some += self._some("anchor", seed, level - self._sign() * (gain - from_anchor))
            if not self._is_tidy and self.chance.random() < 0.2:
                self.chance.shuffle(some)
            if len(runs) + len(some) > 64:
                break
            runs += some
        return tuple(runs)

    def _count(self) -> int:
        program = self.manifest.program
        if program is None:
            return self.chance.choice([1, 2, 3, 4, 4, 5, 6, 8, 12])
        if program.instances.fixed:
            return self.chance.choice([1, 2, 4, 9, 10, 10, 12])
        fewest = {16: 10, 3: 22}.get(program.instances.secret, 29)
        counts: list[int] = [1, 4, fewest - 1, *range(fewest, fewest + 4)]
        return self.chance.choice(counts)

    def _claim(self, key: SigningKey) -> None:
        chance = self.chance
        gain = chance.choice([0, 1, 1, 1, 2, 4, -1, chance.random()]) * self._step
        tree, base = chance.choice(self._trees), chance.choice(self._bases)
        anchors = chance.choice([0, 1, 3, 4, 5, 8])
        from_anchor = chance.choice([0, 0.5, -2]) * self._step
        runs = self._runs(range(self._count()), gain, anchors, from_anchor)
        size = chance.choice([None, None, 500, 501, chance.randint(1, 10**6)])
        said = confirm(tree, [1], base=base, size=size)
        threads = chance.choice([-1, 1, 10**6])
        env = Env.of({"torch": "é" * chance.randint(0, 20), "threads": threads, "a": 3})
        body = self._here(replace(said, runs=runs, env=chance.choice([said.env, Env(), env])))
        is_ok = any(run.status == "ok" for run in runs)
        if not is_ok or chance.random() < 0.05:
            body = replace(body, status=chance.choice(["crash", "stopped"]))
        if chance.random() < 0.05:
            body = replace(body, stage=chance.choice(["keep", "screen", "rehearsal"]))
        self._claims.append((self._say(key, body), body, round(gain)))

    def _rerun(self, key: SigningKey) -> None:
        chance = self.chance
        tree, base, gain = chance.choice(self._trees), chance.choice(self._bases), self._step
        target: RecordId | None = None
        again = None
        if self._claims and chance.random() < 0.85:
            record, body, gain = chance.choice(self._claims)
            tree, base, target = body.tree, body.base, record.id
            others = [other for other in self._keys if other.public != record.author]
            key = chance.choice(others) if chance.random() < 0.9 else key
            if chance.random() < 0.5:
                again = self._again(body)
            if chance.random() < 0.1:
                base = chance.choice(self._bases)
            elif chance.random() < 0.1:
                tree = chance.choice(self._trees)
            if chance.random() < 0.1:
                target, again = chance.choice([None, UNKNOWN]), None
        if tree == base:
            return
        proof = prove_seeds(key, target=target, base=base, tree=tree)
        seeds = [rerun_seed(proof, pair) for pair in range(self._count())]
        share = chance.choice([1, 1, 1, 0.4, 0.2, 0.1, 0, -1])
        anchors = chance.choice([0, 3, 4, 6])
        runs = self._runs(seeds, share * gain, anchors, chance.choice([0, 0.5]) * self._step)
        fitting = "confirmed" if share == 1 and gain > 0 else "smaller" if share > 0 else "refuted"
        said = RerunBody(
            task=self.manifest.id,
            hardware_class=self.hardware_class,
            env=Env(),
            base=base,
            tree=tree,
            target=target,
            proof=proof,
            runs=runs,
            verdict=chance.choice([fitting, fitting, chance.choice(_VERDICTS)]),
            again=again,
        )
        self._say(key, said)

    def _again(self, body: ResultBody) -> Run:
        """Return a run with a seed of a claim's, with its figure or a different one."""
        chance = self.chance
        run = chance.choice(body.runs)
        eighth = self.manifest.noise_floor_nano // 8
        off = chance.choice([0, 0, 1, -1, 2, eighth, -eighth, eighth + 1, 10 * eighth + 2])
        nano = max(-_LARGEST, min(_LARGEST, (run.metric_nano or 0) + off))
        if chance.random() < 0.1:
            return replace(FAILED_RUN, seed=run.seed, role="again")
        nano = chance.choice([0, nano, nano, nano])
        return replace(GOOD_RUN, seed=run.seed, role="again", metric_nano=nano, audit=None)

    def _adopt(self, key: SigningKey) -> None:
        body = adopt(self.chance.choice(TREES), unverified=self.chance.random() < 0.2)
        self._say(key, self._here(body))

    def _retract(self, key: SigningKey) -> None:
        if self.records:
            target: bytes | None = self.chance.choice(self.records).id
            own = [record.id for record in self.records if record.author == key.public]
            if own and self.chance.random() < 0.7:
                target = self.chance.choice(own)
            if self.chance.random() < 0.15:
                target = None
            self._say(key, retract(target))

    def _equivocate(self, key: SigningKey) -> None:
        own = [record for record in self.records if record.author == key.public]
        if self.chance.random() < 0.3:
            body = self._here(adopt(TREES[0]))
            kind = self.chance.choice([body.kind, "prophecy"]) if own else "prophecy"
            seq = self.chance.choice(own).seq if own else 7
            for number in range(self.chance.randint(1, 3)):
                self._say(key, body, seq=seq, kind=kind, later=number)

    def _other(self, key: SigningKey) -> None:
        """Add a record with the fields of a later version, or of another leaderboard."""
        chance = self.chance
        body = self._here(adopt(chance.choice(TREES)))
        value = body.to_value()
        match chance.randint(0, 7):
            case 0:
                self._say(key, body, crit=["until"], body={**value, "until": 5})
            case 1:
                self._say(key, body, crit=["evidence", "refs"])
            case 2:
                self._say(key, body, crit=["x"], x={"a": 1})
            case 3:
                self._say(key, body, kind="prophecy")
            case 4:
                self._say(key, replace(body, hardware_class="h200-141g"))
            case 5:
                self._say(key, replace(body, task=bytes(32)))
            case 6 if not self._is_tidy:
                self._say(key, body, net="elsewhere", seq=0)
            case _:
                self._say(key, body, body={**value, "later": {"a": [1]}}, later=1, x={})
