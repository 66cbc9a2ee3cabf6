"""The setup of the libp2p host: only TCP, the Noise protocol and yamux, with explicit limits.

By default py-libp2p 0.8.1 would also accept plaintext and secio. It would refuse connections when
less than a fifth of the machine's memory is free, which is common while torch runs. It would
advertise addresses that untrusted peers report, and dial an unreachable address four times.
"""

from dataclasses import dataclass, field
from typing import Annotated, Final, cast

from libp2p import new_host
from libp2p.crypto.ed25519 import Ed25519PrivateKey
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.x25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.host.ping import ID as PING
from libp2p.identity.identify_push.identify_push import ID_PUSH
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.network.swarm import Swarm
from libp2p.rcmgr import ResourceManager, new_resource_manager
from libp2p.rcmgr.connection_limits import ConnectionLimits
from libp2p.rcmgr.memory_limits import MemoryConnectionLimits
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_ID
from libp2p.security.noise.transport import Transport as Noise
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX_ID
from libp2p.stream_muxer.yamux.yamux import Yamux
from multiaddr import Multiaddr

from node.network.connections import HANDSHAKES
from node.network.contract import NetworkSettings
from node.network.patches import apply_patches, disable_identify
from node.network.peer_budgets import Allowance, CostKind
from node.network.private import SECRET_BYTES
from node.network.relay import RelayLimits
from protocol.errors import ConfigurationError
from protocol.fields import UNWRITTEN

# Two nodes may dial each other at once and notice only when both connections are open.
CONNECTIONS_PER_PEER: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings(NetworkSettings):
    """The settings that the core sends, and limits with fixed defaults that it does not send.

    `relay`: the limits of relaying; used only if `relays` is True.
    """

    handshake_s: Annotated[float, UNWRITTEN] = 10.0
    banned_for_s: Annotated[float, UNWRITTEN] = 3600.0
    allowances: Annotated[dict[CostKind, Allowance], UNWRITTEN] = field(default_factory=dict)
    relay: Annotated[RelayLimits, UNWRITTEN] = field(default_factory=RelayLimits)


def build_host(settings: HostSettings) -> BasicHost:
    """Return a host that does not listen yet.

    Raises:
        ConfigurationError: an address or the secret is invalid, or the installed py-libp2p is not
            the version that `node.network.patches` supports.
    """
    if settings.secret is not None and len(settings.secret) != SECRET_BYTES:
        raise ConfigurationError(
            f"a private network's secret is {SECRET_BYTES} bytes, not {len(settings.secret)}",
            "copy the whole invite that `arnode network invite` prints",
        )
    apply_patches()
    private = Ed25519PrivateKey.from_bytes(settings.transport_seed)
    keys = KeyPair(private, private.get_public_key())
    host = new_host(
        key_pair=keys,
        listen_addrs=listen_addresses(settings),
        sec_opt={NOISE_ID: Noise(keys, noise_privkey=create_new_key_pair().private_key)},
        muxer_opt={TProtocol(YAMUX_ID): Yamux},
        resource_manager=_resource_manager(settings),
        connection_config=_connection_config(settings),
        disable_identify_address_discovery=True,
    )
    # Dial once; the caller decides when to try again.
    cast("Swarm", host.get_network()).retry_config = RetryConfig(max_retries=0)
    # arnode's own protocols replace these two, over which a peer could send a megabyte at any time.
    for protocol in (ID_PUSH, PING):
        host.remove_stream_handler(protocol)
    disable_identify(cast("BasicHost", host))
    return cast("BasicHost", host)


def listen_addresses(settings: HostSettings) -> list[Multiaddr]:
    """Return the addresses to listen on.

    Raises:
        ConfigurationError: one of them cannot be parsed.
    """
    try:
        return [Multiaddr(address) for address in settings.listen]
    except ValueError as fault:
        raise ConfigurationError(
            f"an address to listen on is invalid: {fault}",
            "write it like /ip4/0.0.0.0/tcp/4001",
        ) from fault


def _resource_manager(settings: HostSettings) -> ResourceManager:
    outbound = max(1, settings.max_peers // 3)  # reserved for peers that this node dials
    return new_resource_manager(
        connection_limits=ConnectionLimits(
            max_established_inbound=settings.max_peers - outbound,
            max_established_outbound=outbound,
            max_established_per_peer=CONNECTIONS_PER_PEER,
            max_established_total=settings.max_peers,
        ),
        memory_limits=MemoryConnectionLimits(),
        # The first two refuse everybody after a few failures, which any peer can cause. Metrics
        # keep a counter for each peer that ever connected.
        enable_circuit_breaker=False,
        enable_graceful_degradation=False,
        enable_metrics=False,
    )


def _connection_config(settings: HostSettings) -> ConnectionConfig:
    slots = settings.max_peers + HANDSHAKES
    return ConnectionConfig(
        max_connections=slots,
        min_connections=0,
        low_watermark=0,
        high_watermark=slots,
        max_connections_per_peer=CONNECTIONS_PER_PEER,
        inbound_upgrade_timeout=settings.handshake_s,
        outbound_upgrade_timeout=settings.handshake_s,
        inbound_stream_protocol_negotiation_timeout=settings.handshake_s,
        outbound_stream_protocol_negotiation_timeout=settings.handshake_s,
    )
