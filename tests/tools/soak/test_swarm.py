"""A small swarm, in short: what `make soak PART=gossip` proves of forty nodes in ten minutes."""

import asyncio
from pathlib import Path

import pytest

from tools.soak.gossip import Faults, arrivals_of, broken
from tools.soak.halves import loopback
from tools.soak.swarm import stored, swarm

_MEMBERS = 4  # and the bootstrap node
_PATIENCE_S = 120.0


@pytest.mark.soak
def test_a_swarm_holds_the_same_after_a_kill_and_a_suspension(tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            asyncio.timeout(_PATIENCE_S),
            swarm(tmp_path, loopback, members=_MEMBERS) as nodes,
        ):
            await nodes.until_connected(_MEMBERS, within_s=_PATIENCE_S)
            await nodes.rate(10)
            await broken(nodes, Faults(dead_s=1.0, suspended_s=2.0))
            await nodes.rate(0)
            assert await nodes.seconds_to_agree(within_s=_PATIENCE_S) is not None
            assert not any(seen["failures"] for seen in await nodes.look())
            ways = [{way for way, _ in arrivals_of(one).values()} for one in nodes.members]
            homes = [nodes.bootstrap, *(member.home for member in nodes.members)]
        held = [stored(home) for home in homes]
        assert all(one == held[0] for one in held)
        assert all({"own", "gossip"} <= noted for noted in ways)
        assert sum(int(str(count)) for count, _ in held[0].values()) > _MEMBERS

    asyncio.run(test())
