"""The user's settings: what each is for, its default and its limits.

One frozen dataclass defines them all. Its fields are the keys of the file, the names of the
environment variables and, with dashes, the flags. `node.home.settings_in_force` reads these.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from node.home import agents
from node.home import values as take
from node.home.addresses import EXAMPLE
from node.home.fleet import FLEET
from node.home.notify import NOTIFY
from node.home.setting import Flag, ValueKind, setting, settings_of
from node.home.values import NAME_LIMIT

_AMOUNT = take.number(lambda amount: 0 <= amount < 1e6)
_COUNT = ValueKind(take.count, "a whole number from 1")
_SECONDS = ValueKind(take.number(lambda span: 0 < span < 1e6), "a number of seconds above 0")
_SWITCH = ValueKind(take.switch, "true or false")


def _one_of(*words: str) -> ValueKind[str]:
    return ValueKind(take.one_of(*words), f"one of {', '.join(words)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings: their defaults, accepted values, meanings, and flags if they have one."""

    task: str = setting(
        "auto",
        ValueKind(take.filled, "a task's name or folder, in quotes"),
        Flag("A task's name or folder (default: tiny; nanochat with a usable NVIDIA card)."),
    )
    """The task to work on: a built-in task's name (`arnode task list`) or a folder with a
    `task.toml`. `auto`: `nanochat` if an NVIDIA card passed its self-test, else `tiny`."""

    text: str | None = setting(
        None,
        ValueKind(take.filled, "the path of a text file, in quotes"),
        Flag("Work on this file or folder of text instead.", type=Path),
    )
    """A text file or a folder of text to work on. It overrides `task`, but not the flag
    `--task`."""

    net: str = setting(
        "main",
        ValueKind(
            take.net,
            "a network's name: a-z, 0-9 and -, at most 48; for no network: `online = false`",
        ),
        Flag(
            "The network to join from now on; none: offline this time.",
            metavar="NAME|none",
            type=take.network_typed,
            option="--network",
        ),
    )
    """The network in use. New records carry its name. `arnode network join LINE` and `arnode start
    --network NAME` set it."""

    online: bool | None = setting(None, _SWITCH)
    """Connect to the network: `true` or `false`. Unset: `arnode start` asks once and stores the
    answer here. For scripts, and machines where nobody can be asked."""

    bootstrap: tuple[str, ...] = setting(
        (),
        ValueKind(take.addresses, f'addresses: ["{EXAMPLE}"], in a variable separated by commas'),
        Flag("A first peer to connect to; repeat for several.", metavar="ADDR", is_repeated=True),
    )
    """Addresses of first peers, in addition to the network's own:
    `["/ip4/192.0.2.1/tcp/4001/p2p/12D3Koo…"]`; separated by commas in `ARNODE_BOOTSTRAP`."""

    name: str = setting(
        "",
        ValueKind(take.short_name, f"text of at most {NAME_LIMIT} printable characters, in quotes"),
        Flag("The name shown in this node's records (default: from its key)."),
    )
    """The name in this node's records, at most 64 characters. Empty: `node-` and the start of its
    key, never the host's name."""

    agent: tuple[str, ...] = setting(
        ("search",),
        agents.AGENT,
        Flag(agents.HELP, metavar=agents.METAVAR, is_repeated=True),
    )
    """The proposer: the built-in search (`search`), a model, a coding agent or `none`, such as
    `agent = "claude"` ([all values](llm.md#who-proposes)), or [several](llm.md#several-at-once).
    The built-in search proposes while a model or agent has no proposal."""

    approve: str = setting(
        "off",
        ValueKind(take.approval, '"off", "wait", a time span like "30m", or "30m:skip"'),
        Flag(
            "Run no proposal before you approve it. Without an answer it runs after SPAN, or is "
            "dropped with SPAN:skip. Peers' claims keep their own rules.",
            metavar="[wait|SPAN|SPAN:skip]",
            bare="wait",
        ),
    )
    """[Which proposals wait for your approval](llm.md#approve-proposals) (`arnode approve`), of the
    built-in search too: `"off"`: none; `"wait"`: all, until you answer; `"30m"`: all, but they run
    after 30 minutes without an answer; `"30m:skip"`: they are dropped then. Spans have one unit:
    `s`, `m`, `h` or `d`. Peers' claims, transfers and submitted sources never wait."""

    planner: str | None = setting(None, agents.MODEL)
    """A language model, named as in `agent`. After every 12 experiments it writes what models and
    coding agents should aim at ([Roles](llm.md#roles))."""

    reviewer: str | None = setting(None, agents.MODEL)
    """A language model, named as in `agent`, that chooses which of three proposals of a model is
    run ([Roles](llm.md#roles)). Unset: a model writes one proposal. For runs that cost
    more than three proposals."""

    device_hour_usd: float | None = setting(
        None, ValueKind(take.number(lambda usd: 0 < usd < 1e6), "USD above 0")
    )
    """The value of an hour of the device in USD. If set, the cost of proposals also decides how
    several proposers share the experiments. For rented cards with paid models."""

    llm_url: str | None = setting(
        None,
        ValueKind(
            take.url, "the URL of an OpenAI-compatible server, like http://127.0.0.1:8080/v1"
        ),
    )
    """The URL of an OpenAI-compatible server with the model."""

    llm_key: str | None = setting(
        None,
        ValueKind(
            take.variable, "the name of the variable that holds the API key, never the key itself"
        ),
    )
    """The name of the environment variable with the API key, never the key itself. Unset: the
    provider's usual variable, such as `OPENAI_API_KEY`; no key for a server in `llm_url`."""

    llm_usd_in: float | None = setting(
        None, ValueKind(_AMOUNT, "USD for a million tokens of a prompt")
    )
    """USD per million prompt tokens, if arnode does not know the price of a model, or if a coding
    agent reports only tokens."""

    llm_usd_out: float | None = setting(
        None, ValueKind(_AMOUNT, "USD for a million tokens of an answer")
    )
    """USD per million answer tokens, like `llm_usd_in`."""

    llm_context: int | None = setting(
        None, ValueKind(take.count, "the context length of the model in tokens")
    )
    """The model's context in tokens, if arnode does not know it."""

    llm_answer: int = setting(
        8192, ValueKind(take.count, "the maximum length of an answer in tokens")
    )
    """The most tokens that an answer may have, reasoning included."""

    llm_timeout_s: float = setting(300.0, _SECONDS)
    """The most seconds that an answer may take."""

    usd_per_day: float = setting(
        5.0, ValueKind(_AMOUNT, "USD that models may cost a day (UTC); 0: free models only")
    )
    """The most USD that models and coding agents may cost in a day (UTC). A question to a
    model, or a visit of a coding agent, that could exceed it does not start."""

    tokens_per_day: int | None = setting(None, _COUNT)
    """The most tokens that models may read and write in a day."""

    calls_per_day: int | None = setting(None, _COUNT)
    """The most questions to models in a day. A call of a coding agent (a visit) counts as one."""

    visits_per_day: int = setting(50, _COUNT)
    """The most proposals by coding agents in a day. It also limits an agent with a
    subscription, which reports no cost per token."""

    agent_command: tuple[str, ...] = setting(
        (), ValueKind(take.argv, 'a command as a list: ["my-agent", "--file", "{prompt_file}"]')
    )
    """The command of your own coding agent as a list: `["my-agent", "--file", "{prompt_file}"]`;
    `{prompt}` and `{folder}` are replaced too."""

    agent_folders: tuple[str, ...] = setting(
        (), ValueKind(take.words, 'folders of the home that the command needs: ["~/.claude"]')
    )
    """Paths in your home folder that a coding agent can read and change, like its log-in data."""

    agent_variables: tuple[str, ...] = setting(
        (), ValueKind(take.words, 'names of variables that the command needs: ["LANG"]')
    )
    """Environment variables that a coding agent gets."""

    agent_limit_s: float = setting(900.0, _SECONDS)
    """The most seconds that a coding agent may take for one proposal."""

    agent_usd: float = setting(
        1.0, ValueKind(_AMOUNT, "USD that one proposal of a coding agent may cost; 0 if it is free")
    )
    """The most USD that a coding agent may cost for one proposal. It is reserved before the agent
    starts, and charged if the agent reports no cost. `0`: the agent is not paid by the token."""

    peer_texts: bool = setting(False, _SWITCH)
    """Show models what peers wrote about patches that this node did not measure, and the titles of
    peers' reports. For groups whose members trust each other's texts."""

    data_url: str | None = setting(
        None, ValueKind(take.filled, "the URL or folder that has a task's shards, in quotes")
    )
    """A URL or folder to fetch a task's shards from, instead of the task's source."""

    gpus: tuple[str, ...] = setting(
        (),
        ValueKind(take.cards, 'NVIDIA cards by number, UUID or class: ["0"]'),
        Flag("The NVIDIA cards to use, like 0,1 (default: all of a class).", metavar="LIST"),
    )
    """The NVIDIA cards for tasks with a time budget, by number, UUID or class: `["0", "2"]`. Unset:
    all cards of the class with the most cards; if two classes have as many, the class with more
    memory. A missing card is an error at the start. For another class, start a node with its own
    `ARNODE_HOME`."""

    lanes: int | Literal["auto"] = setting(
        "auto",
        ValueKind(take.auto_or_count, '"auto" or a whole number from 1'),
        Flag("How many runs use the CPU at once (default: auto).", metavar="N|auto"),
    )
    """How many runs work at once on the CPU in tasks with a token budget: `"auto"` (as cores and
    memory allow) or a number up to the number of cores. Other work on the machine has priority.
    With `ray`: how many lanes to use in the cluster, `"auto"` for one per core or card."""

    stop_early: bool = setting(False, _SWITCH)
    """Stop a screen if its printed loss predicts, from at least twenty earlier runs, that it will
    not pass. One in twenty of these screens continues, so that `report` can show what stopping
    costs. For runs that take minutes and print their loss."""

    battery: str = setting(
        "auto",
        _one_of("auto", "rest", "work"),
        Flag("What to do while the machine runs on its battery (default: auto).", metavar="HOW"),
    )
    """On battery power: `"work"` continues; `"rest"` pauses after the current run until the battery
    charges; `"auto"` rests if runs use a card."""

    web: str = setting(
        "auto",
        ValueKind(take.page_address, 'an address like "127.0.0.1:7842", "auto" or "none"'),
        Flag(
            "The address of the page in the browser (default: auto).", metavar="ADDRESS|auto|none"
        ),
    )
    """The address of the page and the API: `"127.0.0.1:7842"`; `"auto"`: this address, or a free
    port; or `"none"`. Any other address can be reached from the network, with a token,
    unencrypted."""

    max_experiments: int | None = setting(None, _COUNT, Flag("Stop after this many experiments."))
    """Stop a session after this many experiments."""

    ray: str | None = setting(
        None,
        ValueKind(take.ray_address, 'an address like "10.0.0.1:6379", "auto" or "local"'),
        Flag("Make runs on the machines of your Ray cluster.", metavar="ADDR|auto|local"),
    )
    """Your [Ray cluster](fleet.md#with-ray), whose machines make the runs instead of this one: the
    address of its head node, such as `10.0.0.1:6379`; `auto`: the cluster that runs on this
    machine; `local`: start one."""

    ray_token: str | None = setting(
        None, ValueKind(take.filled, "the path of a file that only you can read, in quotes")
    )
    """The file with the token that lets a machine join a Ray cluster. Unset: `ray-token` in the
    home."""

    lane_hosts: tuple[str, ...] = setting(
        (),
        ValueKind(take.lane_hosts, 'machines with their number of lanes: ["gpu1", "gpu2:4"]'),
        Flag(
            "Make runs on N lanes of a machine, by ssh (or here); repeat for several.",
            metavar="HOST[:N]",
            is_repeated=True,
            option="--lane",
        ),
    )
    """Your machines that make runs, reached by `ssh`, with their number of lanes: `["here:2",
    "gpu1", "gpu2:4"]`; `here` is this one. See [your other machines](fleet.md)."""

    lane_command: tuple[str, ...] = setting(
        ("arnode", "worker", "lane"),
        ValueKind(take.argv, 'a command as a list: ["arnode", "worker", "lane"]'),
    )
    """The command that starts a lane on `lane_hosts`, if `arnode` is not on their `PATH`:
    `["/opt/arnode/bin/arnode", "worker", "lane"]`."""

    max_watts: int | None = setting(
        None,
        ValueKind(take.count, "a whole number of watts"),
        Flag("The power limit of each NVIDIA card."),
    )
    """The power limit of each NVIDIA card while the node runs; needs root. The old limit is
    restored when it stops, or at the next start after a kill (`power-limits.json` in the home). A
    limit that is lower already is not changed."""

    promotion_trial_hours: float = setting(
        12.0, ValueKind(take.number(lambda hours: 0 < hours <= 8760), "a number of hours above 0")
    )
    """Start a promotion trial of the working line at most this many hours after the last one."""

    max_records: int = setting(2_000_000, _COUNT)
    """The most records to store (1.6 KB each). Above this number the oldest records of the
    author with the most records are dropped, never your own."""

    peer_code: str = setting("all", _one_of("none", "friends", "all"))
    """The peers whose code this node runs, to try their best sources and patches and to re-run
    their claims: `"all"`, `"friends"` (`arnode network friends add`) or `"none"`."""

    friends: str = setting("", ValueKind(take.fleet, f'"{FLEET}KEY", with the key of its owner'))
    """Your other nodes that are connected only over the internet: `"fleet:KEY"`, with the key that
    signs their list ([how](fleet.md#nodes-that-only-meet-over-the-internet))."""

    listen: tuple[str, ...] = setting(
        (),
        ValueKind(take.sockets, 'addresses to listen on: ["/ip4/0.0.0.0/tcp/4001"]'),
        Flag("Where to listen, like /ip4/0.0.0.0/tcp/4001.", metavar="ADDR", is_repeated=True),
    )
    """Addresses to listen on for peers: `["/ip4/0.0.0.0/tcp/4001"]`. Unset: port 4001 on all IPv4
    addresses, or a free port if that is taken. The node uses the same free port after a restart,
    also for `tcp/0`."""

    mdns: bool = setting(True, _SWITCH)
    """Find nodes of the same network on the local network, and be found, by multicast DNS. It
    announces addresses under a hash of the network's name and secret."""

    dht: bool = setting(True, _SWITCH)
    """Find nodes by libp2p's public DHT, and be found at public addresses, if the network's
    definition names DHT servers. Never for a private network."""

    ladder: int | None = setting(
        None,
        _COUNT,
        Flag("Share the time with this many rungs below the task.", metavar="RUNGS"),
    )
    """How many of the [rungs below](writing-a-task.md#a-ladder-of-scales) the task share this
    node's time. Unset: none."""

    peer_share: float = setting(
        0.25, ValueKind(take.number(lambda share: 0 <= share <= 1), "a number from 0 to 1")
    )
    """The share of runs for peers' patches and claims, not counting trials of a peer's best
    source. A node without ideas of its own spends more, unless this is `0`. Change it on machines
    that should mainly verify, or only search."""

    allow_partial_sandbox: bool = setting(
        False, _SWITCH, Flag("Run your own experiments even if only a weaker sandbox is available.")
    )
    """Run your own experiments if only sandbox tier partial is available
    ([tiers](threat-model.md#weaker-sandboxes))."""

    peers_in_container: bool = setting(False, _SWITCH)
    """Run peers' code if only sandbox tier container is available
    ([tiers](threat-model.md#weaker-sandboxes))."""

    quiet_minutes: float = setting(
        3.0, ValueKind(take.number(lambda span: 0 <= span < 1e6), "a number of minutes from 0")
    )
    """A run that is too slow because of other programs is repeated once the machine is idle. It
    waits at most this many minutes; `0`: it counts as too slow. Other runs continue meanwhile."""

    fork: str = setting("all", _one_of("all", "own"))
    """Which sandboxes are forked from a process that has already imported torch: `"all"`, or
    `"own"` for your own experiments only ([forks](threat-model.md#forks))."""

    notify: tuple[str, ...] = setting((), NOTIFY)
    """Where [short messages](service.md#notifications) are sent when there is a new verified head,
    a claim of yours is refuted, a proposal waits for you, the node stops by itself or the disk
    fills up:
    `["ntfy:https://ntfy.example.org/TOPIC", "webhook:https://example.org/hook",
    "command:/home/me/tell --now"]`."""


SETTINGS = settings_of(Config)
