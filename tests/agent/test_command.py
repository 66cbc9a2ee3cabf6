"""A program as a proposer: its input, and how its output is used."""

import asyncio
import hashlib
import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.command import (
    FIRST_RETRY_S,
    LONGEST_RETRY_S,
    Assignment,
    CommandProposer,
    Edited,
    Ran,
    Write,
    summary_of,
    words_of,
)
from agent.completion import ModelCost
from agent.proposal import Brief, Context, Crash, NoProposal, Outcome, Proposal, ProposerQuestion
from agent.source.allow_lists import TRAINING
from agent.source.capabilities import CapabilityFinding, Checked
from agent.source.edits import edits_between, reapply
from protocol.codecs import long_text, single_line
from protocol.errors import Rejected
from protocol.record_kinds import MAX_WHY
from protocol.remarks import MAX_TITLE
from protocol.source import Source

BASE = Source.of({"train.py": b"a = 1\nb = 2\n"})
BETTER = Source.of({"train.py": b"a = 1\nb = 3\nc = 4\n"})
MARK = b"m" * 32
TOOK = ModelCost(calls=1, tokens_in=1_000, tokens_out=50, usd_nano=7)
SOCKET = CapabilityFinding(path="train.py", line=3, what="import", text="import socket")
REPEATED = "its change was tried before, or hardly differs from an earlier one"
FIT = Checked(fingerprint=MARK)
BRIEF = Brief(
    task="tiny", program="Be bold.", metric="val_bpb", unit="", is_minimised=True, budget="",
    hardware_class="", limits="", measured="", noise_sd=0.01, base=None,
    imports=TRAINING.imports,
)  # fmt: skip
CONTEXT = Context(
    source=BASE, editable=("train.py",), hyperparameters=(), moves=(), history=(),
    tried=lambda _mark: False, seed=1, brief=BRIEF,
)  # fmt: skip


def proposer(
    *done: Edited | Rejected | NoProposal,
    check: Checked = FIT,
    jobs: list[Assignment] | None = None,
    prompt: Write = lambda context: f"Seed {context.seed}.",
    remark: str = "",
) -> CommandProposer:
    """Return a proposer whose program writes these results, one after the other."""
    left = list(done)

    async def run(job: Assignment) -> Ran:
        if jobs is not None:
            jobs.append(job)
        return Ran(result=left.pop(0), cost=TOOK, remark=remark)

    async def checked(_source: Source) -> Checked:
        return check

    return CommandProposer(
        run,
        name="claude",
        argv=("claude", "{prompt}"),
        prompt=prompt,
        check=checked,
    )


def proposed(made: CommandProposer, context: Context = CONTEXT) -> Proposal | NoProposal:
    return asyncio.run(made.propose(context))


def reason(made: CommandProposer, context: Context = CONTEXT) -> str:
    said = proposed(made, context)
    assert isinstance(said, NoProposal)
    return said.reason


def edited(source: Source = BETTER, note: bytes = b"") -> Edited:
    return Edited(source=source, note=note)


def test_a_proposal_says_where_it_comes_from() -> None:
    said = proposed(proposer(edited(note=b"Raise b\n\nIt was low.\n")))
    assert isinstance(said, Proposal)
    assert (said.title, said.why) == ("Raise b", "It was low.")
    assert (said.key, said.proposer, said.model) == ("command:raise-b", "command", "claude")
    assert said.program == hashlib.sha256(b"Be bold.").digest()
    assert (said.parent, said.source, said.fingerprint) == (BASE.tree, BETTER, MARK)
    assert reapply(said.edits, BASE) == BETTER
    assert said.cost == TOOK


def test_the_printed_prompt_is_what_a_program_gets() -> None:
    jobs: list[Assignment] = []
    made = proposer(edited(), jobs=jobs)
    question = made.question(CONTEXT)
    assert isinstance(question, ProposerQuestion)
    assert jobs == []
    proposed(made)
    assert [turn.content for turn in question.turns] == [jobs[0].prompt]
    nothing = NoProposal(reason="too long", retry_s=1.0)
    assert proposer(prompt=lambda _: nothing).question(CONTEXT) == nothing


def test_without_a_title_the_change_is_counted() -> None:
    said = proposed(proposer(edited()))
    assert isinstance(said, Proposal)
    assert said.title == "train.py: 2 lines changed"
    assert said.key == "command:train-py-2-lines-changed"
    assert summary_of(BASE, Source.of({"train.py": b"a = 1\n"})) == "train.py: 1 line changed"


def test_what_it_took_and_what_was_thrown_away_is_said_where_nothing_comes_of_it() -> None:
    said = proposed(proposer(Edited(source=BASE, note=b""), remark="it added a.bak: thrown away"))
    assert isinstance(said, NoProposal)
    assert said.reason == "it changed nothing; it added a.bak: thrown away"
    assert said.cost == TOOK


def test_one_that_was_not_even_started_waits_as_long_as_asked() -> None:
    over = NoProposal(reason="over budget: all of it", retry_s=9.0)
    made = proposer(over, Rejected("no"))
    assert proposed(made) == over
    said = proposed(made)
    assert isinstance(said, NoProposal)
    assert said.retry_s == FIRST_RETRY_S  # and that was no failure of the program


def test_a_title_without_letters_gets_a_key_all_the_same() -> None:
    said = proposed(proposer(edited(note="更宽".encode())))
    assert isinstance(said, Proposal)
    assert said.key == f"command:{BETTER.tree.hex()[:12]}"


