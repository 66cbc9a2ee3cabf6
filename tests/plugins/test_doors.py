"""Plugins of another distribution: used like those that come with arnode, or left out by name."""

import asyncio
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.plugin import PluggedProposer, ProposerPlugin, change
from agent.proposal import Context, NoProposal, Outcome, Proposal, Proposer
from agent.source.capabilities import Checked
from node.home import plugins as module
from node.home.config import Config
from node.home.home import Home
from node.home.plugins import EXPORTERS, IMPORTERS, PROPOSERS, plugins
from node.maintenance.doctor import examine
from node.proposing.choice import OwnChoice, arms_of
from protocol.errors import ConfigurationError
from protocol.ideas import HyperparameterSpec
from protocol.source import Source
from tests.agent.contexts import context
from tests.node.night import Night
from tests.node.test_commands import arnode
from tests.plugins.distribution import in_document, installed

DOCUMENT = Path(__file__).parents[2] / "docs" / "contributing.md"
BROKEN = """
[project]
name = "arnode-broken"
version = "2.0"

[project.entry-points."arnode.importers"]
torn = "arnode_broken.torn:IMPORTER"
odd = "arnode_broken.odd:IMPORTER"
openevolve = "arnode_broken.odd:IMPORTER"
clashing = "arnode_broken.clashing:IMPORTER"
bundle = "arnode_broken.nothing:IMPORTER"
"""


_CLASHING = """
from node.exchange.importers import Importer, Option, TaskReader

IMPORTER = Importer(
    task=TaskReader(summary="One.", read=print, options=(Option(name="into", help="Where."),))
)
"""


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Install the documented plugin, and a distribution whose plugins are invalid."""
    broken = {
        "arnode_broken/torn.py": "import nothing_of_this_name\n",
        "arnode_broken/odd.py": "IMPORTER = 1\n",
        "arnode_broken/clashing.py": _CLASHING,
        "arnode_broken/nothing.py": "raise SystemExit(7)\n",
    }
    return [
        installed(*in_document(DOCUMENT), tmp_path_factory.mktemp("shown")),
        installed(BROKEN, broken, tmp_path_factory.mktemp("broken")),
    ]


@pytest.fixture
def plugin_site(sites: list[Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Both are installed next to arnode."""
    for site in sites:
        monkeypatch.syspath_prepend(site)
    module._scanned.cache_clear()
    yield
    module._scanned.cache_clear()


@pytest.mark.usefixtures("plugin_site")
def test_each_kind_is_found_with_its_distribution_and_own_ones_go_first() -> None:
    for group, name in ((PROPOSERS, "doubling"), (IMPORTERS, "runs-csv"), (EXPORTERS, "csv")):
        found = plugins(group)[name]
        assert (found.distribution, found.version, found.is_own) == ("arnode-csv", "0.1", False)
    assert plugins(IMPORTERS)["openevolve"].is_own


