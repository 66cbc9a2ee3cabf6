"""The time in which two new nodes find each other by a DHT with half its servers dead or lying.

There are twenty js-libp2p servers on one machine, with an address each. The two nodes are on
separate machines, know only three of the servers, and start at the same time. The machines are
network namespaces. In the last trials all servers lie, and the resulting actions of a node are
counted.
"""

import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from subprocess import PIPE
from typing import Any, Final

from node.network.dht_lookup import MOST_QUESTIONS
from node.peering.book import DHT_DIALS
from tests.integration.namespaces import Machine, on_one_wire, why_not
from tests.interop.javascript import FOLDER, node_program, packages
from tests.peering.places import Place, place

_TRIALS: Final = 20
_SERVERS: Final = 20
_DEAD: Final = range(10, 15)
_LYING: Final = range(15, 20)
_ENTRIES: Final = (0, 10, 15)  # one honest server, one dead, one lying
_BY_LIARS: Final = 2  # trials
_NOWHERE: Final = 14  # the network of false addresses, where nothing answers
_PATIENCE_S: Final = 300.0
_LOOKED_S: Final = 0.1
_HOSTS: Final = (("9.0.0.1",), ("12.0.0.1",))
_AFTER_S: Final = 60.0  # time after which the effects of lies are counted

Figures = Mapping[str, object]


def run_rendezvous(home: Path, *, trials: int = _TRIALS) -> Figures:
    """Let pairs of new nodes find each other, and return the figures of all trials."""
    if lack := why_not():
        return {"holds": False, "lack": lack}
    shutil.rmtree(home, ignore_errors=True)
    honest = [_trial(home / f"trial-{number}") for number in range(trials)]
    hostile = [_hostile(home / f"hostile-{number}") for number in range(_BY_LIARS)]
    took_s = sorted(one["seconds"] for one in honest)
    return {
        "holds": took_s[-1] < _PATIENCE_S
        and all(one["asked"] <= 2 * MOST_QUESTIONS for one in hostile)
        and all(one["tried"] <= DHT_DIALS for one in hostile),
        "servers": {"all": _SERVERS, "dead": len(_DEAD), "lying": len(_LYING)},
        "seconds_to_meet": {
            "p50": round(statistics.median(took_s), 1),
            "p95": round(took_s[int(0.95 * (len(took_s) - 1))], 1),
            "of": len(took_s),
        },
        "cpu_s_of_a_meeting": round(statistics.median(one["cpu_s"] for one in honest), 2),
        "when_all_servers_lie": hostile,
    }


def _trial(home: Path) -> Mapping[str, float]:
    """Return the seconds until two new nodes are connected, and the CPU seconds of the search."""
    with _world(home, lying=_LYING, dead=_DEAD) as (entries, machines):
        began_s = time.monotonic()
        with (
            _newcomer(home / "a", machines[0], entries) as a,
            _newcomer(home / "b", machines[1], entries) as b,
        ):
            cpu_s = 0.0
            while not ((seen := a.look())["peers"] and b.look()["peers"]):
                cpu_s = max(cpu_s, _rendezvous_cpu_s(seen))
                if time.monotonic() > began_s + _PATIENCE_S:
                    break
                time.sleep(_LOOKED_S)
            seconds = time.monotonic() - began_s
    print(f"  {seconds:.1f} s", file=sys.stderr, flush=True)
    return {"seconds": seconds, "cpu_s": cpu_s}


def _hostile(home: Path) -> Mapping[str, float]:
    """Return the actions of a new node among servers that all lie."""
    with (
        _world(home, lying=range(_SERVERS), dead=()) as (entries, machines),
        _newcomer(home / "a", machines[0], entries) as a,
    ):
        began_s = time.monotonic()
        cpu_s = 0.0
        while (seen := a.look())["met"] is None:
            cpu_s = max(cpu_s, _rendezvous_cpu_s(seen))
            time.sleep(_LOOKED_S)
        rendezvous_s = time.monotonic() - began_s
        asked = seen["met"]["asked"]
        time.sleep(_AFTER_S)
        seen = a.look()
    return {
        "asked": asked,
        "rendezvous_s": round(rendezvous_s, 1),
        "tried": seen["tried"],
        "peers": seen["peers"],
        "meeting_cpu_s": round(cpu_s, 2),
    }


@contextmanager
def _world(
    home: Path, *, lying: Sequence[int], dead: Sequence[int]
) -> Iterator[tuple[list[str], list[Machine]]]:
    """Run servers on one machine. Yield three of their addresses and the other machines."""
    hosts = [f"11.{number}.0.1" for number in range(_SERVERS)]
    home.mkdir(parents=True)
    for module in FOLDER.glob("*.mjs"):
        shutil.copy(module, home)
    (home / "node_modules").symlink_to(packages())
    with on_one_wire([hosts, *_HOSTS]) as (of_servers, *machines):
        command = [*of_servers.entering, node_program(), "dht.mjs"]
        with subprocess.Popen(command, cwd=home, stdin=PIPE, stdout=PIPE, text=True) as servers:
            try:
                request = {"hosts": hosts, "port": 4001, "lying": [*lying], "nowhere": _NOWHERE}
                addresses = _asked(servers, request)["addresses"]
                for server in dead:
                    _asked(servers, {"end": server})
                yield [addresses[at] for at in _ENTRIES], machines
            finally:
                servers.kill()


def _asked(servers: "subprocess.Popen[str]", request: Mapping[str, object]) -> dict[str, Any]:
    assert servers.stdin is not None
    assert servers.stdout is not None
    servers.stdin.write(json.dumps(request) + "\n")
    servers.stdin.flush()
    said: dict[str, Any] = json.loads(servers.stdout.readline())
    return said


def _newcomer(
    home: Path, machine: Machine, entries: Sequence[str]
) -> AbstractContextManager[Place]:
    return place(home, dht=entries, host=machine.host, within=machine.entering)


def _rendezvous_cpu_s(seen: Mapping[str, Any]) -> float:
    """Return the CPU seconds of the process that queries the DHT, as last seen."""
    return float(seen["cpu_s"].get("meeting", 0.0))
