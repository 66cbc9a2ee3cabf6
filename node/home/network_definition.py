"""The text form of a network's definition: parsing, with one error for each fault, and writing.

    name = "lab"                   the name of the file
    bootstrap = ["/ip4/…"]         addresses of first peers
    dht = ["/dnsaddr/…"]           servers of a libp2p DHT in which to look for nodes
    lists = ["https://…"]          where signed lists of addresses are published
    lists_key = "…"                the author key that signs them, in hex
    tasks = ["tiny"]               names or ids; without it all tasks
    secret = "…"                   32 bytes in hex, for a private network
    authors = ["…"]                whose records count here; without it everybody's

This module uses no files: `node.home.networks` reads and writes them.
"""

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from node.home.addresses import (
    EXAMPLE,
    LIMIT_CHARACTERS,
    SERVER_EXAMPLE,
    Address,
    host_fault,
    parse_direct,
    parse_server,
    port_fault,
)
from protocol.codecs import NAME_PATTERN
from protocol.errors import ConfigurationError, Rejected
from protocol.keys import is_key

T = TypeVar("T")

NO_NETWORK: Final = "none"  # the flag's value for no network, so no network can have this name
TASK_PATTERN: Final = rf"[0-9a-f]{{64}}|{NAME_PATTERN}"
SECRET_BYTES: Final = 32
AUTHOR_BYTES: Final = 32
TASK_BYTES: Final = 32
MAX_BOOTSTRAP: Final = 64
MAX_LISTS: Final = 8
MAX_AUTHORS: Final = 1_000
MAX_TASKS: Final = 64
MAX_FILE_BYTES: Final = 1 << 18
DNSADDR: Final = "/dnsaddr/"  # the prefix of a list in the DNS

