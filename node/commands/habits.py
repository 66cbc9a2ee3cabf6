"""Words of other tools and what they are here, for hints on wrong command lines.

No answer suggests to start, stop or change something that was not asked for.
"""

from collections.abc import Mapping, Sequence


def _rows(commands: str, words: str, answer: str) -> dict[str, str]:
    """Return the answer to each of these words after each of these commands, or after none."""
    return {
        f"{command} {word}".strip(): answer
        for command in commands.split(",")
        for word in words.split()
    }


# What people call things, and the commands that show or explain them.
MEANT: Mapping[str, str] = {
    **dict.fromkeys(("settings", "setting", "configure", "options"), "home config show"),
    **dict.fromkeys(("cost", "costs", "usage", "budget", "money"), "agent spending"),
    **dict.fromkeys(("model", "models", "llm", "proposer", "proposers"), "agent"),
    **dict.fromkeys(("node", "nodes", "peer", "people", "swarm"), "network peers"),
    **dict.fromkeys(("list", "results", "trials", "experiments", "runs"), "log"),
    **dict.fromkeys(("progress", "info", "ps", "top"), "status"),
    **dict.fromkeys(("code", "source", "cat"), "head"),
    **dict.fromkeys(("web", "open", "gui", "page", "attach", "watch"), "view"),
    **dict.fromkeys(("tasks", "problems"), "task list"),
    **dict.fromkeys(("machines", "hosts", "lanes", "cluster"), "worker"),
    **dict.fromkeys(("whoami", "id"), "home key show"),
    **dict.fromkeys(("files", "where", "folder"), "home paths"),
    **dict.fromkeys(("board", "ranking", "scores", "scoreboard"), "leaderboard"),
    **dict.fromkeys(("quit", "exit", "kill", "down", "disable", "cancel", "abort"), "help stop"),
    **dict.fromkeys(("up", "launch", "begin", "enable", "serve"), "help start"),
    **dict.fromkeys(("train", "sweep", "tune", "search", "optimize"), "help start"),
    **dict.fromkeys(("rerun", "reproduce", "audit", "validate"), "help verify"),
    **dict.fromkeys(("tutorial", "quickstart", "example", "examples"), "help demo"),
    **dict.fromkeys(("describe", "inspect", "get"), "show"),
}
# Answers to a word or an option after a command; to an option alone, after any command.
ANSWERS: Mapping[str, str] = {
    **_rows(
        "", "delete rm remove reset",
        "records stay; `arnode help head` says how to go back, `arnode home paths` where files are",
    ),
    **_rows(
        "", "clean clear cleanup prune",
        "records stay; `arnode help home gc` says which files can go",
    ),
    **_rows(
        "", "uninstall",
        "remove the program as you installed it; `arnode home paths` shows the files that stay",
    ),
    **_rows(
        "", "undo revert rollback checkout",
        "see `arnode help head`: --undo returns to the head before, --drop takes a patch out",
    ),
    **_rows(
        "", "gpu gpus card cards cuda device devices",
        "`arnode doctor` shows the cards; `--gpus` of `start` chooses which to use",
    ),
    **_rows(
        "", "retry redo",
        "interrupted runs are repeated anyway; see `arnode help verify` on re-runs of claims",
    ),
    **_rows(
        "", "share publish",
        "a node in a network publishes by itself; see `arnode help export` on files for others",
    ),
    **_rows(
        "", "docs doc documentation manual man",
        "`arnode help` explains commands and terms, such as `arnode help working line`",
    ),
    **_rows(
        "", "edit",
        "`arnode head > train.py` writes the head; `arnode help try` says how to measure your edit",
    ),
    **_rows(
        "", "login logout signup register account",
        "there are no accounts: `arnode home key show` shows this node's key",
    ),
    **_rows(
        "", "init",
        "nothing needs to be set up; `arnode task init` makes a task of a program of yours",
    ),
    **_rows(
        "", "logs",
        "`arnode log` lists experiments, `arnode home logs` shows the node's own log",
    ),
    **_rows(
        "", "check",
        "`arnode verify ID` re-runs a claim, with `--check-only` it runs nothing; `arnode task "
        "check NAME` checks a task",
    ),
    **_rows(
        "", "join",
        "with an invite see `arnode help network join`; `arnode start --network NAME --yes` joins "
        "a network that `arnode network show` lists",
    ),
    **_rows(
        "", "--home --data-dir --state-dir --fresh --reset",
        "the variable ARNODE_HOME names the home: with `ARNODE_HOME=DIR arnode start` a new "
        "folder begins from the baseline",
    ),
    **_rows("", "restart", "`start` resumes what `stop` ended: see `arnode help stop`"),
    **_rows(
        "", "commit add submit apply stage",
        "`arnode help try` says how an edit of yours is measured and recorded",
    ),
    **_rows(
        "", "push pull fetch clone sync",
        "a running node exchanges records by itself: see `arnode help network`",
    ),
    **_rows("", "upgrade update self", "install the new version as you installed this one"),
    **_rows(
        "", "-f -w --follow --watch",
        "`arnode view` shows a running node live; `arnode home logs -f` follows its log",
    ),
    **_rows(
        "task", "new create make add",
        "such as `arnode task init --target train.py --eval 'python train.py' --metric loss`",
    ),
    **_rows(
        "task", "rm delete remove clear uninstall",
        "built-in tasks stay; a task of your own is a folder, which you may delete",
    ),
    **_rows(
        "network", "leave rm remove delete disconnect",
        "the setting `online = false` keeps it offline: see `arnode help home config set`",
    ),
    **_rows("network", "add connect", "see `arnode help network join`"),
    **_rows(
        "start", "-d --daemon --detach --background -b",
        "`nohup arnode start &` runs it in the background, `arnode stop` ends it",
    ),
    **_rows("start", "--resume --continue resume continue", "plain `arnode start` resumes"),
    **_rows(
        "start", "--device --devices --gpu --cuda",
        "`--gpus 0,1` chooses cards by number; `arnode doctor` shows them",
    ),
    **_rows(
        "start", "--cpu --no-gpu --no-cuda",
        "the task decides: tasks with a budget of tokens, such as tiny, run on the CPU",
    ),
    **_rows(
        "start", "--steps --epochs --iterations --timeout --time-limit",
        "the task limits each run (see `arnode task show NAME`); `--for 1h` limits the session",
    ),
    **_rows(
        "run,try,compare,verify", "--timeout --time-limit",
        "the task limits each run: see `arnode task show NAME`",
    ),
    **_rows(
        "start", "--seed --seeds",
        "each run draws a new seed; `arnode help run` says how to measure with your own",
    ),
    **_rows("report", "--html --md --markdown html", "`--format html` and `--format md` choose"),
    **_rows(
        "start", "--offline --no-network",
        "`--network none` keeps this session offline, the setting `online = false` all later ones",
    ),
    **_rows("start", "--port -p", "the page's address: `arnode start --web 127.0.0.1:8080`"),
    **_rows(
        "view", "--port -p",
        "the page's address: `arnode view --web 127.0.0.1:8080`, or of a node's page "
        "`arnode start --web 127.0.0.1:8080`",
    ),
    **_rows(
        "stop", "-a --all all it node",
        "plain `arnode stop` stops the node of this home",
    ),
    **_rows(
        "stop", "-f --force --now --kill now",
        "it lets the current run end; Ctrl-C twice where the node was started stops at once",
    ),
    **_rows(
        "demo", "stop quit end status",
        "the demo ends by itself and stops its nodes; Ctrl-C ends it earlier",
    ),
    **_rows("verify", "-a --all", "it re-runs one claim: `arnode leaderboard` lists ids"),
    **_rows(
        "doctor", "--fix --repair fix repair",
        "it only reports: `arnode help home fsck` says how to check and fix the home",
    ),
    **_rows("worker", "add list", "`--lane HOST` adds a machine: see `arnode help start`"),
    **_rows("log", "latest last newest recent", "plain `arnode log` lists the newest first"),
    **_rows("log", "tasks task", "see `arnode task list`"),
    **_rows("leaderboard", "-a --all all", "`--top N` shows more rows"),
    **_rows("show", "--diff --patch -p --stat", "`arnode diff ID` prints the diff alone"),
    **_rows(
        "show,log,diff", "--code --source --src --program --full --files",
        "`arnode diff ID` prints what the experiment changed, `arnode export experiment ID DIR` "
        "writes its whole program",
    ),
    **_rows(
        "export", "-o --output --out --file",
        "`arnode head > FILE` writes the verified head's program, `arnode head --working > FILE` "
        "the working line's, `arnode export experiment ID DIR` that of an experiment",
    ),
    **_rows(
        "head", "--diff --patch -p --stat",
        "`arnode diff ID` prints an experiment's diff, "
        "`arnode export patch` that from the baseline to the head",
    ),
    **_rows(
        "log,show,status,leaderboard,report",
        "--csv --tsv --jsonl --format --output-format",
        "`arnode export results.tsv` and `arnode export jsonl` print all experiments",
    ),
    **_rows(
        "start", "--budget",
        "`--for 8h` limits the time, `--max-experiments 5` the experiments, and the setting "
        "`usd_per_day` what models may cost",
    ),
    **_rows(
        "start", "--max-cost --cost --max-usd --usd --usd-per-day --max-spend --spend --max-price",
        "a setting limits what models may cost a day: `arnode home config set usd_per_day 5`",
    ),
    **_rows(
        "", "--api-key --apikey --llm-key api-key apikey api_key llm-key llm_key",
        "export the provider's variable, such as OPENAI_API_KEY, or name another in the setting "
        "`llm_key`: see `arnode help home config set`",
    ),
    **_rows(
        "", "llm llms model models proposer proposers provider providers openai anthropic ollama",
        "`arnode help start` explains `--agent`, which names a model; the settings `llm_url` and "
        "`llm_key` name its server and the variable with its key",
    ),
    **_rows("show,diff,verify", "--id", "leave out --id: the id needs no option"),
    **_rows("log", "-a --all all", "`--limit N` lists more than the newest experiments"),
    **_rows("log", "--oneline", "leave it out: each experiment is one line"),
    **_rows("start", "--no-yes --no-confirm", "leave it out: without --yes you are asked"),
    **_rows("verify", "--device --gpu --gpus", "the setting `gpus` chooses the card"),
    **_rows(
        "start,run,try,demo", "python python3",
        "for a program of yours: `arnode task init --target FILE --eval 'python FILE' "
        "--metric NAME`",
    ),
    **_rows(
        "head,log,show,diff,report,leaderboard", "-o --output --out --file",
        "it prints: end the command with `> FILE`",
    ),
}  # fmt: skip
# The same commands in groups; the first one that the group has is meant.
MEANT_IN_GROUPS: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(("ls", "all", "list"), ("list", "show")),
    **dict.fromkeys(("new", "create", "make", "add"), ("init",)),
    **dict.fromkeys(("get", "describe", "info", "status", "cat"), ("show",)),
    **dict.fromkeys(("dir", "path", "files"), ("paths",)),
    "log": ("logs",),
}
# Options of other tools, and what they are called here.
MEANT_OPTIONS: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(
        ("--duration", "--time", "--max-time", "--budget", "--hours", "--minutes"),
        ("--for",),
    ),
    **dict.fromkeys(("--model", "--llm", "--proposer"), ("--agent",)),
    **dict.fromkeys(
        ("--gpu", "--gpus", "--device", "--devices", "--cuda", "--card", "--hardware"),
        ("--gpus", "--class"),
    ),
    **dict.fromkeys(("--max-runs", "--max-trials", "--max-iterations"), ("--max-experiments",)),
    **dict.fromkeys(("--workers", "--jobs", "-j"), ("--lanes",)),
    **dict.fromkeys(("--host", "--address"), ("--web",)),
    **dict.fromkeys(
        ("--trials", "--n-trials", "--runs", "-n", "--limit", "--top", "--last"),
        ("--limit", "--top", "--max-experiments"),
    ),
    **dict.fromkeys(("--tail", "--lines", "--count", "--max-count"), ("--limit", "--top")),
    **dict.fromkeys(("-t", "--name", "--problem"), ("--task",)),
    **dict.fromkeys(("--message", "--why", "--description"), ("-m",)),
    "-v": ("-V",),
    "-y": ("--yes",),
}
# Where the missing argument of a command is found.
FOUND_BY = {
    "ID": "`arnode log` lists ids",
    "ID|BUNDLE": "`arnode log` and `arnode leaderboard` list ids",
    "[ID]": "plain `arnode approve` lists the ids that it takes",
    "NAME": "`arnode task list` lists names",
    "LINE": "`arnode network invite` prints one on a node of the network",
}
# What `export` writes into a file with this suffix; into any other, `head` writes the source.
EXPORTED = {
    **dict.fromkeys((".csv", ".tsv"), "export results.tsv"),
    **dict.fromkeys((".json", ".jsonl"), "export jsonl"),
    **dict.fromkeys((".diff", ".patch"), "export patch"),
}
# Groups in which a name comes before the file, and what has that name, with the names for {}.
NAMED_FIRST = {
    "task import": "the system that it comes from: {}; for a program of your own: "
    "`arnode task init`",
    "import": "the tool that it comes from: {}",
    "export": "the format: {}; `arnode export experiment ID DIR` writes a program",
}
LOOKING = ("list", "get", "describe", "inspect", "info")
# Only these are suggested by name; of others the help is. A hint must not change anything.
HARMLESS = (
    "status", "view", "log", "show", "head", "task", "leaderboard", "doctor", "diff", "report",
    "network", "agent", "home", "worker", "help",
    "list", "paths", "path", "logs", "config", "key", "peers", "spending", "skill",
)  # fmt: skip
