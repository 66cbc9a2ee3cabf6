"""The reading commands, on the home of a short session."""

import json
import re
import shutil
import stat
import subprocess
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, tzinfo
from pathlib import Path

import click
import pytest

from node.commands import cli, history
from node.commands.cli import main
from node.commands.record_text import fields_for_people
from node.commands.verifying import print_verified
from node.home.home import Home
from node.home.keyfile import load_keys
from node.line.rerun import RerunStep
from node.on_demand.verifying import Verified
from node.store import records
from node.store.jobs import StoredOutcome
from node.store.journal import Journal
from node.store.store import Store
from protocol.record_kinds import ResultBody
from protocol.records import Record, parse_record
from protocol.units import NANO
from tests.node.examples import BASELINE, BETTER, KEY, LINE, MANIFEST, Notebook, patch_body, run
from tests.node.steps import FreeStep
from tests.protocol.worlds import KEYS, START_MS, TREES, World, adopt, rerun, retract
from trainer.measuring.loss_curve import LossPoint
from trainer.measuring.timeline import Stage

ESCAPES = "\u200devil \u200c"


@pytest.fixture
def session(home: Home, notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> dict[str, Record]:
    """The records of a session, by what they are."""
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    records = {
        "baseline": notebook.task_and_baseline(),
        "kept": notebook.kept(),
        "crashed": notebook.crashed(),
        "confirmed": notebook.adopted(),
    }
    records["adoption"] = notebook.store.records.listed("adopt")[0]
    records["patch"] = notebook.store.records.listed("patch")[0]
    records["task"] = notebook.store.records.listed("task")[0]
    line = notebook.store.jobs.line(LINE)
    assert line is None
    notebook.save_line()
    return records


def command_of(words: Sequence[str]) -> click.Command:
    """Return the command that these words of a command line name."""
    command: click.Command = cli.cli
    context = click.Context(command)
    for word in words:
        if not isinstance(command, click.Group):
            break
        found = command.get_command(context, word)
        assert found is not None, words
        command = found
    return command


def arnode(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    """Run a command line in this process and return what it printed."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    captured = capsys.readouterr()
    assert caught.value.code == code, captured.err
    return captured.out if code == 0 else captured.err


def test_log_lists_experiments_newest_first(
    session: dict[str, Record], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = arnode(capsys, "log").splitlines()
    assert lines[0].split() == ["id", "time", "decision", "val_bpb", "gain", "title"]
    assert [line.split()[3] for line in lines[1:]] == ["confirmed", "failed", "kept", "baseline"]
    assert lines[3].split()[0] == session["kept"].id.hex()[:12]
    assert lines[3].endswith("1.480000  +0.020000  Raise LEARNING_RATE")
    assert "\x1b" not in "".join(lines)
    assert len(arnode(capsys, "log", "-n", "2").splitlines()) == 3


@pytest.mark.usefixtures("session")
def test_log_reports_the_year_where_it_is_not_this_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Later(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Later":
            return cls(9000, 1, 1, tzinfo=tz)

    monkeypatch.setattr(history, "datetime", Later)
    for line in arnode(capsys, "log").splitlines()[1:]:
        assert re.search(r" 2\d{3}-\d\d-\d\d \d\d:\d\d ", line)


def test_log_as_json_has_the_promised_fields(
    session: dict[str, Record], capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(arnode(capsys, "log", "--json"))
    assert document["v"] == 1
    assert len(document["experiments"]) == 4
    kept = document["experiments"][2]
    promised = {"id", "ts", "title", "origin", "status", "metric", "gain", "decision", "tree"}
    assert promised | {"parent"} <= set(kept)
    assert kept["id"] == session["kept"].id.hex()
    assert (kept["metric"], kept["gain"]) == (1.480000001, 0.02)
    assert (kept["tree"], kept["parent"]) == (BETTER.tree.hex(), BASELINE.tree.hex())
    crashed = document["experiments"][1]
    assert (crashed["status"], crashed["metric"], crashed["gain"]) == ("crash", None, None)


@pytest.mark.parametrize(
    "name", ["task", "baseline", "patch", "kept", "crashed", "confirmed", "adoption"]
)
def test_show_reports_everything_about_a_record(
    session: dict[str, Record], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    record = session[name]
    document = json.loads(arnode(capsys, "show", record.id.hex()[:8], "--json"))
    assert document["id"] == record.id.hex()
    assert document["kind"] == record.kind
    assert document["author"] == record.author.hex()
    assert (document["seq"], document["ts"]) == (record.seq, record.ts_ms)
    assert document["signature_ok"] is True
    assert document["level"] == "here"
    assert record.id.hex() in arnode(capsys, "show", record.id.hex())


def test_show_gives_people_figures_in_the_unit_and_scripts_the_record(
    session: dict[str, Record], capsys: pytest.CaptureFixture[str]
) -> None:
    kept, task = (session[name].id.hex() for name in ("kept", "task"))
    text = arnode(capsys, "show", kept, "--raw")
    assert "metric=1.480000001 bpb  secret=1.480001001 bpb  ms=5000" in text
    assert "1480000001" not in text
    document = json.loads(arnode(capsys, "show", kept, "--json"))
    assert document["body"]["runs"][0]["metric"] == 1_480_000_001
    text = arnode(capsys, "show", task)
    assert "\n  noise_floor: 0.001000 bpb\n" in text
    assert "\n    max_step: 0.100000 bpb\n" in text
    assert "\n  vocabulary: 512\n" in text


def test_show_begins_with_what_came_of_an_experiment(
    session: dict[str, Record], capsys: pytest.CaptureFixture[str]
) -> None:
    kept = session["kept"]
    title, _, decision, why, *rest = arnode(capsys, "show", kept.id.hex()[:8]).splitlines()
    assert title == "Raise LEARNING_RATE"
    assert re.fullmatch(r"kept  \d\.\d{6} → 1\.480000 bpb, gain \+\d\.\d{6}", decision), decision
    assert why.startswith("why: both runs gain")
    assert any(line.startswith("run: candidate seed ") for line in rest)
    assert "+LEARNING_RATE = 0.2" in rest
    assert "marks: none" in rest
    assert rest[-1] == f"the whole record: arnode show {kept.id.hex()[:12]} --raw"
    failed = arnode(capsys, "show", session["crashed"].id.hex())
    assert "\nfailed\nwhy: it ended without a score" in failed
    raw = arnode(capsys, "show", kept.id.hex(), "--raw")
    assert "signature_ok" in raw
    assert "signature_ok" not in arnode(capsys, "show", kept.id.hex())


def test_a_failure_is_shown_with_what_it_printed(
    session: dict[str, Record], notebook: Notebook, capsys: pytest.CaptureFixture[str]
) -> None:
    record, store = session["crashed"], notebook.store
    assert isinstance(record.body, ResultBody)
    ended = record.body.runs[0]
    job = store.jobs.open_job(LINE, FreeStep({}), created_ms=5)
    planned = store.jobs.plan_run(job.id, role=ended.role, tree=record.body.tree, seed=ended.seed)
    log = "sort.c:3:1: error: unknown type name 'lnog'\n\x1b[31mthe build ended\n"
    store.jobs.finish_run(planned, StoredOutcome(run=ended, log_tail=log))
    output = arnode(capsys, "show", record.id.hex())
    assert "| sort.c:3:1: error: unknown type name 'lnog'\n| \\x1b[31mthe build ended\n" in output
    assert "| sort.c" not in arnode(capsys, "show", session["kept"].id.hex())
    assert "| sort.c" not in arnode(capsys, "log")  # the latest did not fail


def test_log_ends_with_why_the_latest_failed(
    notebook: Notebook, home: Home, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    notebook.task_and_baseline()
    record = notebook.crashed()
    assert isinstance(record.body, ResultBody)
    ended, store = record.body.runs[0], notebook.store
    job = store.jobs.open_job(LINE, FreeStep({}), created_ms=5)
    planned = store.jobs.plan_run(job.id, role=ended.role, tree=record.body.tree, seed=ended.seed)
    store.jobs.finish_run(planned, StoredOutcome(run=ended, log_tail="reading\nTypeError: no\n"))
    output = arnode(capsys, "log")
    assert output.endswith(
        f"{record.id.hex()[:12]} failed: TypeError\n| reading\n| TypeError: no\n"
    )


def test_figures_go_by_the_scale_of_a_programs_metric() -> None:
    metric = replace(MANIFEST.metric, unit="s", scale=3)
    said = fields_for_people(run(1_500_250), metric)
    assert isinstance(said, dict)
    assert (said["metric"], said["ms"]) == ("1500.250 s", 5000)


def test_show_says_where_the_seconds_of_own_runs_went(
    session: dict[str, Record], notebook: Notebook, capsys: pytest.CaptureFixture[str]
) -> None:
    record, store = session["kept"], notebook.store
    assert isinstance(record.body, ResultBody)
    assert json.loads(arnode(capsys, "show", record.id.hex(), "--json"))["timeline"] == []
    run = record.body.runs[0]
    job = store.jobs.open_job(LINE, FreeStep({}), created_ms=5)
    planned = store.jobs.plan_run(job.id, role=run.role, tree=record.body.tree, seed=run.seed)
    stages = (
        Stage(part="train", name="import", start_ms=0, end_ms=2_500),
        Stage(part="train", name="attempt", start_ms=3_000, end_ms=4_000),
        Stage(part="train", name="build", start_ms=4_000, end_ms=4_500),
        Stage(part="train", name="train", start_ms=4_500, end_ms=9_000),
        Stage(part="score", name="score", start_ms=10_000, end_ms=14_000),
    )
    curve = (LossPoint(step=50, loss_nano=5_400_000_000), LossPoint(step=480, loss_nano=NANO))
    kept = StoredOutcome(run=run, log_tail="", stages=stages, curve=curve)
    store.jobs.finish_run(planned, kept)
    (shown,) = json.loads(arnode(capsys, "show", record.id.hex(), "--json"))["timeline"]
    assert (shown["seed"], shown["role"], shown["began_ms"]) == (run.seed, "candidate", 3_000)
    assert [(one["stage"], one["at_ms"], one["ms"]) for one in shown["stages"]] == [
        *(("import", -3_000, 2_500), ("attempt", 0, 1_000), ("build", 1_000, 500)),
        *(("train", 1_500, 4_500), ("score", 7_000, 4_000)),
    ]
    lines = arnode(capsys, "show", record.id.hex(), "--raw").splitlines()
    assert shown["curve"] == [[50, 5.4], [480, 1.0]]
    at = lines.index(f"run with seed {run.seed} (candidate, ok):")
    assert lines[at + 1] == "its reported loss: 5.4000 at step 50, 1.0000 at step 480"
    assert [line.split() for line in lines[-5:]] == [
        ["train", "import", "-3.00", "s", "2.50", "s", "ahead"],
        ["train", "attempt", "0.00", "s", "1.00", "s", "█" * 2],
        ["train", "build", "1.00", "s", "0.50", "s", "█"],
        ["train", "train", "1.50", "s", "4.50", "s", "█" * 10],
        ["score", "score", "7.00", "s", "4.00", "s", "█" * 9],
    ]


def test_show_links_a_patch_to_its_result_and_a_result_to_its_adoption(
    session: dict[str, Record], capsys: pytest.CaptureFixture[str]
) -> None:
    def related(name: str) -> list[str]:
        text = arnode(capsys, "show", session[name].id.hex(), "--json")
        found = json.loads(text)["related"]
        assert isinstance(found, list)
        return found

    assert session["kept"].id.hex() in related("patch")
    assert session["patch"].id.hex() in related("kept")
    assert session["adoption"].id.hex() in related("confirmed")
    assert session["confirmed"].id.hex() in related("adoption")


def test_show_reads_only_what_names_the_record_that_is_shown(
    session: dict[str, Record],
    notebook: Notebook,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown, world = session["confirmed"].id, World()
    about = [
        world.say(KEYS[1], retract(shown)),
        world.say(KEYS[0], rerun(KEYS[0], TREES[0], [1], "confirmed", target=shown)),
        world.say(KEYS[1], replace(adopt(TREES[0]), evidence=shown)),
    ]
    for number in range(30):
        other = bytes([number]) * 32
        world.say(KEYS[0], rerun(KEYS[0], TREES[0], [1], "confirmed", target=other))
    wires = [record.wire for record in world.records]
    report = notebook.store.intake.ingest(wires, now_ms=START_MS)
    assert len(report.new) == len(wires)

    read: list[bytes] = []
    monkeypatch.setattr(
        records, "parse_record", lambda wire: read.append(wire) or parse_record(wire)
    )
    document = json.loads(arnode(capsys, "show", shown.hex(), "--json"))
    retraction, answer, adoption = (record.id.hex() for record in about)
    assert document["related"][-4:] == [
        *(adoption, session["adoption"].id.hex()),  # in the order of their times
        *(answer, retraction),
    ]
    assert len(read) < 5
    for asked in ("FROM record WHERE about = ''", "FROM experiment WHERE patch = ''"):
        ((*_, plan),) = notebook.store.database.rows("EXPLAIN QUERY PLAN SELECT id " + asked)
        assert "USING INDEX" in plan


def test_diff_is_the_patch_of_each_kind_of_record(
    session: dict[str, Record], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("patch", "kept", "confirmed", "adoption"):
        lines = arnode(capsys, "diff", session[name].id.hex()).splitlines()
        assert "-LEARNING_RATE = 0.1" in lines
        assert "+LEARNING_RATE = 0.2" in lines
    refused = arnode(capsys, "diff", session["baseline"].id.hex(), code=2)
    assert "is a baseline, which changes nothing" in refused


def test_a_diff_is_coloured_when_asked_for(
    session: dict[str, Record],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[32m+LEARNING_RATE" in arnode(capsys, "diff", session["kept"].id.hex())
    monkeypatch.delenv("FORCE_COLOR")
    assert "\x1b" not in arnode(capsys, "diff", session["kept"].id.hex())


def test_replay_lays_out_source_environment_and_command(
    session: dict[str, Record], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "again"
    out = arnode(capsys, "export", "experiment", session["kept"].id.hex()[:10], str(folder))
    assert (folder / "train.py").read_bytes() == BETTER["train.py"]
    description = json.loads((folder / "replay.json").read_text())
    assert description["env"] == {"torch": "2.13.0"}
    assert description["seeds"] == [1, 3]
    assert description["tree"] == BETTER.tree.hex()
    command = "arnode run --source train.py --task tiny --seed 1 --seed 3"
    assert command in out
    assert command in (folder / "replay.sh").read_text()
    assert (folder / "replay.sh").stat().st_mode & stat.S_IXUSR
    shell = shutil.which("sh")
    assert shell
    subprocess.run([shell, "-n", str(folder / "replay.sh")], check=True)


def test_replay_overwrites_nothing(
    session: dict[str, Record], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text("mine = True\n")
    for target in (tmp_path, tmp_path / "train.py"):
        err = arnode(capsys, "export", "experiment", session["kept"].id.hex(), str(target), code=2)
        assert "not an empty folder" in err
    assert (tmp_path / "train.py").read_text() == "mine = True\n"
    missing = arnode(
        capsys, "export", "experiment", session["task"].id.hex(), str(tmp_path / "x"), code=2
    )
    assert "no source" in missing


def test_export_prints_what_lies_next_to_the_journal(
    session: dict[str, Record],
    home: Home,
    notebook: Notebook,
    capsys: pytest.CaptureFixture[str],
) -> None:
    journal = Journal(home, notebook.store, notebook.blobs, LINE)
    journal.catch_up()
    printed = arnode(capsys, "export", "results.tsv")
    assert printed == (journal.path / "results.tsv").read_text()
    assert printed.startswith("commit\tval_bpb\tmemory_gb\tstatus\tdescription\n")


def test_untrusted_text_cannot_drive_the_terminal(
    session: dict[str, Record], notebook: Notebook, capsys: pytest.CaptureFixture[str]
) -> None:
    record = notebook.store.append_own(
        KEY, patch_body(BASELINE, BETTER, title=ESCAPES, why="a\nb"), ts_ms=1
    )
    out = arnode(capsys, "show", record.id.hex())
    assert "title: \\u200devil \\u200c" in out
    assert "why: a\\nb" in out
    assert "\u200d" not in arnode(capsys, "show", record.id.hex(), "--json")


@pytest.mark.parametrize("prefix", ["1234567", "nonsense", "00000000"])
def test_wrong_ids_are_usage_errors(
    session: dict[str, Record], capsys: pytest.CaptureFixture[str], prefix: str
) -> None:
    for command in ("show", "diff"):
        assert len(arnode(capsys, command, prefix, code=2).splitlines()) == 2


def test_key_show_prints_public_halves_only(
    session: dict[str, Record], home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = load_keys(home)
    document = json.loads(arnode(capsys, "home", "key", "show", "--json"))
    assert document["author"] == keys.author.public.hex()
    assert document["transport"] == keys.transport.public.hex()
    shown = arnode(capsys, "home", "key", "show")
    seeds = [line.split()[1] for line in home.key.read_text().splitlines()[1:]]
    assert all(seed not in shown + json.dumps(document) for seed in seeds)


def test_key_renew_reports_the_new_key_and_where_the_old_one_is(
    session: dict[str, Record], home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    before = load_keys(home).author.public.hex()
    renewed = json.loads(arnode(capsys, "home", "key", "renew", "--json"))
    assert renewed["author"] != before
    assert Path(renewed["old"]).name == f"key-{before[:12]}"
    assert renewed["author"] in arnode(capsys, "home", "key", "show")


def test_paths_and_config_say_where_things_are(
    session: dict[str, Record],
    home: Home,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert json.loads(arnode(capsys, "home", "paths", "--json"))["store"] == str(home.store)
    first, *rows = arnode(capsys, "home", "paths").splitlines()
    assert first == str(home.root)
    named = {row.split()[0]: row.split(maxsplit=1)[1] for row in rows}
    assert {"secret", "fleet-key", "own-records.log", "web-tokens.json"} <= set(named)
    assert named["journal"].startswith("one git repository")
    assert {path.name for path in home.root.iterdir()} <= {
        *named,
        "records.db-wal",
        "records.db-shm",
    }
    assert arnode(capsys, "home", "config", "path").strip() == str(home.config)
    assert "the defaults apply" in arnode(capsys, "home", "config", "check")
    monkeypatch.setenv("ARNODE_NAME", "bench")
    document = json.loads(arnode(capsys, "home", "config", "show", "--json"))
    assert document["config"]["name"] == "bench"
    assert document["origins"]["name"] == "ARNODE_NAME"
    assert "ARNODE_NAME" in arnode(capsys, "home", "config", "show")


def test_fsck_says_what_is_wrong_and_fixes_it(
    session: dict[str, Record],
    home: Home,
    notebook: Notebook,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Journal(home, notebook.store, notebook.blobs, LINE).catch_up()
    notebook.store.close()
    assert "are intact" in arnode(capsys, "home", "fsck")
    notebook.blobs.path(BETTER.tree).write_bytes(b"?")
    assert "fsck --rebuild" in arnode(capsys, "home", "fsck", code=1)
    assert "rebuilt" in arnode(capsys, "home", "fsck", "--rebuild")
    document = json.loads(arnode(capsys, "home", "fsck", "--json"))
    assert (document["ok"], document["problems"]) == (True, [])


def test_fsck_does_not_fix_next_to_a_running_node(
    session: dict[str, Record], home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    with home.lock():
        assert "is running on the home" in arnode(capsys, "home", "fsck", "--rebuild", code=6)
        with Store.open_read_only(home) as reader:
            assert len(reader.experiments.listed()) == 4


def test_logs_before_any_node_ran_say_so(
    session: dict[str, Record], home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no node has run" in arnode(capsys, "home", "logs", code=3)
    home.log.write_text("one\ntwo\nthree\n")
    assert arnode(capsys, "home", "logs", "-n", "2") == "two\nthree\n"
    assert json.loads(arnode(capsys, "home", "logs", "-n", "1", "--json")) == {
        "v": 1,
        "line": "three",
    }


def test_the_log_shows_what_was_kept_and_what_is_new(
    session: dict[str, Record], capsys: pytest.CaptureFixture[str]
) -> None:
    def ids(*words: str) -> list[str]:
        entries = json.loads(arnode(capsys, "log", "--json", *words))["experiments"]
        return [entry["id"] for entry in entries]

    assert len(ids()) > 1
    assert ids("--kept") == [session["kept"].id.hex()]
    assert ids("--since", "2020-01-01") == ids()
    assert ids("--since", "1h") == []
    assert "is not a time" in arnode(capsys, "log", "--since", "5x", code=2)
    with pytest.raises(SystemExit):
        main(("log", "--since", "1h"))
    assert capsys.readouterr().err == "no experiment matches; plain `arnode log` lists all\n"


@pytest.mark.parametrize(
    ("upper_nano", "meaning"),
    [
        (-1, "it measured worse than its base here"),
        (1, "these pairs show no clear gain; there may be a small one"),
    ],
)
def test_a_rerun_that_is_surely_worse_is_no_small_gain(
    capsys: pytest.CaptureFixture[str], upper_nano: int, meaning: str
) -> None:
    step = RerunStep(
        base=BASELINE.tree, tree=BETTER.tree, target=None, author=KEY.public, gain_nano=None,
        lower_nano=None, alpha_micro=50_000, max_pairs=20, is_quick=False, is_published=True,
        proof=bytes(64), verdict="unconfirmed", measured_nano=-2, from_nano=-4, to_nano=upper_nano,
    )  # fmt: skip
    verified = Verified(
        manifest=MANIFEST, hardware_class="cpu", step=step, runs=(), marks=(), signed_ms=None
    )
    print_verified(verified)
    out = capsys.readouterr().out
    assert "claims no gain in pairs of runs; `log` and `show` also have gains of single runs" in out
    assert f"unconfirmed: {meaning}\n" in out


@pytest.mark.parametrize(
    ("key", "value", "written"),
    [
        ("lanes", "2", 2),
        ("peer_share", "0.5", 0.5),
        ("online", "true", True),
        ("task", "tiny", "tiny"),
        ("agent", "search,claude", ["search", "claude"]),
    ],
)
def test_a_setting_is_changed_by_command(
    home: Home,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    value: str,
    written: object,
) -> None:
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    home.prepare()
    home.config.write_text("# mine\nmdns = false\n")
    assert f"{key} = {value}" in arnode(capsys, "home", "config", "set", key, value)
    text = home.config.read_text()
    assert text.startswith("# mine\nmdns = false\n")
    assert tomllib.loads(text) == {"mdns": False, key: written}
    shown = json.loads(arnode(capsys, "home", "config", "show", "--json"))["config"]
    assert shown[key] == written


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("lane", "2"), "there is no setting `lane`"),
        (("peer_share", "7"), "`peer_share` takes a number from 0 to 1"),
        (("online", "maybe"), "`online` takes true or false"),
    ],
)
def test_a_wrong_setting_changes_nothing(
    home: Home,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    code = 2 if "no setting" in said else 6
    assert said in arnode(capsys, "home", "config", "set", *words, code=code)
    assert not home.config.exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("head --set abcd --undo", "exclude other options"),
        ("head --undo --working", "exclude other options"),
        ("head --unverified", "--unverified needs --set"),
        ("try --from below -m why", "--from does not use"),
        ("try --from tiny --folder .", "--from does not use"),
    ],
)
def test_options_that_exclude_each_other_are_one_error(
    session: dict[str, Record], capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    assert said in arnode(capsys, *line.split(), code=2)
