"""Small sets of records about one leaderboard: honest ones, lies and retractions."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from protocol.keys import SigningKey
from protocol.record_kinds import AdoptBody, Body, ResultBody
from protocol.records import MAIN_NET, Record, sign_record
from protocol.remarks import RetractBody
from protocol.rerun import RerunBody, RerunVerdict, prove_seeds, rerun_seed
from protocol.runs import Cost, Env, Role, Run
from protocol.units import NANO
from tests.protocol.examples import GOOD_RUN, MANIFEST, START_MS

CLASS = "cpu-x86_64"
BASELINE = MANIFEST.baseline_tree
KEYS = tuple(SigningKey.from_seed(bytes([number] * 32)) for number in range(1, 5))
UNKNOWN_AUTHOR = SigningKey.from_seed(bytes([5] * 32))  # has no records in drawn worlds
TREES = tuple(hashlib.sha256(b"tree %d" % number).digest() for number in range(4))


def run(seed: int, role: Role, nano: int, *, secret: int | None = None) -> Run:
    """Return a successful run; by default, the secret split's score differs a little."""
    secret_nano = nano + 10**6 if secret is None else secret
    return replace(
        GOOD_RUN, seed=seed, role=role, metric_nano=nano, secret_nano=secret_nano, flags=()
    )


def confirm(
    tree: bytes,
    gains: Sequence[int],
    *,
    base: bytes = BASELINE,
    anchors: Sequence[int] = (),
    level: int = 2 * NANO,
    size: int | None = None,
    env: str = "torch2.13-cpu",
) -> ResultBody:
    """Return a confirmation whose pairs have these gains; `anchors` are gains over the anchor."""
    runs: list[Run] = []
    for seed, gain in enumerate(gains):
        runs += [run(seed, "base", level), run(seed, "candidate", level - gain)]
    runs += [run(seed, "anchor", level - gains[seed] + gain) for seed, gain in enumerate(anchors)]
    return ResultBody(
        task=MANIFEST.id,
        hardware_class=CLASS,
        env=Env.of({"torch": env}),
        patch=hashlib.sha256(b"patch").digest(),
        base=base,
        tree=tree,
        stage="confirm",
        status="ok",
        runs=tuple(runs),
        cost=Cost(device_ms=1000),
        note="",
        size_bytes=size,
    )


def rerun(
    key: SigningKey,
    tree: bytes,
    gains: Sequence[int],
    verdict: RerunVerdict,
    *,
    base: bytes = BASELINE,
    target: bytes | None = None,
    anchors: Sequence[int] = (),
) -> RerunBody:
    """Return a re-run by a key whose pairs have these gains.

    The first pairs have an anchor, too; `anchors` are the gains over it.
    """
    proof = prove_seeds(key, target=target, base=base, tree=tree)
    runs: list[Run] = []
    for pair, gain in enumerate(gains):
        seed = rerun_seed(proof, pair)
        runs += [run(seed, "base", 2 * NANO), run(seed, "candidate", 2 * NANO - gain)]
    for pair, gain in enumerate(anchors):
        seed = rerun_seed(proof, pair)
        runs.append(run(seed, "anchor", 2 * NANO - gains[pair] + gain))
    return RerunBody(
        task=MANIFEST.id,
        hardware_class=CLASS,
        env=Env(),
        base=base,
        tree=tree,
        target=target,
        proof=proof,
        runs=tuple(runs),
        verdict=verdict,
    )


def adopt(tree: bytes, *, unverified: bool = False) -> AdoptBody:
    return AdoptBody(
        task=MANIFEST.id,
        hardware_class=CLASS,
        from_tree=BASELINE,
        to_tree=tree,
        evidence=None if unverified else hashlib.sha256(b"evidence").digest(),
        unverified=unverified,
    )


def retract(target: bytes | None) -> RetractBody:
    """Return a retraction of a record, or with None a revocation of the key."""
    return RetractBody(target=target, revoke=target is None, reason="")


@dataclass
class World:
    """Chains of records by several authors."""

    records: list[Record] = field(default_factory=list)

    def say(self, key: SigningKey, body: Body, *, seq: int | None = None) -> Record:
        """Add a record to an author's chain; `seq` may be a number that the author already used."""
        own = [record for record in self.records if record.author == key.public]
        record = sign_record(
            key,
            net=MAIN_NET,
            seq=len(own) if seq is None else seq,
            prev=own[-1].id if own else None,
            ts_ms=START_MS + len(self.records),
            body=body,
        )
        self.records.append(record)
        return record


GAINS = st.lists(st.integers(-NANO // 2, NANO // 2), max_size=7)


@st.composite
def worlds(draw: st.DrawFn) -> list[Record]:
    """Draw a set of records about one leaderboard."""
    world = World()
    for _ in range(draw(st.integers(0, 14))):
        key = draw(st.sampled_from(KEYS))
        tree, base = draw(st.sampled_from(TREES)), draw(st.sampled_from([BASELINE, *TREES]))
        own = [record for record in world.records if record.author == key.public]
        match draw(st.sampled_from(["confirm"] * 5 + ["rerun"] * 2 + ["adopt", "retract"])):
            case "confirm":
                gains = draw(GAINS)
                anchors = gains[: draw(st.integers(0, len(gains)))]
                body: Body = confirm(tree, gains, base=base, anchors=anchors)
                if not gains:
                    body = replace(body, status="crash")  # type: ignore[type-var]
            case "rerun" if base != tree:
                verdict: RerunVerdict = draw(st.sampled_from(["confirmed", "refuted"]))
                gains = draw(GAINS.filter(bool))
                body = rerun(key, tree, gains, verdict, base=base)
            case "retract" if own:
                body = retract(draw(st.sampled_from([None, *(record.id for record in own)])))
            case _:
                body = adopt(tree)
        equivocates = own and draw(st.integers(0, 9)) == 0
        world.say(key, body, seq=draw(st.integers(0, len(own) - 1)) if equivocates else None)
    return world.records