@pytest.mark.usefixtures("plugin_site")
def test_an_importer_takes_a_history_in_and_its_bytes_come_out_again(
    home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    text = 'name,loss,note\nfirst,1.5,as it was\nsecond,1.25,"twice, the rate"\n'
    (tmp_path / "runs.csv").write_text(text)
    document = json.loads(arnode(capsys, "import", "runs-csv", str(tmp_path), "--json"))
    assert (document["form"], document["metric"], document["read"]) == ("runs-csv", "loss", 2)
    output = arnode(capsys, "export", "results.tsv", "--imported", document["imported"][:8])
    assert output == text
    assert "Import runs.csv" in arnode(capsys, "import", "--help")


@pytest.mark.usefixtures("plugin_site")
def test_an_exporter_writes_a_line(
    night: Night,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ARNODE_HOME", str(night.home.root))
    assert " for csv" in arnode(capsys, "export", "csv", str(tmp_path / "out"))
    (written,) = (tmp_path / "out").glob("*.csv")
    rows = list(csv.DictReader(written.read_text(encoding="utf-8").splitlines()))
    assert len(rows) == len(night.store.experiments.listed())
    assert (rows[0]["title"], rows[0]["val_bpb"]) == ("baseline", "1.5")


async def fit(source: Source) -> Checked:
    """Say that any source may be run."""
    return Checked(fingerprint=source.tree)


def asked(proposer: Proposer, **changes: Any) -> Proposal | NoProposal:
    return asyncio.run(PluggedProposer("doubling", proposer, fit).propose(context(**changes)))


@pytest.mark.usefixtures("plugin_site")
def test_a_proposer_is_asked_by_its_name_until_it_is_out_of_ideas() -> None:
    assert arms_of(Config(agent=("doubling", "search")))[0].choice == OwnChoice(name="doubling")
    doubling = plugins(PROPOSERS)["doubling"].load(ProposerPlugin).make()
    hyperparameters = (
        HyperparameterSpec(name="BATCH", type="int"),
        HyperparameterSpec(name="NO_SUCH", type="int"),
    )
    first = asked(doubling, hyperparameters=hyperparameters)
    assert isinstance(first, Proposal)
    assert (first.proposer, first.key) == ("doubling", "double:BATCH")
    assert first.title == "BATCH = 4 → BATCH = 8"
    assert first.fingerprint == first.source.tree
    assert first.edits
    tried = Outcome(key=first.key, decision="screened_out", gain_sd=0.0)
    then = asked(doubling, hyperparameters=hyperparameters, history=(tried,))
    assert isinstance(then, NoProposal)
    assert then.reason == "it has no more ideas"
    again = asked(doubling, hyperparameters=hyperparameters, tried=lambda _: True)
    assert isinstance(again, NoProposal)
    assert again.reason == "its proposal was tried before"


class Nameless:
    """Says nothing of what it proposes."""

    def propose(self, context: Context) -> Proposal | None:
        source = context.source.replacing("train.py", b"x = 1\n")
        return change(context, source, key="", title="", why="")


def test_what_has_no_title_is_given_one_that_a_job_can_keep() -> None:
    found = asked(Nameless())
    assert isinstance(found, Proposal)
    assert (found.key, found.title) == ("idea", "a change without a title")


class Odd:
    def propose(self, _context: Context) -> Any:
        return "a proposal"


def test_what_is_no_proposal_costs_its_turn_alone() -> None:
    reported = asked(Odd())
    assert isinstance(reported, NoProposal)
    assert reported.reason.startswith("it failed: AttributeError")


class Failing:
    def propose(self, context: Context) -> Proposal | None:
        raise KeyError(context.editable[0])


def test_what_a_proposer_raises_costs_its_turn_alone() -> None:
    reported = asked(Failing())
    assert isinstance(reported, NoProposal)
    assert reported.reason == "it failed: KeyError: 'train.py'"


def test_what_may_not_be_run_is_not_proposed() -> None:
    async def unfit(_: Source) -> Checked:
        return Checked(fingerprint=None, fault="it is too large")

    class Same:
        def propose(self, context: Context) -> Proposal | None:
            source = context.source.replacing("train.py", b"x = 1\n")
            return change(context, source, key="x", title="x", why="x")

    reported = asyncio.run(PluggedProposer("same", Same(), unfit).propose(context()))
    assert isinstance(reported, NoProposal)
    assert reported.reason == "its proposal may not be run: it is too large"


@pytest.mark.usefixtures("plugin_site")
@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("torn", "cannot be loaded: ModuleNotFoundError"),
        ("odd", "is no Importer"),
        ("bundle", "cannot be loaded: SystemExit: 7"),
        ("clashing", "defines an option twice, or one that arnode has already: into"),
    ],
)
def test_one_that_cannot_be_loaded_is_named_and_nothing_else_suffers(
    name: str, fault: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    output = arnode(capsys, "task", "import", name, str(tmp_path), code=6)
    assert f"the plugin `{name}` of arnode-broken 2.0 {fault}" in output
    assert "pip uninstall arnode-broken" in output
    shown = arnode(capsys, "task", "import", "--help")
    assert f"the plugin `{name}` of" in shown
    assert "EVOLVE-BLOCK" in shown or "initial_program.py" in shown


@pytest.mark.usefixtures("plugin_site")
def test_doctor_lists_those_of_others_and_names_what_is_broken(home: Home) -> None:
    (check,) = (one for one in examine(home) if one.name == "plugins")
    assert check.status == "warning"
    assert "the plugin `torn` of arnode-broken 2.0 cannot be loaded" in check.detail
    assert "the plugin `odd` of arnode-broken 2.0 is no Importer" in check.detail


@pytest.mark.usefixtures("plugin_site")
def test_the_commands_that_are_there_go_before_plugins_of_their_names(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = arnode(capsys, "import", "--help")
    assert shown.count("  bundle ") == 1
    assert "Import a bundle's records and sources" in arnode(capsys, "import", "bundle", "--help")


def test_doctor_counts_arnodes_own(home: Home) -> None:
    (check,) = (one for one in examine(home) if one.name == "plugins")
    assert (check.status, check.detail) == ("ok", f"{len(_own())} of arnode's own")


def _own() -> list[str]:
    return [name for group in (PROPOSERS, IMPORTERS, EXPORTERS) for name in plugins(group)]


def test_each_of_arnodes_own_can_be_loaded() -> None:
    for group in (PROPOSERS, IMPORTERS, EXPORTERS):
        for found in plugins(group).values():
            assert found.load(object)
    with pytest.raises(ConfigurationError, match="is no ProposerPlugin"):
        plugins(EXPORTERS)["mlflow"].load(ProposerPlugin)
