"""The user's settings: flag > `ARNODE_*` > `config.toml` > default, each value checked once.

One frozen dataclass is the whole table: its fields are the keys of the file, the names of the
variables and, with dashes, the flags. A key that it does not have is a misspelling.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from node.home import agents
from node.home import values as take
from node.home.addresses import EXAMPLE
from node.home.faults import explaining_faults
from node.home.fleet import FLEET
from node.home.home import Home
from node.home.notify import NOTIFY
from node.home.setting import VARIABLES, Flag, ValueKind, setting, settings_of
from node.home.values import NAME_LIMIT, NEAR, Given
from protocol.errors import ConfigurationError

# Not settings: where the home is, and what program tasks are told (docs/writing-a-task.md).
_NOT_SETTINGS = {"HOME", "SEED", "OUT", "DATA", "BUDGET_S"}
_AMOUNT = take.number(lambda amount: 0 <= amount < 1e6)
_COUNT = ValueKind(take.count, "a whole number from 1")
_SECONDS = ValueKind(take.number(lambda span: 0 < span < 1e6), "a number of seconds above 0")
_SWITCH = ValueKind(take.switch, "true or false")


def _one_of(*words: str) -> ValueKind[str]:
    return ValueKind(take.one_of(*words), f"one of {', '.join(words)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every setting: its default, what it takes, what it means, and its flag if it has one."""

    task: str = setting(
        "auto",
        ValueKind(take.filled, "a task's name or folder, in quotes"),
        Flag("A task's name or folder (default: tiny; nanochat with a usable NVIDIA card)."),
    )
    """The task to work on: a built-in task's name (`arnode task list`) or a folder with a
    `task.toml`. `auto` is `nanochat` where an NVIDIA card has proven itself, else `tiny`. For:
    everybody with a problem of their own, or another built-in one in mind."""

    text: str | None = setting(
        None,
        ValueKind(take.filled, "the path of a text file, in quotes"),
        Flag("Work on this file or folder of text instead.", type=Path),
    )
    """A text file or a folder of text to work on; goes before `task`, but not before the flag
    `--task`. For: somebody who has a corpus and no task yet."""

    net: str = setting(
        "main",
        ValueKind(
            take.net, "a network's name: a-z, 0-9 and -, at most 48; `online = false` for none"
        ),
        Flag(
            "The network to speak to, from now on; none: not this time.",
            metavar="NAME|none",
            option="--network",
        ),
    )
    """The network in use, whose name records carry. `arnode join LINE` and `arnode start --network
    NAME` set it. For: a group with a network of its own."""

    online: bool | None = setting(None, _SWITCH)
    """Connect to that network: `true`, `false`, or nothing if the owner was not asked yet. For:
    a script, or a machine where nobody can be asked."""

    bootstrap: tuple[str, ...] = setting(
        (),
        ValueKind(take.addresses, f'addresses: ["{EXAMPLE}"], in a variable with commas between'),
        Flag("A peer to begin with, more than once.", metavar="ADDR", is_repeated=True),
    )
    """Addresses of the first peers to connect to, in addition to those in the network's
    definition: `["/ip4/192.0.2.1/tcp/4001/p2p/12D3Koo…"]`; in the variable with commas between
    them. For: somebody who knows a peer's address where the network's own cannot be reached."""

    name: str = setting(
        "",
        ValueKind(take.short_name, f"text of at most {NAME_LIMIT} printable characters, in quotes"),
        Flag("The name this node's records carry (default: from its key)."),
    )
    """The name that this node's records carry, at most 64 characters; empty: `node-` and the
    beginning of its key. Never the host's name. For: somebody who wants to be recognised on
    leaderboards."""

    agent: tuple[str, ...] = setting(
        ("knobs",),
        agents.AGENT,
        Flag(agents.HELP, metavar=agents.METAVAR, is_repeated=True),
    )
    """Who proposes: knobs, a model, a coding agent or nobody, by one of the words in [Language
    models](llm.md#who-proposes), `agent = "claude"`; or [several](llm.md#several-at-once) that
    share the experiments. The hyperparameter search fills the gaps between models and agents.
    For: somebody with a model, a key or a coding agent."""

    planner: str | None = setting(None, agents.MODEL)
    """A language model, named as `agent` would name it, that writes every dozen experiments what
    models and coding agents are to aim at: see [Roles](llm.md#roles). None: nobody does. For:
    somebody with a small model that writes and a large one that is too dear to write."""

    reviewer: str | None = setting(None, agents.MODEL)
    """A language model, named as `agent` would name it, that chooses among three proposals of a
    model the one that is run: see [Roles](llm.md#roles). None: a model writes one. For: somebody
    whose runs cost more than three proposals."""

    device_hour_usd: float | None = setting(
        None, ValueKind(take.number(lambda usd: 0 < usd < 1e6), "USD above 0")
    )
    """What an hour of the device is worth, in USD. With it the money that proposals cost counts as
    hours where several proposers share the experiments; nothing: money does not steer that. For:
    somebody who rents the card and pays for the model."""

    llm_url: str | None = setting(
        None,
        ValueKind(
            take.url, "the URL of an OpenAI-compatible server, like http://127.0.0.1:8080/v1"
        ),
    )
    """The URL of an OpenAI-compatible server that has the model. For: somebody with a model on a
    machine of their own."""

    llm_key: str | None = setting(
        None,
        ValueKind(
            take.variable, "the name of the variable that holds the API key, never the key itself"
        ),
    )
    """The name of the environment variable that holds the API key, never the key itself; none: the
    provider's usual one, such as `OPENAI_API_KEY`, and for a server named by `llm_url` no key. For:
    somebody with several keys, or a provider with another variable."""

    llm_usd_in: float | None = setting(
        None, ValueKind(_AMOUNT, "USD for a million tokens of a prompt")
    )
    """What a million tokens of a prompt cost, in USD, where the price is not known here: of the
    model, or of a coding agent that tells its tokens alone. For: somebody whose provider's prices
    are not known here."""

    llm_usd_out: float | None = setting(
        None, ValueKind(_AMOUNT, "USD for a million tokens of an answer")
    )
    """What a million tokens of an answer cost. For: somebody whose provider's prices are not
    known here."""

    llm_context: int | None = setting(
        None, ValueKind(take.count, "how many tokens the model takes")
    )
    """How many tokens the model takes, where that is not known here. For: somebody with a model of
    their own, or a new one."""

    llm_answer: int = setting(8192, ValueKind(take.count, "how many tokens an answer may have"))
    """How many tokens an answer may have, the model's own reasoning included. For: somebody whose
    model reasons at length, or has a small context."""

    llm_timeout_s: float = setting(300.0, _SECONDS)
    """How long an answer may take. For: somebody whose model is slow, as on a processor."""

    usd_per_day: float = setting(
        5.0, ValueKind(_AMOUNT, "USD that models may cost a day (UTC); 0 for what is free only")
    )
    """What models and coding agents may cost in a day (UTC), in USD; no question is asked and no
    visit begun that could pass a limit. For: everybody who pays by the token."""

    tokens_per_day: int | None = setting(None, _COUNT)
    """How many tokens models may read and write in a day. For: somebody whose plan counts
    tokens."""

    calls_per_day: int | None = setting(None, _COUNT)
    """How many questions models may be asked in a day; a coding agent's visit is one. For: somebody
    whose plan counts requests, as free ones do."""

    visits_per_day: int = setting(50, _COUNT)
    """How many proposals coding agents may write in a day. It is what bounds one that comes with a
    subscription. For: somebody whose coding agent comes with a subscription."""

    agent_command: tuple[str, ...] = setting(
        (), ValueKind(take.argv, 'a command as a list: ["my-agent", "--file", "{prompt_file}"]')
    )
    """The command of your own coding agent, a word each: `["my-agent", "--file", "{prompt_file}"]`;
    `{prompt}` and `{folder}` are replaced too. For: somebody with a coding agent that is not built
    in."""

    agent_folders: tuple[str, ...] = setting(
        (), ValueKind(take.words, 'folders of the home that the command needs: ["~/.claude"]')
    )
    """The parts of your home folder that a coding agent sees, such as its own log-in. For:
    somebody whose own coding agent keeps its log-in there."""

    agent_variables: tuple[str, ...] = setting(
        (), ValueKind(take.words, 'names of variables that the command needs: ["LANG"]')
    )
    """The environment variables that a coding agent sees. For: somebody whose own coding agent
    reads some."""

    agent_limit_s: float = setting(900.0, _SECONDS)
    """How long a coding agent may take for one proposal. For: somebody whose agent thinks for long,
    or is to be cut short."""

    agent_usd: float = setting(
        1.0, ValueKind(_AMOUNT, "USD that one proposal of a coding agent may cost; 0 if it is free")
    )
    """What a coding agent may cost for one proposal, in USD: reserved before it is started, and
    booked if it says nothing of its cost. `0`: it costs nothing by the token. For: somebody whose
    agent is paid by the token."""

    peers_words: bool = setting(False, _SWITCH)
    """Whether models are shown what peers wrote about patches that nobody measured here, and the
    titles of their reports. For: a group whose members trust each other's words."""

    data_url: str | None = setting(
        None, ValueKind(take.filled, "the URL or folder that has a task's shards, in quotes")
    )
    """Where a task's shards are fetched from instead of its own place: a URL or a folder. For:
    somebody behind a firewall, or with the shards on a disk of their own."""

    gpus: tuple[str, ...] = setting(
        (),
        ValueKind(take.words, 'NVIDIA cards by number, UUID or class: ["0"]'),
        Flag("The NVIDIA cards to use, like 0,1 (default: all of a class).", metavar="LIST"),
    )
    """The NVIDIA cards to use for tasks whose budget is time, by number, UUID or class: `["0",
    "2"]`. None named: the class with most cards, of as many the one with most memory; one that is
    not there is refused at the start. Cards of one class share a node; for another class start
    another node with an `ARNODE_HOME` of its own. For: somebody who shares a machine with several
    cards, or owns cards of two kinds."""

    lanes: int | Literal["auto"] = setting(
        "auto",
        ValueKind(take.auto_or_count, '"auto" or a whole number from 1'),
        Flag("How many runs work at once on the CPU (default: auto).", metavar="N|auto"),
    )
    """How many runs work at once on the CPU, where a task has a budget of tokens: `"auto"`, as
    many as there are cores and memory for; or a number, no larger than that of the cores. Other
    work on the machine has priority. With `ray`: how many lanes are asked of the cluster,
    `"auto"` for one on each of its cores or cards. For: somebody who wants cores left for other
    work."""

    stop_early: bool = setting(False, _SWITCH)
    """Whether a first run is stopped whose printed loss foretells, by those of twenty runs before,
    that it will not pass; one in twenty goes on all the same, and `report` says what that costs.
    For: somebody whose runs take minutes and print their loss."""

    battery: str = setting(
        "auto",
        _one_of("auto", "rest", "work"),
        Flag("What to do while the machine runs on its battery (default: auto).", metavar="HOW"),
    )
    """What to do while the machine runs on battery: `"work"`; `"rest"`, once the run at hand has
    ended, until it is charged; or `"auto"`, which is to rest where they are a card's. For:
    somebody who works on a laptop."""

    web: str = setting(
        "auto",
        ValueKind(take.page_address, 'an address like "127.0.0.1:7842", "auto" or "none"'),
        Flag("Where the page in the browser is (default: auto).", metavar="ADDRESS|auto|none"),
    )
    """Where the page in the browser and the API are served: `"127.0.0.1:7842"`; `"auto"`, there or
    at a free port where that is taken; or `"none"`. At another address than 127.0.0.1 others on the
    network can reach it, with a token, over a connection that everybody between can read. For:
    somebody who looks from another machine, or wants no page."""

    max_experiments: int | None = setting(None, _COUNT, Flag("Stop after so many experiments."))
    """Stop a session after so many experiments. For: a script, or somebody who tries arnode out."""

    ray: str | None = setting(
        None,
        ValueKind(take.ray_address, 'an address like "10.0.0.1:6379", "auto" or "local"'),
        Flag("Measure on the machines of your own Ray cluster.", metavar="ADDR|auto|local"),
    )
    """A [Ray cluster](fleet.md) of your own whose machines measure in place of this one, a lane for
    each core or card: its head's address, like `10.0.0.1:6379`; `auto` for the one on this machine;
    `local` for one that this node starts for itself. With `lanes` there are as many as you say.
    For: a lab with a Ray cluster."""

    ray_token: str | None = setting(
        None, ValueKind(take.filled, "the path of a file that you alone can read, in quotes")
    )
    """Where the token lies that lets a machine into a Ray cluster; nothing: `ray-token` in the
    home. For: a lab whose administrator hands the token out."""

    lane_hosts: tuple[str, ...] = setting(
        (),
        ValueKind(take.lane_hosts, 'machines with how many lanes each: ["gpu1", "gpu2:4"]'),
        Flag(
            "Measure on another machine by ssh (or here), on N lanes; more than once.",
            metavar="HOST[:N]",
            is_repeated=True,
            option="--lane",
        ),
    )
    """Machines of your own that measure, reached by `ssh`, with how many lanes each has:
    `["here:2", "gpu1", "gpu2:4"]`; `here` is this one. See [your other machines](fleet.md). For:
    somebody with a few machines and `ssh`."""

    lane_command: tuple[str, ...] = setting(
        ("arnode", "lane"), ValueKind(take.argv, 'a command as a list: ["arnode", "lane"]')
    )
    """The command that is a lane on those machines, a word each, where `arnode` is not on their
    `PATH`: `["/opt/arnode/bin/arnode", "lane"]`. For: somebody whose other machines have arnode
    in a virtual environment."""

    max_watts: int | None = setting(
        None,
        ValueKind(take.count, "a whole number of watts"),
        Flag("Let each NVIDIA card draw no more than this."),
    )
    """The power limit of each NVIDIA card while the node runs, at most; takes root. The former
    limit is set again when it stops, or at the next start after a kill (`power-limits.json` in the
    home). A limit that is lower already stays. For: somebody with a hot room or a small power
    supply."""

    checkpoint_hours: float = setting(
        12.0, ValueKind(take.number(lambda hours: 0 < hours <= 8760), "a number of hours above 0")
    )
    """Judge the working line at the latest so many hours after the last checkpoint. For: somebody
    who wants a verified head at a certain time of the day."""

    max_records: int = setting(2_000_000, _COUNT)
    """Keep at most so many records (1.6 KB each); beyond that the oldest records of the largest
    author are dropped. Own records always stay. For: somebody with a small disk, or an archive
    to keep."""

    peer_code: str = setting("all", _one_of("none", "friends", "all"))
    """Whose code this node runs, to try their best sources and patches and to re-run their
    claims: `"all"`, `"friends"` (`arnode friends add`) or `"none"`. For: somebody who trusts no
    stranger's code, however confined."""

    friends: str = setting("", ValueKind(take.fleet, f'"{FLEET}KEY", with the key of its owner'))
    """Your other nodes, which only meet over the internet: `"fleet:KEY"`, by the key that signs the
    list of them, see [Your other machines](fleet.md#nodes-that-only-meet-over-the-internet). For:
    somebody with machines in several places."""

    listen: tuple[str, ...] = setting(
        (),
        ValueKind(take.sockets, 'addresses to listen on: ["/ip4/0.0.0.0/tcp/4001"]'),
        Flag("Where to listen, like /ip4/0.0.0.0/tcp/4001.", metavar="ADDR", is_repeated=True),
    )
    """Addresses to listen on for peers, `["/ip4/0.0.0.0/tcp/4001"]`; none: port 4001 on all IPv4
    addresses, or a free one where that is taken. A free one, also of `tcp/0`, is kept over
    restarts. For: somebody who opened a port in a firewall or router."""

    mdns: bool = setting(True, _SWITCH)
    """Whether to find nodes of the same network on the local network, and be found there, by
    multicast DNS. What is announced is addresses under a hash of the network's name and secret.
    For: somebody on a network where nothing may be announced."""

    dht: bool = setting(True, _SWITCH)
    """Whether to find nodes of a network by libp2p's public DHT, and be found there at its public
    addresses, where the network's definition names servers of it. Never of a private network. For:
    somebody who wants no server of others asked."""

    ladder: int | None = setting(
        None,
        _COUNT,
        Flag("Share the time with so many rungs below the task.", metavar="RUNGS"),
    )
    """How many of the [rungs below](writing-a-task.md#a-ladder-of-scales) the task have a share of
    this node's time, and their finds a try on the task; nothing: none. For: somebody whose task is
    a large one with smaller ones like it."""

    peer_share: float = setting(
        0.25, ValueKind(take.number(lambda share: 0 <= share <= 1), "a number from 0 to 1")
    )
    """The share of runs that go to others' patches and claims, beyond catching up with the best.
    For: somebody whose machine is there to verify for others, or only to search."""

    allow_partial_sandbox: bool = setting(
        False, _SWITCH, Flag("Run own experiments where only a weaker sandbox can be had.")
    )
    """Run your own experiments where only a weaker sandbox can be had: tier partial, see the
    [threat model](threat-model.md). For: somebody on a system without namespaces, with code of
    their own."""

    peers_in_container: bool = setting(False, _SWITCH)
    """Run others' code where only tier container can be had: no namespaces, a user and a filter per
    run, see the [threat model](threat-model.md). For: a rented container where namespaces are
    forbidden."""

    quiet_minutes: float = setting(
        3.0, ValueKind(take.number(lambda span: 0 <= span < 1e6), "a number of minutes from 0")
    )
    """How long a run that others on this machine disturbed may wait for a quiet minute, to show
    that it is no slower than it may be; `0`: it ends as it stands. Other runs go on meanwhile, and
    after a wait in vain none waits until a run was left alone. For: somebody on a machine that
    others use, too."""

    fork: str = setting("all", _one_of("all", "own"))
    """Which sandboxes are forked from a process that has already imported torch, which takes
    milliseconds: `"all"`, or `"own"` for those of your own experiments alone. What is forked
    shares the layout of its memory with others, see the [threat model](threat-model.md). For:
    somebody who wants a stranger's memory laid out by chance each time."""

    notify: tuple[str, ...] = setting((), NOTIFY)
    """Where one short message goes when there is a new verified head, a claim of yours is refuted,
    the node ends by itself or the disk fills up: `["ntfy:https://ntfy.example.org/TOPIC",
    "webhook:https://example.org/hook", "command:/home/me/tell --now"]`. A webhook is sent JSON, a
    command gets it on its standard input. At most one message of a kind in ten minutes, and 20 a
    day; what was held back is counted in the next one. For: somebody who is away while it runs."""


