"""What the core and its network process agree on: settings, limits, and the frames between them.

Frames are `node.network.messages` with their length, in both directions over one socket; the
first that the core sends is its settings. N counts the core's calls, Q the peers' questions.

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
    ["answer", Q, answer]                       ["heard", topic, forwarder, data]
    ["refuse", Q]                               ["lost", messages so far]

A ping is done with [open streams, {why: messages ignored so far}].
"""

from dataclasses import dataclass, field
from typing import Final

from node.network.errors import FrameMalformedError
from node.network.limits import PeerId
from node.network.messages import CHANNEL_SHAPE, Message, decode_message, encode_message
from protocol.encoding import LIMIT_BYTES
from protocol.errors import ConfigurationError, Rejected
from protocol.framing import Framing

# A whole frame of a peer's, with what stands around it.
CHANNEL_LIMIT_BYTES: Final = 2 << 20
# Of gossip: a record, and no more.
MESSAGE_LIMIT_BYTES: Final = LIMIT_BYTES
SEED_BYTES: Final = 32
# How long the core may think about a peer's question.
ANSWER_S: Final = 30.0
# Questions that wait for the core's answer, beside one of each peer: a few peers that ask as much
# as they may leave no other without an answer.
QUESTIONS: Final = 64
QUESTIONS_PER_PEER: Final = 4
# Answered by network processes that relay, not by their cores.
REACH: Final = "/arnode/reach/1"
MAX_PORTS: Final = 4  # that a peer asks to be tried at


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings:
    """What a network process is made from.

    `transport_seed`: 32 secret bytes, the node's name on the network. `secret`: 32 bytes that all
    of a private swarm share. `max_peers`: connections at once, a third of them kept for dialling.
    `banned`: peers that are refused from the start. `relays`: whether it serves as a relay.
    """

    transport_seed: bytes = field(repr=False)
    listen: tuple[str, ...]
    topics: frozenset[str]
    max_peers: int = 192
    secret: bytes | None = field(default=None, repr=False)
    protocols: frozenset[str] = frozenset()
    banned: tuple[PeerId, ...] = ()
    relays: bool = False

    def __post_init__(self) -> None:
        """Refuse what no host can be made from.

        Raises:
            ConfigurationError: the seed is not 32 bytes, or there is no room for two peers.
        """
        if len(self.transport_seed) != SEED_BYTES:
            raise ConfigurationError(
                f"a transport key is made from {SEED_BYTES} bytes, not {len(self.transport_seed)}",
                "restore the key file from a backup",
            )
        if self.max_peers < 2:
            raise ConfigurationError(
                f"a network of at most {self.max_peers} peers", "allow two or more"
            )

    def to_message(self) -> Message:
        """Return the settings as they go over the channel, secrets included."""
        return {
            "transport_seed": self.transport_seed,
            "listen": list(self.listen),
            "topics": [*sorted(self.topics)],
            "max_peers": self.max_peers,
            "secret": self.secret,
            "protocols": [*sorted(self.protocols)],
            "banned": list(self.banned),
            "relays": self.relays,
        }

    @classmethod
    def from_message(cls, message: Message) -> "NetworkSettings":
        """Return the settings that came over the channel.

        Raises:
            ConfigurationError: the message is no settings.
        """
        match message:
            case {
                "transport_seed": bytes(seed),
                "listen": list(listen),
                "topics": list(topics),
                "max_peers": int(max_peers),
                "secret": (bytes() | None) as secret,
                "protocols": list(protocols),
                "banned": list(banned),
                "relays": bool(relays),
            }:
                return cls(
                    transport_seed=seed,
                    listen=tuple(map(str, listen)),
                    topics=frozenset(map(str, topics)),
                    max_peers=max_peers,
                    secret=secret,
                    protocols=frozenset(map(str, protocols)),
                    banned=tuple(PeerId(str(peer)) for peer in banned),
                    relays=relays,
                )
            case _:
                raise ConfigurationError("these are no settings of a network process")


def _decode(data: bytes) -> Message | Rejected:
    try:
        return decode_message(data, CHANNEL_SHAPE)
    except FrameMalformedError as fault:
        return Rejected(fault.message)


# Of the core's channels to processes that read what strangers write.
FRAMING: Final[Framing[Message]] = Framing(
    limit_bytes=CHANNEL_LIMIT_BYTES, encode=encode_message, decode=_decode
)