_KEYS: Final = ("name", "bootstrap", "dht", "lists", "lists_key", "tasks", "secret", "authors")
_HTTPS: Final = "https://"
_OF_URL: Final = r"[A-Za-z0-9._~:/?@!$&'()*+,;=%-]*"  # RFC 3986
_WANTED: Final = {
    "dht": f"a server is like {SERVER_EXAMPLE} or {EXAMPLE}",
    "bootstrap": f"an address is like {EXAMPLE}",
    "lists": f"a list is at an address like https://example.org/peers.txt or {DNSADDR}example.org",
    "tasks": "a task is named by its name or the 64 hex digits of its id (`arnode task show`)",
    "authors": "a key is 64 hex digits: `arnode home key show` prints your own",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network's definition.

    `dht`: servers of a DHT in which its nodes look for each other; empty: none is used. `lists`:
    where addresses are published (`https://…`, `/dnsaddr/NAME`), signed by `lists_key`, which is
    set if and only if `lists` is not empty. `tasks`: names or ids in hex; empty: all. `secret`: 32
    bytes that all members of a private network share. `authors`: whose records count here; empty:
    everybody's.
    """

    name: str
    bootstrap: tuple[Address, ...] = ()
    dht: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    lists_key: bytes | None = None
    tasks: tuple[str, ...] = ()
    secret: bytes | None = field(default=None, repr=False)
    authors: frozenset[bytes] = frozenset()


def read_definition(data: bytes, *, place: str, name: str) -> Network:
    """Return the network that a file defines; `name` is the name of the file.

    Raises:
        ConfigurationError: the first fault, with `place`, its key and a hint.
    """
    if len(data) > MAX_FILE_BYTES:
        raise ConfigurationError(
            f"{place} has {len(data)} bytes, more than {MAX_FILE_BYTES}", "make it shorter"
        )
    try:
        table = tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as fault:
        raise ConfigurationError(f"{place} is not UTF-8 text", "save it as UTF-8") from fault
    except tomllib.TOMLDecodeError as fault:
        raise ConfigurationError(
            f"{place}: {fault}", 'fix that line; values need quotes: name = "lab"'
        ) from fault
    for key in table:
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, 1, 0.0)[0]
            raise ConfigurationError(
                f"{place}: unknown key `{key}`",
                f"did you mean `{near}`? Known keys: {', '.join(_KEYS)}",
            )
    if table.get("name") != name:
        raise ConfigurationError(
            f"{place}: `name` is {table.get('name')!r}",
            f'write name = "{name}", as in the file name, or rename the file',
        )
    if "secret" in table and "dht" in table:
        raise ConfigurationError(
            f"{place}: `secret` and `dht` exclude each other, since anyone can see a DHT's members",
            "remove one of them: a private network finds its members by `bootstrap` or an invite",
        )
    lists = tuple(_list(table, "lists", place, _published, MAX_LISTS))
    return Network(
        name=name,
        bootstrap=tuple(_list(table, "bootstrap", place, parse_direct, MAX_BOOTSTRAP)),
        dht=tuple(_list(table, "dht", place, parse_server, MAX_BOOTSTRAP)),
        lists=lists,
        lists_key=_lists_key(table, place, lists),
        tasks=tuple(_list(table, "tasks", place, _task, MAX_TASKS)),
        secret=_secret(table, place),
        authors=frozenset(_list(table, "authors", place, _author, MAX_AUTHORS)),
    )


def _list(
    table: dict[str, object],
    key: str,
    place: str,
    read: Callable[[str], T | Rejected],
    most: int,
) -> list[T]:
    values = table.get(key, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ConfigurationError(
            f"{place}: `{key}` is not a list of strings", f'write {key} = ["…"], or leave it out'
        )
    if len(values) > most:
        raise ConfigurationError(
            f"{place}: `{key}` has {len(values)} entries, more than {most}", "name fewer"
        )
    if key == "authors" and key in table and not values:
        raise ConfigurationError(
            f"{place}: `authors` names no author",
            "name an author's key, or leave it out to accept everyone",
        )
    found: list[T] = []
    for number, value in enumerate(values, 1):
        item = read(value)
        if isinstance(item, Rejected):
            raise ConfigurationError(
                f"{place}: `{key}`, entry {number}: {item.reason}", _WANTED[key]
            )
        if item not in found:
            found.append(item)
    return found


def _published(text: str) -> str | Rejected:
    """Return `text` if it is an address at which a list can be published, else the fault.

    Faults never repeat the text, since it may contain a password.
    """
    if len(text) > LIMIT_CHARACTERS:
        return Rejected(f"it has {len(text)} characters, more than {LIMIT_CHARACTERS}")
    if text.startswith(DNSADDR):
        fault = host_fault("dns", text.removeprefix(DNSADDR))
        return text if fault is None else Rejected(fault)
    if not text.startswith(_HTTPS):
        return Rejected(f"it does not begin with {_HTTPS} or {DNSADDR}")
    rest = text.removeprefix(_HTTPS)
    machine = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in machine:
        return Rejected("it names a user (`…@`), but such a list is public")
    if "#" in rest:
        return Rejected("it has a fragment (`#…`), which is never sent to a server")
    if re.fullmatch(_OF_URL, rest) is None:
        return Rejected("it has a character that is invalid in a URL")
    host, colon, port = machine.partition(":")
    fault = host_fault("ip4" if host.rpartition(".")[2].isdigit() else "dns", host)
    if fault is None and colon:
        fault = port_fault(port)
    return text if fault is None else Rejected(fault)


def _lists_key(table: dict[str, object], place: str, lists: tuple[str, ...]) -> bytes | None:
    if "lists_key" not in table:
        if lists:
            raise ConfigurationError(
                f"{place}: `lists` without `lists_key`: anyone could write these lists",
                'write lists_key = "…": `arnode home key show` prints the key of the signer',
            )
        return None
    text = table["lists_key"]
    key = key_of(text, AUTHOR_BYTES) if isinstance(text, str) else None
    if key is None or not is_key(key):
        raise ConfigurationError(
            f"{place}: `lists_key` is not an author's key, {2 * AUTHOR_BYTES} hex digits",
            "`arnode home key show` prints the signer's key",
        )
    if not lists:
        raise ConfigurationError(
            f"{place}: `lists_key` without `lists`: no list is signed by it",
            'write lists = ["https://…"], or leave out both',
        )
    return key


def _task(text: str) -> str | Rejected:
    return (
        text
        if re.fullmatch(TASK_PATTERN, text)
        else Rejected(f"{text[:80]!r} is not a task's name or id")
    )


def _author(text: str) -> bytes | Rejected:
    key = key_of(text, AUTHOR_BYTES)
    return Rejected(f"{text[:80]!r} is not an author's key") if key is None else key


def _secret(table: dict[str, object], place: str) -> bytes | None:
    if "secret" not in table:
        return None
    text = table["secret"]
    secret = key_of(text, SECRET_BYTES) if isinstance(text, str) else None
    if secret is None:  # the error must not show its value
        raise ConfigurationError(
            f"{place}: `secret` is not {2 * SECRET_BYTES} hex digits",
            "copy it from another member's file, or join with a line from `arnode network invite`",
        )
    return secret


def key_of(text: str, size_bytes: int) -> bytes | None:
    """Return the bytes of a hex text; None if it is not the hex of exactly `size_bytes` bytes."""
    if re.fullmatch(rf"[0-9a-fA-F]{{{2 * size_bytes}}}", text) is None:
        return None
    return bytes.fromhex(text)


def write_definition(network: Network) -> bytes:
    """Return the content of a network's file."""
    lines = [f'name = "{network.name}"', *_written_list("bootstrap", map(str, network.bootstrap))]
    if network.dht:
        lines += _written_list("dht", network.dht)
    if network.lists_key is not None:
        lines += _written_list("lists", network.lists)
        lines.append(f'lists_key = "{network.lists_key.hex()}"')
    if network.tasks:
        lines += _written_list("tasks", network.tasks)
    if network.authors:
        lines += _written_list("authors", sorted(key.hex() for key in network.authors))
    if network.secret is not None:
        lines += [
            "# Anyone who knows this can join: share it with members only.",
            f'secret = "{network.secret.hex()}"',
        ]
    return "".join(f"{line}\n" for line in lines).encode()


def _written_list(key: str, values: Iterable[str]) -> list[str]:
    # These texts contain no quotes and no backslashes.
    return [f"{key} = [", *(f'    "{value}",' for value in values), "]"]
