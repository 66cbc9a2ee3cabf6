"""The interface between the core and its network process: settings, limits and frames.

Frames are `node.network.messages` with a length prefix, in both directions over one socket. The
core first sends its settings. N numbers the core's calls, Q numbers the peers' questions.

    core → network                              network → core
    ["dial", N, address]                        ["up", peer id, [address]]
    ["disconnect", N, peer]                     ["down", message, hint]      then it ends
    ["drop", N, peer, why]                      ["done", N, value]
    ["publish", N, topic, data]                 ["failed", N, message, hint]
    ["ask", N, peer, protocol, seconds, question]
    ["serve", N, protocol]                      ["question", Q, peer, protocol, question]
    ["reserve", N, peer]                        ["connected", peer, address | nil, is relayed,
                                                     IPv4 address that it comes from | nil]
    ["ping", N]                                 ["disconnected", peer]
    ["answer", Q, answer]                       ["gossip", topic, forwarder, data]
    ["refuse", Q]                               ["lost", messages so far]

The value of a ping is [open streams, {reason: messages ignored so far}].
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Annotated, Final, TypeAlias

from node.home.addresses import PeerId
from node.network.errors import FrameMalformedError, NetworkError
from node.network.messages import CHANNEL_SHAPE, decode_message, encode_message
from protocol.codecs import binary, integer, single_line
from protocol.encoding import LIMIT_BYTES
from protocol.errors import ConfigurationError, Rejected
from protocol.fields import Items, Mapped
from protocol.framing import Framing, Message

# Room for a whole frame from a peer and the fields around it.
CHANNEL_LIMIT_BYTES: Final = 2 << 20
# A gossip message is one record.
MESSAGE_LIMIT_BYTES: Final = LIMIT_BYTES
SEED_BYTES: Final = 32
# How long the core may take to answer a peer's question.
ANSWER_S: Final = 30.0
# Questions that may wait for the core's answer, in addition to one per peer. That one is always
# allowed, so a few busy peers cannot block the questions of all other peers.
QUESTIONS: Final = 64
QUESTIONS_PER_PEER: Final = 4
# The network processes of relays answer this protocol, not their cores.
REACH: Final = "/arnode/reach/1"
MAX_PORTS: Final = 4  # that a peer may ask a relay to test
_MOST_BYTES: Final = 64  # of a key or secret
_MOST_NAMES: Final = 1 << 14
_Peer: TypeAlias = Annotated[PeerId, single_line(1, 64)]
_Port: TypeAlias = Annotated[int, integer(1, 65_535)]
_Names: TypeAlias = Annotated[
    tuple[Annotated[str, single_line(1, 400)], ...], Items(0, _MOST_NAMES)
]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings(Mapped):
    """The settings of a network process.

    `transport_seed`: 32 secret bytes that determine the node's id on the network. `secret`: 32
    bytes that all nodes of a private network share. `max_peers`: the maximum number of connections;
    a third of them is reserved for dialling. `banned`: peers that are refused from the start.
    `relays`: True if this process serves as a relay.
    """

    transport_seed: Annotated[bytes, binary(0, _MOST_BYTES)] = field(repr=False)
    listen: _Names
    topics: _Names
    max_peers: int = 192
    secret: Annotated[bytes | None, binary(0, _MOST_BYTES)] = field(default=None, repr=False)
    protocols: _Names = ()
    banned: Annotated[tuple[_Peer, ...], Items(0, _MOST_NAMES)] = ()
    relays: bool = False

    def __post_init__(self) -> None:
        """Check the seed's length and the number of peers.

        Raises:
            ConfigurationError: the seed is not 32 bytes, or there is no room for two peers.
        """
        if len(self.transport_seed) != SEED_BYTES:
            raise ConfigurationError(
                f"a transport key needs {SEED_BYTES} bytes, not {len(self.transport_seed)}",
                "restore the key file from a backup",
            )
        if self.max_peers < 2:
            raise ConfigurationError(
                f"max_peers is {self.max_peers}, less than 2", "allow two or more"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachQuestion(Mapped):
    """A question to a relay: does the asker's own host answer at one of these ports?"""

    ports: Annotated[tuple[_Port, ...], Items(1, MAX_PORTS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached(Mapped):
    """The answer to `ReachQuestion`: an address at which the asker answered with its own key."""

    address: Annotated[str | None, single_line(1, 256)]


def check_gossip(topic: str, data: bytes, topics: Collection[str]) -> None:
    """Check that a message can be gossiped.

    Raises:
        NetworkError: the message is too long, or its topic does not belong to this network.
    """
    if topic not in topics:
        raise NetworkError(f"{topic} is not a topic of this network", "check the task's name")
    if len(data) > MESSAGE_LIMIT_BYTES:
        raise NetworkError(
            f"a message of {len(data)} bytes, more than gossip's limit of {MESSAGE_LIMIT_BYTES}",
            "leave it to reconciliation, and name large data by its hash",
        )


def _decode(data: bytes) -> Message | Rejected:
    try:
        return decode_message(data, CHANNEL_SHAPE)
    except FrameMalformedError as fault:
        return Rejected(fault.message)


# For the core's channels to processes that read untrusted data.
FRAMING: Final[Framing[Message]] = Framing(
    limit_bytes=CHANNEL_LIMIT_BYTES, encode=encode_message, decode=_decode
)
