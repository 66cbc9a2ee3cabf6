"""What a run's seed names: instances that everybody can make, and others that only this node can.

Run seeds have 31 bits, so what follows from them alone counts as known to whoever wrote a
candidate: it is for screens, and decides nothing. What decides hangs on the key of a secret split.
A candidate's own seed is derived from its instance's one-way, so that it leads to no instance.
Where costs are compared with the baseline's, a nonce makes the instances of each run its own.
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
    """Which instance a judge is asked for: 32 bytes of its own, its split, its number in that."""

    seed: bytes
    split: str
    index: int

    @property
    def judges_split(self) -> str:
        """The split that the judge is told: a warm-up is made as a public instance is."""
        return PUBLIC if self.split == WARM_UP else self.split

    @property
    def candidate_seed(self) -> int:
        """The random seed of a candidate that meets it, of 31 bits."""
        derived = hashlib.sha256(_CANDIDATE + self.seed).digest()
        return int.from_bytes(derived[:4], "big") & MAX_SEED

    @property
    def model_seed(self) -> int:
        """The chance of a language model that is asked about it, which no candidate gets to see."""
        return int.from_bytes(hashlib.sha256(_MODEL + self.seed).digest()[:8], "big")

    @property
    def judges_model_seed(self) -> int:
        """Likewise, where the judge asks: no candidate can ask beforehand what it will be told."""
        return int.from_bytes(hashlib.sha256(_JUDGES_MODEL + self.seed).digest()[:8], "big")


def drawn(
    task: bytes, run_seed: int, *, split: str, index: int, key: bytes, nonce: bytes = b""
) -> InstanceName:
    """Return one of the instances that a run draws.

    `key` is a secret split's, of 32 bytes; `nonce` is a run's own, where no two may share any.
    """
    told = _INSTANCE + split.encode() + b"\0" + task + run_seed.to_bytes(4, "big")
    told += index.to_bytes(4, "big") + nonce
    seed = hmac.digest(key, told, "sha256") if split == SECRET else hashlib.sha256(told).digest()
    return InstanceName(seed=seed, split=split, index=index)


def fixed(task: bytes, name: str, index: int) -> InstanceName:
    """Return an instance that never changes, by its name in the task's file."""
    seed = hashlib.sha256(_INSTANCE + b"fixed\0" + task + name.encode()).digest()
    return InstanceName(seed=seed, split=name, index=index)
