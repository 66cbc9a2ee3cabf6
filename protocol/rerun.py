"""Re-runs as records (kind `rerun`): a claim measured by another node, on unpredictable seeds.

    rerun {task, class, env, base, tree, target result id|nil, proof sig, runs [run] 1…64,
            verdict, alpha?, pairs?, again?}
    proof    = Ed25519(rerun_author, "arnode/seed/1\\0" + (target, or base + tree without one))
    seed(i)  = sha256("arnode/seed/1\\0" + proof + i as 4 bytes, big-endian)[:4] >> 1

The author of the claim could not know the seeds in advance. The pairs use the seeds in order and
skip none, so nobody can run many pairs and publish only the favourable ones. `alpha` (in
millionths) is how often the re-runner lets a claim without gain pass. `pairs` is the most pairs it
would have run. Both are unverified statements. Readers check for themselves whether the runs
support the verdict.

`again` is one more run of the tree, with a seed that the target's author published. On tasks whose
figures do not depend on the machine it must give the published figure. If it does not, that figure
was invented (`Repeated`).
"""

import hashlib
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

from protocol.body import RecordBody
from protocol.codecs import binary, integer
from protocol.fields import OPTIONAL, ClassName, Digest, Identifier, Items, Mapped, Named
from protocol.keys import SEED_CONTEXT, Signature, SigningKey
from protocol.runs import MAX_RUNS, Env, Run

RerunVerdict: TypeAlias = Literal["confirmed", "refuted", "smaller", "unconfirmed", "unrunnable"]

MAX_PAIRS: Final = MAX_RUNS // 2
_MILLION = 10**6
_GRAINS = 8  # per noise floor; figures are multiples of one grain


def prove_seeds(key: SigningKey, *, target: bytes | None, base: bytes, tree: bytes) -> bytes:
    """Return the proof from which the seeds of a re-run by `key` are derived."""
    return key.sign(SEED_CONTEXT + _subject(target, base, tree))


def rerun_seed(proof: bytes, index: int) -> int:
    """Return the 31-bit seed of pair number `index`, counted from 0."""
    drawn = hashlib.sha256(SEED_CONTEXT + proof + index.to_bytes(4, "big")).digest()
    return int.from_bytes(drawn[:4], "big") >> 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """The public figure that a published seed gave when run again, in 1e-9 units of the metric.

    Figures are rounded to multiples of the grain, an eighth of the noise floor. On two machines
    they may differ by one grain, but not by more.
    """

    seed: int
    nano: int
    grain_nano: int

    @classmethod
    def of(cls, run: Run | None, noise_floor_nano: int) -> "Repeated | None":
        """Return the figure of a repeated run; None if there was no successful one."""
        if run is None or run.metric_nano is None:
            return None
        grain_nano = max(1, noise_floor_nano // _GRAINS)
        return cls(seed=run.seed, nano=run.metric_nano, grain_nano=grain_nano)

    def contradicts(self, published_nano: int) -> bool:
        """Return True if the published figure differs by more than one rounding step."""
        return abs(self.nano - published_nano) > self.grain_nano


@dataclass(frozen=True, slots=True, kw_only=True)
class RerunBody(RecordBody, Mapped):
    """A re-run of a tree against a base; `target` is the result that it checks.

    `verdict` is a `RerunVerdict`, or a word that a later version added. `smaller` means a gain
    smaller than the claimed one. The proof is verified together with the record's signature
    (`proof_by`).
    """

    kind: ClassVar = "rerun"
    task: Digest
    hardware_class: ClassName
    env: Env
    base: Digest
    tree: Digest
    target: Digest | None
    proof: Annotated[bytes, binary(64, 64)]
    runs: Annotated[tuple[Run, ...], Items(1, MAX_RUNS)]
    verdict: Identifier
    alpha_millionths: Annotated[int | None, integer(1, _MILLION), Named("alpha"), OPTIONAL] = None
    max_pairs: Annotated[int | None, integer(1, MAX_PAIRS), Named("pairs"), OPTIONAL] = None
    again: Annotated[Run | None, OPTIONAL] = None

    @property
    def about(self) -> bytes | None:
        return self.target

    def proof_by(self, author: bytes) -> Signature:
        """Return the unverified signature, by this author, from which the seeds are derived."""
        subject = _subject(self.target, self.base, self.tree)
        return Signature(author, SEED_CONTEXT + subject, self.proof)

    def _fault(self) -> str | None:
        if self.base == self.tree:
            return "tree: the same as its base"
        if (self.alpha_millionths is None) != (self.max_pairs is None):
            return "alpha and pairs: only one is given"
        if self.again is not None and self.target is None:
            return "again: needs a target"
        seeds = dict.fromkeys(run.seed for run in self.runs)
        if any(seed != rerun_seed(self.proof, i) for i, seed in enumerate(seeds)):
            return "runs: the seeds are not those of the proof, in order"
        return None


def _subject(target: bytes | None, base: bytes, tree: bytes) -> bytes:
    return base + tree if target is None else target