SETTINGS = settings_of(Config)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The configuration and, per key, where its value came from."""

    config: Config
    origins: Mapping[str, str]


def load_config(
    path: Path, *, env: Mapping[str, str], flags: Mapping[str, Given | Path] | None = None
) -> Settings:
    """Return the settings in force. Flags that are None or name nothing were not given."""
    values: dict[str, Any] = {}
    origins = dict.fromkeys(SETTINGS, "default")
    layers = (
        *((name, value, str(path)) for name, value in _from_file(path).items()),
        *((name, value, SETTINGS[name].variable) for name, value in _from_env(env).items()),
        *((name, value, SETTINGS[name].option) for name, value in _from_flags(flags or {})),
    )
    for name, value, where in layers:
        values[name] = _checked(name, value, where)
        origins[name] = where
    return Settings(config=Config(**values), origins=origins)


def config_of(home: Home, flags: Mapping[str, Given | Path] | None = None) -> Config:
    """Return the settings in force for a home in this process, with its own environment."""
    return load_config(home.config, env=os.environ, flags=flags).config


def _from_file(path: Path) -> dict[str, Given]:
    with explaining_faults(path):
        try:
            text = path.read_bytes().decode("utf-8")
        except (FileNotFoundError, NotADirectoryError):  # a home that is no folder is told later
            return {}
        except IsADirectoryError as fault:
            raise ConfigurationError(f"{path} is a folder", "move it away") from fault
        except UnicodeDecodeError as fault:
            raise ConfigurationError(
                f"{path} is not UTF-8 text (byte {fault.start})", "save it as UTF-8"
            ) from fault
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise ConfigurationError(
            f"{path}: {fault}", 'mend that line; values need quotes: task = "tiny"'
        ) from fault
    for name in table:
        if name not in SETTINGS:
            raise ConfigurationError(
                f"{path}, line {_line_of(name, text)}: unknown key `{name}`", _nearest_hint(name)
            )
    return table


def _from_env(env: Mapping[str, str]) -> dict[str, Given]:
    found: dict[str, Given] = {}
    for variable, value in sorted(env.items()):
        name = variable.removeprefix(VARIABLES)
        if name == variable or name in _NOT_SETTINGS:
            continue
        if name.lower() in SETTINGS:
            found[name.lower()] = value
        elif difflib.get_close_matches(name.lower(), SETTINGS, 1, NEAR):
            raise ConfigurationError(f"unknown variable {variable}", _nearest_hint(name.lower()))
    return found


def _from_flags(flags: Mapping[str, Given | Path]) -> Iterator[tuple[str, Given]]:
    for name, value in flags.items():
        if value not in (None, ()):
            yield name, str(value) if isinstance(value, Path) else value


def _checked(name: str, value: Given, where: str) -> Any:
    kind = SETTINGS[name].kind
    try:
        return kind.read(value)
    except take.WrongWordError as fault:
        raise ConfigurationError(
            f"{where}: `{name}`: {fault}", f"`{name}` takes {kind.wanted}"
        ) from fault
    except (KeyError, TypeError, ValueError) as fault:
        raise ConfigurationError(
            f"{where}: `{name}` is {value!r}", f"`{name}` takes {kind.wanted}"
        ) from fault


def _nearest_hint(name: str) -> str:
    near = difflib.get_close_matches(name, SETTINGS, 1, 0.0)
    return f"did you mean `{near[0]}`? Known keys: {', '.join(SETTINGS)}"


def _line_of(name: str, text: str) -> int:
    pattern = re.compile(rf"\s*\[*\s*[\"']?{re.escape(name)}\b")
    lines = enumerate(text.splitlines(), 1)
    return next((number for number, line in lines if pattern.match(line)), 1)
