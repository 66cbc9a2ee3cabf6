"""Attestations: what somebody says who re-ran a claim, on seeds that its author could not know.

    attest {task, class, env, base, tree, target result id|nil, proof sig, runs [run] 1…64,
            verdict, alpha?, pairs?, again?}
    proof    = Ed25519(attester, "arnode/seed/1\\0" + (target, or base + tree without one))
    seed(i)  = sha256("arnode/seed/1\\0" + proof + i as 4 bytes, big-endian)[:4] >> 1

The pairs take the seeds in turn and none is left out, so that nobody can run many pairs and
publish the ones they like. `alpha` (in millionths) and `pairs` are what the attester decided at:
how often it lets a claim without gain pass, and how many pairs it would have run at most. They are
its word; whether the runs bear the verdict out is for readers to see.

`again` is the tree once more with a seed that the author of the target published. Where no machine
changes a figure, it gives the figure that was published, or that never was one (`Repeated`).
"""

import hashlib
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

from protocol.body import RecordBody
from protocol.codecs import binary, integer
from protocol.fields import OPTIONAL, ClassName, Digest, Items, Mapped, Named, Word
from protocol.keys import SEED_CONTEXT, Signature, SigningKey
from protocol.runs import MAX_RUNS, Env, Run

AttestVerdict: TypeAlias = Literal["confirmed", "refuted", "smaller", "unconfirmed", "unrunnable"]

MAX_PAIRS: Final = MAX_RUNS // 2
_MILLION = 10**6
_GRAINS = 8  # of a noise floor: figures are multiples of one


def prove_seeds(key: SigningKey, *, target: bytes | None, base: bytes, tree: bytes) -> bytes:
    """Return the proof that an attestation by `key` draws its seeds from."""
    return key.sign(SEED_CONTEXT + _subject(target, base, tree))


def attestation_seed(proof: bytes, index: int) -> int:
    """Return the seed, 31 bits, of pair number `index`, from 0."""
    drawn = hashlib.sha256(SEED_CONTEXT + proof + index.to_bytes(4, "big")).digest()
    return int.from_bytes(drawn[:4], "big") >> 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """The public figure of a published seed, in the metric's 1e-9 units, where it was run again.

    Two machines may round the last digit of a figure to neighbouring grains, and no further apart.
    """

    seed: int
    nano: int
    grain_nano: int

    @classmethod
    def of(cls, run: Run | None, noise_floor_nano: int) -> "Repeated | None":
        """Return what a run again shows; None if there was none that ended well."""
        if run is None or run.metric_nano is None:
            return None
        grain_nano = max(1, noise_floor_nano // _GRAINS)
        return cls(seed=run.seed, nano=run.metric_nano, grain_nano=grain_nano)

    def contradicts(self, published_nano: int) -> bool:
        """Say whether that is another figure than the one that was published."""
        return abs(self.nano - published_nano) > self.grain_nano


@dataclass(frozen=True, slots=True, kw_only=True)
class AttestBody(RecordBody, Mapped):
    """A re-run of a tree against a base; `target` is the result that it answers.

    `verdict` is an `AttestVerdict`, or a word of a later version. `smaller` says that a gain is
    there and that it is smaller than what was claimed.
    Whether the proof is the author's is checked with the record's signature: `proof_by`.
    """

    kind: ClassVar = "attest"
    task: Digest
    hardware_class: ClassName
    env: Env
    base: Digest
    tree: Digest
    target: Digest | None
    proof: Annotated[bytes, binary(64, 64)]
    runs: Annotated[tuple[Run, ...], Items(1, MAX_RUNS)]
    verdict: Word
    alpha_millionths: Annotated[int | None, integer(1, _MILLION), Named("alpha"), OPTIONAL] = None
    max_pairs: Annotated[int | None, integer(1, MAX_PAIRS), Named("pairs"), OPTIONAL] = None
    again: Annotated[Run | None, OPTIONAL] = None

    @property
    def about(self) -> bytes | None:
        return self.target

    def proof_by(self, author: bytes) -> Signature:
        """Return what this author must have signed."""
        subject = _subject(self.target, self.base, self.tree)
        return Signature(author, SEED_CONTEXT + subject, self.proof)

    def _fault(self) -> str | None:
        if self.base == self.tree:
            return "tree: the same as its base"
        if (self.alpha_millionths is None) != (self.max_pairs is None):
            return "alpha and pairs: one without the other"
        if self.again is not None and self.target is None:
            return "again: there is no target whose seed it could be"
        seeds = dict.fromkeys(run.seed for run in self.runs)
        if any(seed != attestation_seed(self.proof, i) for i, seed in enumerate(seeds)):
            return "runs: their seeds are not those of the proof, in order"
        return None


def _subject(target: bytes | None, base: bytes, tree: bytes) -> bytes:
    return base + tree if target is None else target
