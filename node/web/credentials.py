"""Credentials that a server accepts: the tokens of its run, and answers made with its fleet key."""

from dataclasses import dataclass, field
from typing import Final

from node.web.proof import Challenges, is_same, request_proof, server_proof
from node.web.tokens import Right, Tokens

_BEARER: Final = "Bearer "
_PROOF: Final = "Proof "


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The secrets of one run of a server, and what they allow."""

    tokens: Tokens
    fleet_key: str
    challenges: Challenges = field(default_factory=Challenges)

    def rights(self, authorization: str, asked: str) -> frozenset[Right]:
        """Return what an `Authorization` allows for "GET /path?query"; nothing if it is invalid.

        It is `Bearer TOKEN`, or `Proof CHALLENGE MAC` from a page that has a token or from a node
        that has the fleet key.
        """
        if authorization.startswith(_BEARER):
            return self.tokens.rights(authorization.removeprefix(_BEARER))
        if authorization.startswith(_PROOF):
            challenge, _, proof = authorization.removeprefix(_PROOF).partition(" ")
            if self.challenges.accepts(challenge):
                for key in (self.tokens.steer, self.tokens.read):
                    if is_same(proof, request_proof(key, challenge, asked)):
                        return self.tokens.rights(key)
                if is_same(proof, request_proof(self.fleet_key, challenge, asked)):
                    return frozenset({"read"})
        return frozenset()

    def proofs(self, nonce: str) -> list[str]:
        """Return proofs for holders of a token or of the fleet key that this is their server."""
        return [*self.tokens.proofs(nonce), server_proof(self.fleet_key, nonce)]


def proof_header(key: str, challenge: str, asked: str) -> str:
    """Return the `Authorization` of a request by a holder of a key."""
    return f"{_PROOF}{challenge} {request_proof(key, challenge, asked)}"
