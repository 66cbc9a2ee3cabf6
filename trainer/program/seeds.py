"""Names of a run's instances: public ones anyone can make, secret ones only this node can.

Run seeds have 31 bits, so the author of a candidate can guess every instance that depends only on
them. Such public instances are used for screens and decide nothing. The deciding instances also
depend on the key of a secret split. A candidate's random seed is a hash of its instance's seed, so
it reveals no instance. If costs are compared with the baseline's, a nonce gives each run new
instances.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from protocol.runs import MAX_SEED

PUBLIC: Final = "public"
SECRET: Final = "secret"  # noqa: S105 -- a split's name
WARM_UP: Final = "warm-up"

_INSTANCE = b"arnode/instance/1\0"
_CANDIDATE = b"arnode/candidate/1\0"
_MODEL = b"arnode/model/1\0"
_JUDGES_MODEL = b"arnode/judges-model/1\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceName:
    """The name of an instance for the judge: 32 bytes of seed, its split and its index there."""

    seed: bytes
    split: str
    index: int

    @property
    def judges_split(self) -> str:
        """The split that the judge sees: public for a warm-up, else the instance's split."""
        return PUBLIC if self.split == WARM_UP else self.split

    @property
    def candidate_seed(self) -> int:
        """The 31-bit random seed for a candidate that runs on this instance."""
        derived = hashlib.sha256(_CANDIDATE + self.seed).digest()
        return int.from_bytes(derived[:4], "big") & MAX_SEED

    @property
    def model_seed(self) -> int:
        """The seed for a language model that a candidate asks. No candidate sees it."""
        return int.from_bytes(hashlib.sha256(_MODEL + self.seed).digest()[:8], "big")

    @property
    def judges_model_seed(self) -> int:
        """The seed for a language model that the judge asks.

        It differs from `model_seed`, so that no candidate can ask a model and get the answer that
        the judge will get.
        """
        return int.from_bytes(hashlib.sha256(_JUDGES_MODEL + self.seed).digest()[:8], "big")


def drawn(
    task: bytes, run_seed: int, *, split: str, index: int, key: bytes, nonce: bytes = b""
) -> InstanceName:
    """Return one of the instances that a run draws.

    `key` is the 32-byte key of a secret split. `nonce` is unique to a run, for runs that must not
    share an instance.
    """
    hashed = _INSTANCE + split.encode() + b"\0" + task + run_seed.to_bytes(4, "big")
    hashed += index.to_bytes(4, "big") + nonce
    seed = (
        hmac.digest(key, hashed, "sha256") if split == SECRET else hashlib.sha256(hashed).digest()
    )
    return InstanceName(seed=seed, split=split, index=index)


def fixed(task: bytes, name: str, index: int) -> InstanceName:
    """Return an instance that never changes, by its name in the task's file."""
    seed = hashlib.sha256(_INSTANCE + b"fixed\0" + task + name.encode()).digest()
    return InstanceName(seed=seed, split=name, index=index)