def test_the_program_and_the_prompt_lie_next_to_the_files() -> None:
    jobs: list[Assignment] = []
    proposed(proposer(edited(), jobs=jobs))
    (job,) = jobs
    assert job.source == BASE
    assert job.extra_files == ((".arnode/prompt.md", b"Seed 1."), ("program.md", b"Be bold."))


def test_a_task_that_edits_its_program_file_has_only_its_own() -> None:
    source = Source.of({"program.md": b"x"})
    jobs: list[Assignment] = []
    proposed(proposer(edited(), jobs=jobs), replace(CONTEXT, source=source))
    (job,) = jobs
    assert [path for path, _ in job.extra_files] == [".arnode/prompt.md"]


def test_a_crash_is_laid_out_and_the_proposal_is_still_of_the_base() -> None:
    crashed = Source.of({"train.py": b"a = 1\nb = 1 / 0\n"})
    crash = Crash(
        source=crashed, key="command:x", title="X", status="failed", reason="", log_tail="",
        attempt=1,
    )  # fmt: skip
    jobs: list[Assignment] = []
    made = proposer(edited(), edited(crashed), edited(BASE), jobs=jobs)
    context = replace(CONTEXT, crash=crash)
    said = proposed(made, context)
    assert isinstance(said, Proposal)
    assert jobs[0].source == crashed
    assert (said.parent, said.key) == (BASE.tree, "repair:1:command:x")
    assert reason(made, context) == "it changed nothing"
    assert reason(made, context) == "it changed nothing"  # this time it went back to the base


@pytest.mark.parametrize(
    ("done", "check", "expected"),
    [
        (Rejected("it was killed"), FIT, "it was killed"),
        (edited(BASE), FIT, "it changed nothing"),
        (edited(Source.of({"train.py": b"\xff"})), FIT, "train.py is not UTF-8 at byte 0"),
        (
            edited(), Checked(fingerprint=None, fault="too large"),
            "the files that it wrote cannot be run: too large",
        ),
        (
            edited(), Checked(fingerprint=MARK, marks=(SOCKET,)),
            "its version is rejected: train.py, line 3: import socket",
        ),
        (Rejected("\x1b]0;x\x07 \u202eevil"), FIT, "]0;x evil"),
    ],
)  # fmt: skip
def test_what_is_no_proposal_is_a_reason(
    done: Edited | Rejected, check: Checked, expected: str
) -> None:
    assert reason(proposer(done, check=check)) == expected


def test_what_was_tried_is_not_proposed_again() -> None:
    context = replace(CONTEXT, tried=lambda mark: mark == MARK)
    assert reason(proposer(edited()), context) == REPEATED


def test_what_hardly_differs_from_an_earlier_one_is_not_proposed_either() -> None:
    edits = edits_between(BASE, BETTER)
    earlier = Outcome(key="llm:x", decision="screened_out", gain_sd=-1.0, edits=edits)
    assert reason(proposer(edited()), replace(CONTEXT, history=(earlier,))) == REPEATED


def test_without_a_prompt_nothing_is_started() -> None:
    too_long = NoProposal(reason="the program is too long", retry_s=9.0)
    made = proposer(prompt=lambda _: too_long)
    assert proposed(made) == too_long


def test_the_rest_doubles_up_to_an_hour_and_success_ends_it() -> None:
    made = proposer(*[Rejected("no")] * 8, edited(), Rejected("no"))
    rests = [said.retry_s for _ in range(8) if isinstance(said := proposed(made), NoProposal)]
    assert rests == [FIRST_RETRY_S * 2**step for step in range(6)] + [LONGEST_RETRY_S] * 2
    assert isinstance(proposed(made), Proposal)
    said = proposed(made)
    assert isinstance(said, NoProposal)
    assert said.retry_s == FIRST_RETRY_S


def test_words_are_replaced_once_and_never_split() -> None:
    words = (
        "run",
        "{prompt}",
        "--in={folder}",
        "{prompt_file}",
        "{files}",
        "x{files}",
        "{no}{",
        "",
    )
    job = Assignment(
        source=Source.of({"a b.py": b"", "c.py": b""}),
        extra_files=(),
        prompt="{folder} '; rm -rf / #\n\\1 \\g<0>",
        argv=words,
    )
    assert job.command("/w") == (
        "run", "{folder} '; rm -rf / #\n\\1 \\g<0>", "--in=/w", "/w/.arnode/prompt.md",
        "a b.py", "c.py", "x{files}", "{no}{", "",
    )  # fmt: skip


@given(st.binary(max_size=2000) | st.text(max_size=2000).map(str.encode))
def test_every_note_makes_words_that_a_record_can_carry(note: bytes) -> None:
    title, why = words_of(note)
    assert single_line(0, MAX_TITLE).read(title) == title
    assert long_text(MAX_WHY).read(why) == why
    categories = {unicodedata.category(one) for one in title + why if one not in "\n\t"}
    assert not categories & {"Cc", "Cf", "Co", "Cn", "Zl", "Zp"}


def test_hidden_characters_of_a_note_are_dropped() -> None:
    note = "\ufeff Wider\u200b \u202emodel\x1b[0m\r\nwhy\u2066 not\x00?\r\n\r\nyes".encode()
    assert words_of(note) == ("Wider model[0m", "why not? yes")
