"""The command line: light, helpful about mistakes, and true to its exit codes."""

import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from node.commands import cli
from node.commands.cli import main
from node.commands.table import COMMANDS, CommandEntry
from node.home.home import Home
from node.store.store import Store
from protocol.errors import ArnodeError
from tests.node.examples import BASELINE, BETTER, Notebook, patch_body, result_body, run
from tests.node.line_writers import with_baseline
from tests.tasks.sums import write_sums

HEAVY = ("torch", "litellm", "libp2p", "aiohttp", "numpy", "git", "rich", "trainer", "agent")
EVERYDAY = [
    "start", "stop", "status", "view", "log", "show", "head", "try", "task", "verify",
    "leaderboard", "demo",
]  # fmt: skip


@pytest.fixture(autouse=True)
def at_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    return home


def arnode(*words: str) -> int | str | None:
    """Run a command line in this process and return its exit code."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    return caught.value.code


def test_the_command_line_is_light() -> None:
    program = (
        "import sys, node.commands.cli\n"
        "try: node.commands.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(' '.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert "click" in loaded
    assert loaded.isdisjoint(HEAVY)


def all_entries() -> Iterator[tuple[str, CommandEntry]]:
    for name, entry in COMMANDS.items():
        yield name, entry
        yield from (entry.group or {}).items()


def test_every_command_of_the_table_is_there_with_help_for_itself() -> None:
    for name, entry in all_entries():
        command = entry.load(name)
        assert command.name == name
        assert command.help


def test_the_first_screen_has_twelve_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert arnode("--help") == 0
    lines = capsys.readouterr().out.splitlines()
    listed = [line.split()[0] for line in lines if line.strip() and line.split()[0] in COMMANDS]
    assert listed == EVERYDAY
    assert lines[-1] == "`arnode help --all` lists all commands."


def test_all_commands_are_listed_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    assert arnode("help", "--all") == 0
    lines = capsys.readouterr().out.splitlines()
    listed = [line.split()[0] for line in lines if line.strip() and line.split()[0] in COMMANDS]
    assert listed == list(COMMANDS)
    assert len(COMMANDS) <= 28


@pytest.mark.parametrize("words", [(), ("home", "config"), ("network",)])
def test_without_a_command_the_help_is_shown(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert arnode(*words) == 2
    assert capsys.readouterr().err.startswith("Usage: arnode")


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert arnode("--version") == 0
    assert capsys.readouterr().out.startswith("arnode ")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("lgo", "did you mean `arnode log`?"),
        ("staus", "did you mean `arnode status`?"),
        ("invite", "see `arnode help network invite`"),
        ("config", "see `arnode help home config`"),
        ("settings", "see `arnode home config show`"),
        ("cost", "see `arnode agent spending`"),
        ("nodes", "see `arnode network peers`"),
        ("trials", "see `arnode log`"),
        ("inspect", "see `arnode show`"),
        (
            "init",
            "nothing needs to be set up; `arnode task init` makes a task of a program of yours",
        ),
        ("logs", "`arnode log` lists experiments, `arnode home logs` shows the node's own log"),
        ("qqqq", "`arnode help --all` lists all commands"),
        ("login", "there are no accounts: `arnode home key show` shows this node's key"),
        ("restart", "`start` resumes what `stop` ended: see `arnode help stop`"),
        ("gpus", "`arnode doctor` shows the cards; `--gpus` of `start` chooses which to use"),
        (
            "retry",
            "interrupted runs are repeated anyway; see `arnode help verify` on re-runs of claims",
        ),
        ("etx", "`arnode help --all` lists all commands"),
        ("ehlp", "did you mean `arnode help`?"),
        ("clean", "records stay; `arnode help home gc` says which files can go"),
        (
            "uninstall",
            "remove the program as you installed it; `arnode home paths` shows the files that stay",
        ),
        (
            "share",
            (
                "a node in a network publishes by itself; see `arnode help export` on files for "
                "others"
            ),
        ),
        ("self", "install the new version as you installed this one"),
        (
            "docs",
            "`arnode help` explains commands and terms, such as `arnode help working line`",
        ),
        (
            "edit",
            (
                "`arnode head > train.py` writes the head; `arnode help try` says how to measure "
                "your edit"
            ),
        ),
        ("cancel", "see `arnode help stop`"),
        (
            "rm",
            (
                "records stay; `arnode help head` says how to go back, `arnode home paths` where "
                "files are"
            ),
        ),
        ("task ls", "did you mean `arnode task list`?"),
        (
            "task new",
            "such as `arnode task init --target train.py --eval 'python train.py' --metric loss`",
        ),
        (
            "revert",
            "see `arnode help head`: --undo returns to the head before, --drop takes a patch out",
        ),
        ("quit", "see `arnode help stop`"),
        ("Start", "commands are in lower case: see `arnode help start`"),
        ("task chekc", "see `arnode help task check`"),
        ("task lst", "did you mean `arnode task list`?"),
        ("task tiny", "did you mean `arnode task show tiny`?"),
        ("task help", "see `arnode task --help`"),
        ("task run", "`run` is a command of its own: see `arnode help run`"),
        ("task rm", "built-in tasks stay; a task of your own is a folder, which you may delete"),
        (
            "task qqqq",
            (
                "the commands of `arnode task`: check, fetch, import, init, list, prepare, "
                "replicate, show"
            ),
        ),
        ("home config ls", "did you mean `arnode home config show`?"),
        ("home set", "see `arnode help home config set`"),
        ("network list", "did you mean `arnode network show`?"),
        (
            "network leave",
            "the setting `online = false` keeps it offline: see `arnode help home config set`",
        ),
        (
            "llm",
            (
                "`arnode help start` explains `--agent`, which names a model; the settings "
                "`llm_url` and `llm_key` name its server and the variable with its key"
            ),
        ),
        ("machines", "see `arnode help worker`"),
        ("network add", "see `arnode help network join`"),
        ("worker add", "`--lane HOST` adds a machine: see `arnode help start`"),
        ("commit", "`arnode help try` says how an edit of yours is measured and recorded"),
        ("pull", "a running node exchanges records by itself: see `arnode help network`"),
        ("upgrade", "install the new version as you installed this one"),
        ("up", "see `arnode help start`"),
        ("board", "see `arnode leaderboard`"),
        ("resluts", "see `arnode log`"),
        ("sweep", "see `arnode help start`"),
        ("whoami", "see `arnode home key show`"),
        ("verifiy", "see `arnode help verify`"),
        ("starts", "see `arnode help start`"),
        ("verify-all", "see `arnode help verify`"),
        ("task-list", "did you mean `arnode task list`?"),
        ("prepare", "see `arnode help task prepare`"),
    ],
)
def test_an_unknown_command_is_two_lines_with_a_hint(
    capsys: pytest.CaptureFixture[str], words: str, hint: str
) -> None:
    assert arnode(*words.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        f"arnode: there is no command `arnode {words}`",
        f"  hint: {hint}",
    ]


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (
            "task import ./there",
            (
                "name the system that it comes from: algotune, codeevolve, kernelbot, mle-bench, "
                "openevolve, pi-autoresearch, shinka; for a program of your own: `arnode task init`"
            ),
        ),
        (
            "import results.csv",
            (
                "name the tool that it comes from: at-home, autoresearch, autoresearch-mlx, "
                "bundle, n-autoresearch, pi-autoresearch"
            ),
        ),
        (
            "export something",
            (
                "name the format: board, branch, bundle, experiment, jsonl, mlflow, patch, pr, "
                "results.tsv, trackio, wandb; `arnode export experiment ID DIR` writes a program"
            ),
        ),
        ("export results.csv", "see `arnode help export results.tsv`"),
        ("export runs.csv", "did you mean `arnode export results.tsv > runs.csv`?"),
        ("export best.py", "did you mean `arnode head > best.py`?"),
        ("export runs.json", "did you mean `arnode export jsonl > runs.json`?"),
    ],
)
def test_a_file_without_the_name_before_it_is_not_called_a_command(
    capsys: pytest.CaptureFixture[str], line: str, hint: str
) -> None:
    assert arnode(*line.split()) == 2
    command, _, file = line.rpartition(" ")
    assert capsys.readouterr().err.splitlines() == [
        f"arnode: `arnode {command}` needs a name first, not `{file}`",
        f"  hint: {hint}",
    ]


@pytest.mark.parametrize("word", ["list", "strat", "stat", "rn", "tyr", "rerun", "verfy", "pasue"])
def test_no_guess_suggests_a_command_that_does_something(
    capsys: pytest.CaptureFixture[str], word: str
) -> None:
    assert arnode(word) == 2
    hint = capsys.readouterr().err.splitlines()[1]
    for name in ("start", "stop", "run", "try", "resume", "verify", "pause", "import"):
        assert f"`arnode {name}`" not in hint


@pytest.mark.parametrize(
    ("word", "real"),
    [("ls", "log"), ("history", "log"), ("best", "head"), ("ui", "view"), ("dashboard", "view")],
)
def test_words_of_other_tools_do_what_they_say(
    capsys: pytest.CaptureFixture[str], word: str, real: str
) -> None:
    assert arnode(word, "--help") == 0
    assert capsys.readouterr().out.startswith(f"Usage: arnode {real} ")


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("start tiny", "did you mean `arnode start --task tiny`?"),
        ("run train.py", "did you mean `arnode run --source train.py`?"),
        ("run tiny", "`arnode start --task tiny` runs the node; `arnode run --task tiny` measures"),
        ("start tiny sql", "did you mean `arnode start --task tiny --task sql`?"),
        ("start tiny --for 1h", "did you mean `arnode start --task tiny --for 1h`?"),
        ("start tiny for 1h", "did you mean `arnode start --task tiny --for 1h`?"),
        ("start --task sql 1h", "did you mean `arnode start --for 1h --task sql`?"),
        ("start banana", "--task NAME names a task, `arnode task list` lists them; see `arnode s"),
        ("start 5", "--for: Stop after this long, like 8h or 45m."),
        (
            "start --timeout 60",
            "the task limits each run (see `arnode task show NAME`); `--for 1h`",
        ),
        ("start --steps 5", "the task limits each run (see `arnode task show NAME`); `--for 1h`"),
        ("run --timeout 60", "the task limits each run: see `arnode task show NAME`"),
        ("start --device cuda:1", "`--gpus 0,1` chooses cards by number; `arnode doctor` shows"),
        ("run --gpu 1", "--gpus is an option of `arnode start`; see `arnode run --help`"),
        (
            "start --cpu",
            "the task decides: tasks with a budget of tokens, such as tiny, run on the",
        ),
        ("start --seed 5", "each run draws a new seed; `arnode help run` says how to measure with"),
        ("start --max-runs 5", "did you mean --max-experiments?"),
        ("report --html", "`--format html` and `--format md` choose"),
        ("stop --now", "it lets the current run end; Ctrl-C twice where the node was started"),
        ("stop --force", "it lets the current run end; Ctrl-C twice where the node was started"),
        ("diff best.py train.py", "`diff -u best.py train.py` compares files; `arnode help comp"),
        (
            "try ./my_train.py",
            (
                "leave it out: `arnode try` takes the task's files, such as train.py, from this "
                "folder or that of --folder"
            ),
        ),
        ("home config set usd_per_day=1", "write it as two words: `arnode home config set usd_p"),
        ("task init mytask", "did you mean `arnode task init --target train.py --eval 'python"),
        ("start --task tiny,digits", "name each of them: `--task tiny --task digits`"),
        ("start --task tiny --network None", "did you mean `--network none`?"),
        ("start --network=", "did you mean `--network none`?"),
        ("start --network off", "did you mean `--network none`?"),
        ("start --network --yes", "`arnode network show` lists names; `--network none` stays off"),
        ("start --port 8080", "the page's address: `arnode start --web 127.0.0.1:8080`"),
        ("view --port 8080", "the page's address: `arnode view --web 127.0.0.1:8080`, or of a"),
        ("check deadbeef", "`arnode verify ID` re-runs a claim, with `--check-only` it runs not"),
        ("join main", "with an invite see `arnode help network join`; `arnode start --network N"),
        ("network join main", "main is a network's name, which needs no invite: `arnode start --"),
        ("start --join main", "main is a network's name, which needs no invite: `arnode start --"),
        ("network join nowhere", "ask for the invite again, and copy all of it"),
        ("start --max-cost 5", "a setting limits what models may cost a day: `arnode home config"),
        ("start --fresh", "the variable ARNODE_HOME names the home: with `ARNODE_HOME=DIR arnode"),
        ("status --home /tmp", "the variable ARNODE_HOME names the home: with `ARNODE_HOME=DIR a"),
        ("leaderboard --gpu h100", "did you mean --class?"),
        ("leaderboard --gpus 0", "did you mean --class?"),
        ("leaderboard H100", "did you mean `arnode leaderboard --class H100`?"),
        ("leaderboard rtx-4090", "did you mean `arnode leaderboard --class rtx-4090`?"),
        ("leaderboard cpu-x86_64", "did you mean `arnode leaderboard --class cpu-x86_64`?"),
        ("leaderboard deadbeef", "see `arnode show deadbeef`"),
        ("show abcd --code", "`arnode diff ID` prints what the experiment changed, `arnode export"),
        ("export abcd -o best.py", "`arnode export experiment abcd DIR` writes its program, `arn"),
        ("export -o best.py", "`arnode head > FILE` writes the verified head's program, `arnode h"),
        ("start --json", "--json is an option of `arnode status`, `arnode view`, `arnode log`;"),
        ("start --resume", "plain `arnode start` resumes"),
        ("view 8080", "did you mean `arnode view --web 127.0.0.1:8080`?"),
        ("view localhost:80", "did you mean `arnode view --web localhost:80`?"),
        ("head working", "did you mean `arnode head --working`?"),
        ("head -n 5", "--limit is an option of `arnode log`; see `arnode head --help`"),
        ("log --last 5", "did you mean --limit?"),
        ("log -5", "did you mean `arnode log --limit 5`?"),
        ("log -n 5 6", "--task NAME names a task, `arnode task list` lists them; its options: "),
        ("status --all", "its options: --json"),
        ("leaderboard --all", "`--top N` shows more rows"),
        ("ls tasks", "see `arnode task list`"),
        ("show abcd --diff", "`arnode diff ID` prints the diff alone"),
        ("verify --id abcd", "leave out --id: the id needs no option"),
        ("start -y", "did you mean --yes?"),
        ("log latest", "plain `arnode log` lists the newest first"),
        ("log --all", "`--limit N` lists more than the newest experiments"),
        ("log --limit all", "--limit: How many, newest first [30]."),
        ("leaderboard 5", "did you mean `arnode leaderboard --top 5`?"),
        ("leaderboard some/path", "--task NAME names a task, `arnode task list` lists them; see"),
        ("stop --for 1h", "--for is an option of `arnode start`; see `arnode stop --help`"),
        ("stop --task tiny", "`arnode stop` takes no task: leave it out"),
        ("status -json", "did you mean `arnode status --json`?"),
        ("log -help", "did you mean `arnode log --help`?"),
        ("stop -", "`arnode stop` takes no such word; its options: --after-promotion-trial"),
        ("status log", "`log` is a command of its own: see `arnode help log`"),
        ("demo stop", "the demo ends by itself and stops its nodes; Ctrl-C ends it earlier"),
        ("demo now", "`arnode demo` takes no such word; its options: --json, --keep"),
        ("doctor --fix", "it only reports: `arnode help home fsck` says how to check and fix"),
        ("verify --all", "it re-runs one claim: `arnode leaderboard` lists ids"),
        ("diff A B", "it takes one ID at a time; `arnode log` lists ids"),
        ("compare a b c", "it takes A B; see `arnode compare --help`"),
        ("show task tiny", "did you mean `arnode task show`?"),
        ("approve deadbeef", "plain `arnode approve` lists the ids that it takes"),
        ("pause 10", "--for: Resume by itself after this time, like 2h."),
        (
            "try train.py tiny",
            "leave it out: `arnode try` takes the task's files, such as train.py, from",
        ),
        ("network join", "`arnode network invite` prints one on a node of the network"),
        ("stop tiny now", "`arnode stop` takes no task: leave it out"),
        ("stop it now", "plain `arnode stop` stops the node of this home"),
        ("run --for 5m", "--for is an option of `arnode start`; see `arnode run --help`"),
        ("run --budget 5m", "--for is an option of `arnode start`; see `arnode run --help`"),
        ("-v", "did you mean -V?"),
        ("try --file edit.patch", "its options: -m, --folder, --from, --task, --text, --json"),
        ("--task tiny status", "see `arnode status --help`"),
        ("stop --all", "plain `arnode stop` stops the node of this home"),
        ("head tinny", "did you mean `arnode head --task tiny`?"),
        ("head --output best.py", "it prints: end the command with `> FILE`"),
        ("export --format csv", "the commands of `arnode export`: "),
        ("log 5", "did you mean `arnode log --limit 5`?"),
        ("log deadbeef", "see `arnode show deadbeef`"),
        ("view deadbeef", "see `arnode show deadbeef`"),
        ("start help", "see `arnode start --help`"),
        ("start --workers 4", "did you mean --lanes?"),
        ("start --budget 5m", "`--for 8h` limits the time, `--max-experiments 5` the experiments"),
        ("start --duration 8h", "did you mean --for?"),
        ("start --hours 5", "did you mean --for? Stop after this long, like 8h or 45m."),
        ("start --time=60", "did you mean --for? Stop after this long, like 8h or 45m."),
        ("start --api-key X", "export the provider's variable, such as OPENAI_API_KEY, or name"),
        ("log --format csv", "`arnode export results.tsv` and `arnode export jsonl` print all"),
        ("status --csv", "`arnode export results.tsv` and `arnode export jsonl` print all"),
        ("head --diff", "`arnode diff ID` prints an experiment's diff, `arnode export patch` that"),
        ("start -t tiny", "did you mean --task?"),
        (
            "start -d",
            "`nohup arnode start &` runs it in the background, `arnode stop` ends it",
        ),
        ("start --offline", "`--network none` keeps this session offline, the setting `online ="),
        ("start --tsak tiny", "did you mean --task?"),
        (
            "log --decision kept",
            "its options: --limit, --task, --kept, --since, --importance, --json",
        ),
        ("leaderboard tiny", "did you mean `arnode leaderboard --task tiny`?"),
        ("head tiny", "did you mean `arnode head --task tiny`?"),
        ("stop tiny", "`arnode stop` takes no task: leave it out"),
        ("pause tiny", "`arnode pause` takes no task: leave it out"),
        ("pause 2h", "did you mean `arnode pause --for 2h`?"),
        ("start --task", "--task: A task's name, folder or id"),
        ("start train.py", "make a task of it first: `arnode task init --target train.py"),
        ("start --for", "--for: Stop after this long, like 8h or 45m."),
        ("show", "`arnode log` lists ids"),
        ("task show", "`arnode task list` lists names"),
        ("verify abcd ef01", "it takes one ID|BUNDLE at a time; `arnode log` and `arnode leaderb"),
        (
            "try train.py",
            "leave it out: `arnode try` takes the task's files, such as train.py, from this",
        ),
        ("try -- python train.py --lr 1", "for a program of yours: `arnode task init --target"),
        ("run python train.py", "for a program of yours: `arnode task init --target FILE"),
        ("log --oneline", "leave it out: each experiment is one line"),
        ("show abcd --stat", "`arnode diff ID` prints the diff alone"),
        ("start --no-yes", "leave it out: without --yes you are asked"),
        ("verify abcd --device gpu", "the setting `gpus` chooses the card"),
        ("start --task tiny,small", "name each of them: `--task tiny --task small`; `arnode task"),
        ("try -m fix the rate", "put words that belong together in quotes"),
        ("--status", "see `arnode status`"),
        ("--task tiny log", "options come after the command: `arnode log --task …`"),
        (
            "status --watch",
            "`arnode view` shows a running node live; `arnode home logs -f` follows its log",
        ),
    ],
)
def test_an_argument_without_its_flag_gets_the_flag_named(
    capsys: pytest.CaptureFixture[str], line: str, hint: str
) -> None:
    assert arnode(*line.split()) == 2
    assert capsys.readouterr().err.splitlines()[1].startswith(f"  hint: {hint}")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("show deadbeef",), "leave out the quotes: `arnode show deadbeef`"),
        (("start", "--task tiny --for 1m"), "leave out the quotes around several words"),
    ],
)
def test_words_quoted_together_are_recognised(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], hint: str
) -> None:
    assert arnode(*words) == 2
    assert capsys.readouterr().err.splitlines()[1] == f"  hint: {hint}"


def test_a_hint_imports_no_more_commands_than_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    load = CommandEntry.load

    def noting(entry: CommandEntry, name: str) -> click.Command:
        loaded.append(name)
        return load(entry, name)

    monkeypatch.setattr(CommandEntry, "load", noting)
    assert arnode("start", "--json") == 2
    assert set(loaded) == {"start", "status", "view", "log"}


def test_version_is_understood_as_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert arnode("version") == 0
    assert capsys.readouterr().out.startswith("arnode 0.")


@pytest.mark.parametrize(
    "words", [("start", "--nope"), ("try", "-m"), ("--nope",), ("log", "-n", "0")]
)
def test_a_wrong_flag_is_two_lines_and_exit_2(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert arnode(*words) == 2
    err = capsys.readouterr().err.splitlines()
    assert len(err) >= 2
    assert err[1].startswith("  hint: ")


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("start tiny --for banana", "`banana` is not a time span"),
        ("start --for 1 hour", "`1` is not a time span"),
        ("start --for=", "`` is not a time span"),
        ("start tiny --schedule night", "`night` is not a range of hours"),
        ("agent compare a --for 1", "`1` is not a time span"),
        ("log -n abc", "'abc' is not a whole number from 1 up"),
        ("run --seeds 500", "'500' is not a whole number from 1 to 100"),
        ("log --importance --kept -n 3", "--importance does not use --limit and --kept"),
        ("leaderboard --transfer --level here", "--transfer does not use --level"),
        ("try --from below -m x", "--from does not use -m"),
        ("compare a b", "`a` is neither a file here nor an id"),
        ("stop", "no node is running on this home"),
        ("verify nope.tar.gz", "there is no file nope.tar.gz"),
        ("home config set task nope", "there is no task 'nope'"),
    ],
)
def test_a_fault_in_the_arguments_is_named(
    at_home: Home, capsys: pytest.CaptureFixture[str], line: str, fault: str
) -> None:
    assert arnode(*line.split()) in (2, 3)
    assert fault in capsys.readouterr().err.splitlines()[0]


@pytest.mark.parametrize(
    ("line", "fault", "hint"),
    [
        (
            line,
            f"there is no record `{line.split()[-1]}`: this home has no records yet",
            "`arnode start` makes the first; ARNODE_HOME names another home",
        )
        for line in ("show 1", "show latest", "diff HEAD", "verify all", "verify deadbeef")
    ]
    + [
        (
            "log --task nope",
            "there is no task 'nope' here",
            "`arnode task list` lists the built-in tasks",
        ),
        ("log --task tinny", "there is no task 'tinny' here", "did you mean 'tiny'?"),
        (
            "leaderboard --task tiny",
            "nothing has been measured on task 'tiny' here yet",
            "`arnode start --task tiny` works on it",
        ),
        (
            "head",
            "nothing has been measured here yet",
            "`arnode start` runs the node, which measures",
        ),
        ("network peers", "no node is running on this home", "`arnode start` runs one"),
    ],
)
def test_a_question_to_an_empty_home_is_answered_with_what_fills_it(
    capsys: pytest.CaptureFixture[str], line: str, fault: str, hint: str
) -> None:
    assert arnode(*line.split()) in (2, 3)
    assert capsys.readouterr().err.splitlines() == [f"arnode: {fault}", f"  hint: {hint}"]


@pytest.mark.parametrize("line", ["show latest", "show HEAD", "diff 1", "verify all"])
def test_a_word_in_place_of_an_id_is_answered_with_where_ids_are_listed(
    notebook: Notebook, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    notebook.task_and_baseline()
    assert arnode(*line.split()) == 2
    fault, hint = capsys.readouterr().err.splitlines()
    assert "is not an id" in fault
    assert "`arnode log` lists ids, `arnode leaderboard` those of claims" in hint
    assert "`arnode head` prints the head" in hint


@pytest.mark.parametrize(
    ("command", "fault", "hint"),
    [
        (
            "diff",
            "is a baseline, which changes nothing",
            "give the id of an experiment with a patch: see `arnode log`",
        ),
        ("verify", "is a baseline, which claims no gain", "`arnode leaderboard` lists claims"),
    ],
)
def test_a_baseline_in_place_of_a_patch_or_a_claim_is_named(
    at_home: Home,
    store: Store,
    capsys: pytest.CaptureFixture[str],
    command: str,
    fault: str,
    hint: str,
) -> None:
    with_baseline(at_home, store)
    (baseline,) = store.records.listed("result")
    assert arnode(command, baseline.id.hex()[:12]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"arnode: {baseline.id.hex()[:12]} {fault}",
        f"  hint: {hint}",
    ]


def test_a_list_is_set_in_the_notation_of_the_file(
    at_home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    address = "/ip4/127.0.0.1/tcp/4101"
    assert arnode("home", "config", "set", "listen", f'["{address}"]') == 0
    assert f'listen = ["{address}"]' in at_home.config.read_text()


def test_an_empty_value_removes_a_setting(
    at_home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert arnode("home", "config", "set", "gpus", "none") == 6
    assert not at_home.config.exists()
    assert arnode("home", "config", "set", "gpus", "0,1") == 0
    assert arnode("home", "config", "set", "gpus", "") == 0
    assert "gpus" not in at_home.config.read_text()
    assert "gpus has its default" in capsys.readouterr().out


def test_a_start_with_a_wrong_word_leaves_no_home(
    at_home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert arnode("start", "--task", "tinny") == 2
    assert "there is no task 'tinny'" in capsys.readouterr().err
    assert arnode("start", "--network", "--yes") == 2
    assert "--network needs a value, not `--yes`" in capsys.readouterr().err
    assert not at_home.root.exists()


def test_an_error_is_two_lines_and_its_own_exit_code(
    at_home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    at_home.prepare()
    at_home.config.write_text('tsk = "tiny"\n')
    assert arnode("home", "config", "check") == 6
    out, err = capsys.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert "unknown key `tsk`" in first
    assert "did you mean `task`?" in second


def test_an_error_shows_the_end_of_what_a_program_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = "".join(f"line {number}\n" for number in range(60)) + "\x1b[2Jlast\n"

    def fail(_: object) -> Home:
        raise ArnodeError("the baseline failed", "look at it", printed=printed)

    monkeypatch.setattr(Home, "locate", fail)
    assert arnode("home", "paths") == 1
    first, *lines, hint = capsys.readouterr().err.splitlines()
    assert (first, hint) == ("arnode: the baseline failed", "  hint: look at it")
    assert len(lines) == 40
    assert (lines[0], lines[-1]) == ("  | line 21", "  | \\x1b[2Jlast")


def test_tracebacks_come_with_debug_only(at_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert arnode("home", "key", "show") == 6
    assert "Traceback" not in capsys.readouterr().err
    assert arnode("home", "key", "show", "--debug") == 6
    assert "Traceback" in capsys.readouterr().err


def test_a_fault_of_our_own_is_no_traceback_either(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(_: object) -> Home:
        raise ZeroDivisionError("\x1b[2J")

    monkeypatch.setattr(Home, "locate", explode)
    assert arnode("home", "paths") == 1
    err = capsys.readouterr().err
    assert "internal error: ZeroDivisionError: \\x1b[2J" in err
    assert "--debug" in err
    assert "Traceback" not in err


def test_an_interrupt_is_130(at_home: Home) -> None:
    at_home.prepare()
    at_home.log.write_text("first line\n")
    # A shell that runs the tests in the background has interrupts ignored.
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from node.commands.cli import main; main(sys.argv[1:])"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, "home", "logs", "-f"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "ARNODE_HOME": str(at_home.root)},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "first line\n"
    with at_home.log.open("a") as stream:
        stream.write("second line\x1b[2J\n")
    assert child.stdout.readline() == "second line\\x1b[2J\n"
    child.send_signal(signal.SIGINT)
    _, err = child.communicate()
    assert child.returncode == 130
    assert err.strip() == "arnode: interrupted"


def test_a_reader_that_stops_early_gets_no_complaint(at_home: Home) -> None:
    at_home.prepare()
    at_home.log.write_text("a line\n" * 100_000)
    program = "import sys; from node.commands.cli import main; main(sys.argv[1:])"
    reader, writer = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", program, "home", "logs", "-n", "100000"],
        stdout=writer,
        stderr=subprocess.PIPE,
        env={**os.environ, "ARNODE_HOME": str(at_home.root)},
    ) as child:
        os.close(writer)
        os.read(reader, 10)
        os.close(reader)
        assert child.stderr is not None
        assert child.stderr.read() == b""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_each_shell(
    capsys: pytest.CaptureFixture[str], shell: str
) -> None:
    assert arnode("completion", shell) == 0
    assert "_ARNODE_COMPLETE" in capsys.readouterr().out


def test_completion_completes_commands() -> None:
    program = "import sys; sys.argv[0] = 'arnode'; from node.commands.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "_ARNODE_COMPLETE": "bash_complete",
            "COMP_WORDS": "arnode home fs",
            "COMP_CWORD": "2",
        },
    )
    assert done.stdout.splitlines() == ["plain,fsck"]


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
@pytest.mark.parametrize("words", ["home paths", "log", "doctor --help"])
def test_streams_that_are_closed_are_no_fault(words: str, closed: str, tmp_path: Path) -> None:
    command = f"{sys.executable} -m node {words} {closed}; echo $? > ended"
    subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, check=True)
    assert (tmp_path / "ended").read_text() == "0\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_an_encoding_has_no_character_for_is_written_as_its_number(
    encoding: str, notebook: Notebook
) -> None:
    notebook.task_and_baseline()
    patch = notebook.write(patch_body(BASELINE, BETTER, title="LEARNING_RATE 1 → 2"))
    notebook.write(result_body("keep", (run(1_480_000_001),), source=BETTER, patch=patch.id))
    done = subprocess.run(
        [sys.executable, "-m", "node", "log"],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"1 {'→' if encoding == 'utf-8' else chr(92) + 'u2192'} 2" in done.stdout.decode(
        encoding
    )


@pytest.mark.parametrize("named", ["", "/nowhere"])
def test_a_user_whom_nobody_knows_needs_no_home_folder(
    named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(_: int) -> None:
        raise KeyError("uid not found")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.delenv("HOME")
    if named:
        monkeypatch.setenv("HOME", named)
    cli._open_missing_streams()
    assert Path.home() == Path(named or "/nonexistent")


def test_reading_commands_leave_no_home_behind(at_home: Home, tmp_path: Path) -> None:
    for words in (
        ("log",),
        ("log", "--json"),
        ("home", "paths"),
        ("home", "config", "show"),
        ("home", "fsck"),
    ):
        assert arnode(*words) == 0
    assert not at_home.root.exists()


@pytest.mark.parametrize(
    ("number", "ignored"),
    [
        (signal.SIGINT, ""),
        (signal.SIGTERM, ""),
        (signal.SIGHUP, ""),
        (signal.SIGTERM, "SIGINT"),  # as a shell starts what is to run in the background
    ],
)
@pytest.mark.timeout(60)
def test_a_request_to_end_is_an_interrupt(
    tmp_path: Path, number: signal.Signals, ignored: str
) -> None:
    (tmp_path / "node.log").write_text("a line\n")
    # What starts the tests may ignore some of these itself (`nohup` does), and children inherit it.
    become = (
        "import os, signal, sys\n"
        f"for number in ({int(signal.SIGINT)}, {int(signal.SIGTERM)}, {int(signal.SIGHUP)}):\n"
        f"    is_ignored = number == {int(getattr(signal, ignored)) if ignored else 0}\n"
        "    signal.signal(number, signal.SIG_IGN if is_ignored else signal.SIG_DFL)\n"
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", become, sys.executable, "-m", "node", "home", "logs", "-f"],
        env={**os.environ, "ARNODE_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "a line\n"
        process.send_signal(number)
        try:
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()  # else a command that does not end would hold up the test for ever
    assert said.strip() == "arnode: interrupted"
    assert process.returncode == 130


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("list", "tasks"), "see `arnode task list`"),
        (("get", "tasks"), "see `arnode task list`"),
        (("describe", "task", "tiny"), "see `arnode task show`"),
        (("info", "tiny"), "see `arnode task show tiny`"),
        (("--", "task", "tiny"), "did you mean `arnode task show tiny`?"),
        (
            ("network", "friends", "--json", "nope"),
            "the commands of `arnode network friends`: add, remove, sign, take",
        ),
        (
            ("stop", "--", "-x"),
            "`arnode stop` takes no such word; its options: --after-promotion-trial, --json",
        ),
        (("config", "set", "task", "tiny"), "see `arnode help home config set`"),
        (("help", "task", "show", "nope"), "see `arnode help task show`"),
        (
            ("help", "rollback"),
            "see `arnode help head`: --undo returns to the head before, --drop takes a patch out",
        ),
        (("list", "models"), "see `arnode help agent`"),
        (("settings", "set", "task"), "see `arnode help home config set`"),
        (
            ("help", "api-key"),
            (
                "export the provider's variable, such as OPENAI_API_KEY, or name another in the "
                "setting `llm_key`: see `arnode help home config set`"
            ),
        ),
        (("help", "login"), "there are no accounts: `arnode home key show` shows this node's key"),
        (("try", "a lower rate"), "did you mean `arnode try -m 'a lower rate'`?"),
        (("try", "train.py --task tiny"), "leave out the quotes around several words"),
        (("--verbose", "log"), "see `arnode log --help`"),
        (("start", "--task", "tiny --for 5s"), "leave out the quotes around several words"),
        (("tasks", "show", "tiny"), "did you mean `arnode task show`?"),
        (
            ("start", "train.py"),
            (
                "make a task of it first: `arnode task init --target train.py "
                "--eval 'python train.py' --metric NAME`"
            ),
        ),
        (
            ("task", "init", "fit.py", "python3 fit.py"),
            (
                "did you mean `arnode task init --target fit.py --eval 'python3 fit.py' "
                "--metric NAME`?"
            ),
        ),
        (
            ("task", "init", "--yes"),
            "--target: A file that experiments may edit; repeat for several.",
        ),
        (("start", "--task", "fit"), "did you mean 'fit-loss'?"),
    ],
)
def test_a_likely_mistake_is_answered_with_the_command_that_was_meant(
    at_home: Home,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    hint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_sums(tmp_path / "fit-loss")
    assert arnode(*words) == 2
    assert capsys.readouterr().err.splitlines()[1] == f"  hint: {hint}"
