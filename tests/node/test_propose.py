"""`arnode agent propose`: one proposal shown, of the built-in search or of a scripted model."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from node.commands.cli import main
from node.home.home import Home
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.remarks import InsightBody
from tests.llm_server import LlmServer, refuses, says
from tests.node.peer_authors import PeerAuthor
from trainer.task_kinds import load_task

pytestmark = pytest.mark.usefixtures("light_worker")

Say = Callable[..., "Said"]


@dataclass(frozen=True)
class Said:
    """The result of a command line."""

    code: int
    out: str
    err: str


EDIT = """\
TITLE: A narrower block
WHY: It has too many parameters for so few tokens.
train.py
<<<<<<< SEARCH
MLP_RATIO = 4
=======
MLP_RATIO = 3
>>>>>>> REPLACE
"""


@pytest.fixture
def arnode(capsys: pytest.CaptureFixture[str]) -> Say:
    def run(*words: str) -> Said:
        with pytest.raises(SystemExit) as caught:
            main(words)
        printed = capsys.readouterr()
        return Said(int(caught.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("ARNODE_HOME", str(tmp_path / "home"))
    return Home(tmp_path / "home")


def test_the_built_in_search_proposes_without_a_run_or_a_record(at_home: Home, arnode: Say) -> None:
    done = arnode("agent", "propose", "--json")
    assert done.code == 0, done.err
    proposal = json.loads(done.out)["proposal"]
    assert proposal["proposer"] == "search"
    assert "+++ b/train.py" in proposal["diff"]
    with Store.open_read_only(at_home) as store:
        assert store.records.count() == 0
    assert json.loads(arnode("agent", "propose", "--json").out)["proposal"] == proposal


def test_a_dry_run_says_what_would_be_asked_and_asks_nobody(at_home: Home, arnode: Say) -> None:
    with LlmServer(says(EDIT)) as server:
        at_home.root.mkdir(mode=0o700)
        at_home.config.write_text(f'agent = "small"\nllm_url = "{server.url}"\n')
        at_home.programs.mkdir()
        (at_home.programs / "tiny.md").write_text("Look at the width only.")
        shown = arnode("agent", "propose", "--print-prompt")
        short = arnode("agent", "propose", "--dry-run")
        assert server.requests == []
    assert shown.code == 0, shown.err
    assert "##### system #####" in shown.out
    assert "Look at the width only." in shown.out
    assert "MLP_RATIO = 4" in shown.out
    assert short.out == ""
    assert "characters for small" in short.err


def test_the_prompt_has_the_room_that_the_model_has_at_work(at_home: Home, arnode: Say) -> None:
    with LlmServer(says(EDIT)) as server:
        at_home.root.mkdir(mode=0o700)
        settings = f'agent = "small"\nllm_url = "{server.url}"\nllm_context = 16384\n'
        at_home.config.write_text(settings)
        output = arnode("agent", "propose", "--dry-run")
        shown = json.loads(arnode("agent", "propose", "--print-prompt", "--json").out)
        assert server.requests == []
        assert arnode("agent", "propose").code == 0
        (question,) = server.questions
    # A token of what an answer leaves of the context is taken to have three characters.
    assert "; limit: 24,576 characters, as the model's context and price allow" in output.err
    assert shown["room"].startswith("24,576 characters")
    assert question["messages"] == shown["prompt"]


def test_what_would_be_sent_can_be_read_before_a_key_is_given(
    at_home: Home, arnode: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    at_home.root.mkdir(mode=0o700)
    at_home.config.write_text('agent = "openai/gpt-4o"\n')
    shown = arnode("agent", "propose", "--print-prompt")
    assert shown.code == 0, shown.err
    assert "MLP_RATIO = 4" in shown.out
    assert "; limit: 100,000 characters, as openai/gpt-4o needs an API key" in shown.err
    assert arnode("agent", "propose").code != 0


def test_without_a_model_the_prompt_is_of_a_usual_length(at_home: Home, arnode: Say) -> None:
    shown = arnode("agent", "propose", "--dry-run")
    assert "search needs no prompt); limit: 100,000 characters, as no model is set" in shown.err


def test_without_a_node_too_it_is_shown_what_peers_say(at_home: Home, arnode: Say) -> None:
    assert arnode("agent", "propose").code == 0
    at_home.config.write_text("peer_texts = true\n")
    task = load_task("tiny", data_dir=at_home.data)
    body = InsightBody(task=task.id, hardware_class=None, message="Narrow blocks pay.", evidence=())
    with Store.open(at_home) as store:
        PeerAuthor(store, Blobs(at_home.blobs), number=50).publish(body)
    assert "Narrow blocks pay." in arnode("agent", "propose", "--print-prompt").out


def test_a_model_s_proposal_is_shown_with_what_it_cost(at_home: Home, arnode: Say) -> None:
    with LlmServer(says(EDIT)) as server:
        at_home.root.mkdir(mode=0o700)
        at_home.config.write_text(f'agent = "small"\nllm_url = "{server.url}"\n')
        done = arnode("agent", "propose")
        assert len(server.questions) == 1
    assert done.code == 0, done.err
    assert "A narrower block" in done.out
    assert "proposed by llm (small)" in done.out
    assert "+MLP_RATIO = 3" in done.out
    assert "1 question, 11 + 7 tokens, 0 USD" in done.err


def test_where_the_model_has_nothing_the_built_in_search_is_asked_and_it_is_said(
    at_home: Home, arnode: Say
) -> None:
    with LlmServer(refuses(401)) as server:
        at_home.root.mkdir(mode=0o700)
        at_home.config.write_text(f'agent = "small"\nllm_url = "{server.url}"\n')
        done = arnode("agent", "propose")
    assert done.code == 0, done.err
    assert "unauthorized" in done.err
    assert "proposed by search" in done.out


def test_nobody_to_ask_is_exit_code_1(at_home: Home, arnode: Say) -> None:
    at_home.root.mkdir(mode=0o700)
    at_home.config.write_text('agent = "none"\n')
    done = arnode("agent", "propose")
    assert done.code == 1
    assert "every proposal was tried before" in done.err
