"""The transport key as libp2p needs it: a node's name on the network, never what signs records.

A peer's id holds its public key, so that a profile's `transport` and `binding`
(`protocol.kinds.ProfileBody`) can be held against the connection that it came by.
"""

from libp2p.crypto.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from libp2p.crypto.keys import KeyPair
from libp2p.peer.id import ID

from node.network.limits import PeerId
from protocol.errors import ArnodeError


def key_pair(transport_seed: bytes) -> KeyPair:
    """Return the key pair that these 32 secret bytes determine."""
    if len(transport_seed) != 32:
        raise ArnodeError(
            f"a transport key is made from 32 bytes, not {len(transport_seed)}",
            "restore the key file from a backup",
        )
    private = Ed25519PrivateKey.from_bytes(transport_seed)
    return KeyPair(private, private.get_public_key())


def transport_key(peer: PeerId) -> bytes | None:
    """Return the public key in a peer's id, 32 bytes, or None if it is of another kind."""
    try:
        public = ID.from_string(peer).extract_public_key()
    except ValueError:
        return None
    return public.to_bytes() if isinstance(public, Ed25519PublicKey) else None
