"""A conversation with a model ends with a checked patch, or with a reason and a pause."""

import asyncio
import hashlib
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.completion import CompletionFault, FaultKind, ModelCompletion, ModelCost
from agent.model.answers.joining import whole_lines
from agent.model.proposer import MAX_TRIES, ModelProposer
from agent.proposal import Context, NoProposal, Proposal, ProposerQuestion
from agent.source.canonical import fingerprint
from agent.source.edits import are_kept, reapply
from protocol.codecs import long_text, single_line
from protocol.source import Source
from tests.agent.contexts import BRIEF, MOVES, SECRET, TINY, context, crash, outcome, peer
from tests.agent.scripted import LIMITS, Model, check, proposer, replacing

DEEPER = replacing(("LAYERS = 2", "LAYERS = 3"))
NO_MATCH = replacing(("LAYERS = 9", "LAYERS = 3"))


def asked(model: Model, given: Context | None = None, **changes: Any) -> Proposal | NoProposal:
    return asyncio.run(proposer(model, **changes).propose(given or context()))


def proposed(model: Model, given: Context | None = None) -> Proposal:
    result = asked(model, given)
    assert isinstance(result, Proposal), result
    return result


def no_proposal(model: Model, given: Context | None = None) -> NoProposal:
    result = asked(model, given)
    assert isinstance(result, NoProposal), result
    return result


def deeper(source: Source = TINY) -> Source:
    return source.replacing(
        "train.py", source["train.py"].replace(b"LAYERS = 2\n", b"LAYERS = 3\n")
    )


def test_a_sound_answer_is_a_patch_that_says_where_it_came_from() -> None:
    made = proposed(Model(DEEPER))
    assert made.source == deeper()
    assert made.parent == TINY.tree
    assert reapply(made.edits, TINY) == made.source
    assert made.fingerprint == fingerprint(deeper())
    assert (made.key, made.title, made.why) == ("llm:deeper", "Deeper", "It holds more.")
    assert (made.proposer, made.model) == ("llm", "some/model")
    assert made.program == hashlib.sha256(BRIEF.program.encode()).digest()
    assert made.cost == ModelCost(calls=1, tokens_in=100, tokens_out=7, usd_nano=3)


def test_a_whole_file_will_do() -> None:
    whole = f"TITLE: x\ntrain.py\n```python\n{deeper()['train.py'].decode()}```\n"
    made = proposed(Model(whole))
    assert made.source == deeper()
    assert reapply(made.edits, TINY) == made.source


def test_a_fault_goes_back_with_what_stands_there_and_the_costs_add_up() -> None:
    model = Model(NO_MATCH, DEEPER)
    made = proposed(model)
    assert made.source == deeper()
    assert made.cost == ModelCost(calls=2, tokens_in=200, tokens_out=14, usd_nano=6)
    roles = [message.role for message in model.asked[1].messages]
    assert roles == ["system", "user", "assistant", "user"]
    assert model.asked[1].messages[2].content == NO_MATCH
    assert "SEARCH of block 1 matches nowhere in train.py" in model.last_message
    assert "\nLAYERS = 2\n" in model.last_message


def test_after_three_answers_there_is_none() -> None:
    model = Model(NO_MATCH, "no", "never")
    result = no_proposal(model)
    assert len(model.asked) == MAX_TRIES == 3
    assert "Your answer contains no change" in result.reason
    assert result.retry_s > 0
    assert result.cost.calls == 3


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (replacing(("LAYERS = 2", "LAYERS = (2")), "Python cannot parse your version"),
        (replacing(("LAYERS = 2", "LAYERS = 2; import os")), "rejected before it runs"),
        (replacing(("LAYERS = 2", "LAYERS = 2; eval('3')")), "rejected before it runs"),
        (replacing(("LAYERS = 2", "LAYERS = 2 # \u202e")), "a hidden character, U+202E"),
        (replacing(("LAYERS = 2", "L\u0410YERS = 2")), "non-ASCII letters"),
        (replacing(("LAYERS = 2", "LAYERS = 2  # two")), "comments and layout only"),
        (replacing(("LAYERS = 2", "LAYERS = 2")), "leaves the file as it is"),
        (f"prepare.py\n{replacing(('a', 'b'))}".replace("train.py", "prepare.py"), "prepare.py"),
    ],
    ids=["syntax", "import", "eval", "hidden", "letters", "comment", "same", "file"],
)
def test_what_may_not_run_goes_back_before_it_costs_a_second(answer: str, expected: str) -> None:
    model = Model(answer, DEEPER)
    assert proposed(model).source == deeper()
    assert expected in model.last_message


def test_a_slip_of_syntax_comes_back_with_its_line_and_reason() -> None:
    model = Model(replacing(("LAYERS = 2", "LAYERS = (2")), DEEPER)
    proposed(model)
    assert (
        "train.py, line 15: not Python that can be parsed: '(' was never closed"
        in model.last_message
    )
    assert "\nLAYERS = (2\n" in model.last_message


def test_what_was_tried_goes_back_once() -> None:
    history = (outcome(title="Deeper already", edits=proposed(Model(DEEPER)).edits),)
    wider = replacing(("WIDTH = 64", "WIDTH = 96"), title="Wider")
    model = Model(DEEPER, wider)
    assert proposed(model, context(history=history)).title == "Wider"
    assert "hardly different from an experiment of this node" in model.last_message
    assert "| screened out -0.40 sd: Deeper already | LAYERS 2 → 3" in model.last_message
    model = Model(DEEPER, DEEPER)
    assert "hardly different" in no_proposal(model, context(history=history)).reason
    assert len(model.asked) == 2


def test_a_program_that_ran_is_never_proposed() -> None:
    given = context(tried=lambda mark: mark == fingerprint(deeper()))
    disguised = replacing(("LAYERS = 2", "LAYERS = 3  # more"))
    model = Model(DEEPER, disguised)
    assert isinstance(asked(model, given), NoProposal)
    assert "An equivalent program was run or proposed before" in model.last_message


def test_a_peers_patch_is_reported_by_its_facts() -> None:
    theirs = peer("small-embeddings", title="Obey", gain_sd=2.0)
    model = Model(replacing(("EMBEDDING_INIT = 0.3", "EMBEDDING_INIT = 0.1")), DEEPER)
    proposed(model, context(peers=(theirs,)))
    assert (
        "claimed by its author only, on this class: EMBEDDING_INIT 0.3 → 0.1" in model.last_message
    )
    assert "Obey" not in model.last_message


def test_a_patch_made_from_a_peers_names_it() -> None:
    blocks = [(edit.search.strip("\n"), edit.replace.strip("\n")) for edit in MOVES["softcap"]]
    theirs = peer("softcap", level="here")
    built = replacing(*blocks, ("LAYERS = 2", "LAYERS = 3"))
    made = proposed(Model(built), context(peers=(theirs, peer("rope")), aim="combine"))
    assert made.parents == (theirs.patch,)
    assert proposed(Model(DEEPER), context(peers=(theirs,))).parents == ()


def cut(text: str) -> ModelCompletion:
    return ModelCompletion(
        text=text, is_cut=True, cost=ModelCost(calls=1, tokens_in=1, tokens_out=4_000, usd_nano=5)
    )


def test_an_answer_that_was_cut_is_gone_on_with_and_every_part_is_counted() -> None:
    lines = DEEPER.splitlines(keepends=True)
    first, second, third = ("".join(lines[low:high]) for low, high in ((0, 4), (4, 6), (6, 99)))
    model = Model(cut(f"{first}LAY"), cut(f"{second}LAYE"), third)
    made = proposed(model)
    assert made.source == deeper()
    assert (made.title, made.why) == ("Deeper", "It holds more.")
    assert made.cost == ModelCost(calls=3, tokens_in=102, tokens_out=8_007, usd_nano=13)
    turns = model.asked[2].messages[2:]
    assert (turns[0].role, turns[0].content) == ("assistant", whole_lines(first + second))
    assert "Your answer was cut off there. Continue where it stopped" in turns[1].content
    assert len(turns) == 2


def test_an_answer_that_stays_cut_is_asked_for_again_shorter() -> None:
    model = Model(cut("x\n" * 2_500), cut("y\n" * 50), cut("z\n" * 50), cut("again\n"), DEEPER)
    made = proposed(model)
    assert made.source == deeper()
    assert made.cost.calls == 5
    assert "Your answer was cut off after 4000 tokens" in model.last_message
    reported = [len(question.messages) for question in model.asked]
    assert reported == [2, 4, 4, 4, 6]  # two continuations, then a request for a shorter one
    assert len(model.asked[3].messages[2].content) < 1_100
    assert "cut off after 12000 tokens" in model.asked[3].messages[3].content


def test_an_answer_that_is_never_whole_is_given_up_with_the_reason() -> None:
    model = Model(*[cut("TITLE: x\n")] * 5)
    assert "cut off after 4000 tokens" in no_proposal(model).reason
    assert len(model.asked) == 5


def test_thoughts_that_were_cut_are_not_gone_on_with() -> None:
    model = Model(cut(f"<think>\nPerhaps\n{DEEPER}"), DEEPER)
    assert proposed(model).source == deeper()
    assert "Your answer was cut off after 4000 tokens" in model.last_message


def test_who_is_away_when_asked_to_go_on_is_away() -> None:
    away = CompletionFault(kind="over_budget", detail="today took it all")
    result = no_proposal(Model(cut("TITLE: x\n"), away))
    assert result.reason == "over_budget: today took it all".replace("_", " ")
    assert result.cost.calls == 2


def test_where_there_is_no_room_to_go_on_it_is_asked_for_again() -> None:
    model = Model(cut("chatter\n" * 2_500), DEEPER)
    result = asked(model, limits=replace(LIMITS, prompt_chars=20_000))
    assert isinstance(result, Proposal)
    assert "Your answer was cut off after 4000 tokens" in model.last_message


def test_a_prompt_that_is_too_long_comes_again_shorter_once() -> None:
    overflow = CompletionFault(kind="overflow", detail="8192 tokens")
    given = context(peers=tuple(peer(name, level="here") for name in MOVES))
    model = Model(overflow, DEEPER)
    limits = replace(LIMITS, prompt_chars=24_000)
    result = asked(model, given, limits=limits)
    assert isinstance(result, Proposal)
    sizes = [sum(len(one.content) for one in question.messages) for question in model.asked]
    assert sizes[1] <= 12_000 < sizes[0] <= 24_000
    assert result.cost.calls == 2
    twice = asked(Model(overflow, overflow), given, limits=limits)
    assert isinstance(twice, NoProposal)
    assert twice.reason == "overflow: 8192 tokens"


def test_what_it_would_be_asked_is_what_it_is_asked() -> None:
    model = Model(DEEPER)
    one = proposer(model, replace(LIMITS, prompt_chars=20_000))
    question = one.question(context())
    assert isinstance(question, ProposerQuestion)
    assert question.room == "20,000 characters, as the model's context and price allow"
    assert model.asked == []
    assert isinstance(asyncio.run(one.propose(context())), Proposal)
    assert model.asked[0].messages == question.turns


def test_a_source_that_is_too_long_is_said_and_nobody_is_asked() -> None:
    model = Model()
    limits = replace(LIMITS, prompt_chars=4_000)
    result = asked(model, limits=limits)
    assert proposer(model, limits).question(context()) == result
    assert isinstance(result, NoProposal)
    assert "more than the model's limit of 4000" in result.reason
    assert result.cost == ModelCost()


def test_the_conversation_keeps_to_its_bound() -> None:
    model = Model("chatter " * 1_000, "talk " * 1_500, DEEPER)
    result = asked(model, limits=replace(LIMITS, prompt_chars=20_000))
    assert isinstance(result, Proposal)
    for question in model.asked:
        assert sum(len(message.content) for message in question.messages) <= 20_000
    assert TINY["train.py"].decode() in model.asked[2].messages[1].content


@pytest.mark.parametrize("kind", get_args(FaultKind))
def test_every_fault_is_no_proposal_with_a_pause(kind: FaultKind) -> None:
    fault = CompletionFault(
        kind=kind, detail="\x1b[31mno\n", cost=ModelCost(calls=1, tokens_in=5, usd_nano=2)
    )
    result = no_proposal(Model(fault, fault))
    assert result.reason == f"{kind.replace('_', ' ')}: [31mno"
    assert result.retry_s >= 30
    assert result.cost.usd_nano == 2 * result.cost.tokens_in // 5


@pytest.mark.parametrize(
    ("kind", "first", "longest_s"),
    [("server", [60, 120, 240, 480], 3600), ("unreachable", [60, 120, 240, 300], 300)],
)
def test_pauses_grow_with_every_fault_and_an_answer_ends_them(
    kind: FaultKind, first: list[float], longest_s: float
) -> None:
    away = CompletionFault(kind=kind, detail="refused")
    one = proposer(Model(*[away] * 9, DEEPER, away))

    def pause() -> float:
        result = asyncio.run(one.propose(context()))
        return result.retry_s if isinstance(result, NoProposal) else 0.0

    pauses = [pause() for _ in range(11)]
    assert pauses[:4] == first
    assert pauses[8] == longest_s
    assert pauses[9:] == [0, 60]


@pytest.mark.parametrize(
    ("kind", "retry_s", "pause_s"),
    [
        ("unauthorized", None, 3600),
        ("over_budget", 1200.0, 1200),
        ("rate_limited", 7.5, 7.5),
        ("rate_limited", 1e9, 86_400),
        ("rate_limited", float("nan"), 60),
        ("server", -5.0, 1),
    ],
)
def test_a_pause_is_as_long_as_was_asked_for_within_reason(
    kind: FaultKind, retry_s: float | None, pause_s: float
) -> None:
    assert (
        no_proposal(Model(CompletionFault(kind=kind, detail="", retry_s=retry_s))).retry_s
        == pause_s
    )


def test_what_was_refused_here_is_no_question() -> None:
    assert (
        no_proposal(
            Model(CompletionFault(kind="over_budget", detail="", cost=ModelCost()))
        ).cost.calls
        == 0
    )


def broken() -> Source:
    return TINY.replacing("train.py", TINY["train.py"].replace(b"LAYERS = 2", b"LAYERS = 3; x"))


def test_a_crash_is_repaired_on_the_failed_version_as_a_patch_of_the_base() -> None:
    hint = replacing(("LAYERS = 3; x", "LAYERS = 3"), title="")
    history = (outcome("failed", edits=proposed(Model(DEEPER)).edits),)
    made = proposed(Model(hint), context(crash=crash(broken(), attempt=2), history=history))
    assert made.source == deeper()
    assert made.parent == TINY.tree
    assert reapply(made.edits, TINY) == deeper()
    assert (made.key, made.title) == ("repair:2:llm:deeper", "Deeper")


def test_a_second_repair_is_named_after_the_idea_and_a_third_is_not_asked_for() -> None:
    hint = replacing(("LAYERS = 3; x", "LAYERS = 3"))
    again = crash(broken(), key="repair:1:llm:deeper", attempt=2)
    assert proposed(Model(hint), context(crash=again)).key == "repair:2:llm:deeper"
    model = Model()
    no_proposal(model, context(crash=replace(again, attempt=3)))
    assert model.asked == []


def test_to_take_the_change_back_is_no_repair() -> None:
    back = replacing(("LAYERS = 3; x", "LAYERS = 2"))
    model = Model(back, replacing(("LAYERS = 3; x", "LAYERS = 3")))
    assert proposed(model, context(crash=crash(broken()))).source == deeper()
    assert "reverts the whole change" in model.last_message


@pytest.mark.parametrize(
    ("title", "key"),
    [
        ("Rotary positions (RoPE), θ=10⁴!", "llm:rotary-positions-rope-10"),
        ("a" * 200, "llm:" + "a" * 60),
        ("слово", f"llm:{fingerprint(deeper()).hex()[:8]}"),
    ],
)
def test_the_key_of_an_idea_follows_from_its_title(title: str, key: str) -> None:
    assert proposed(Model(replacing(("LAYERS = 2", "LAYERS = 3"), title=title))).key == key


def test_without_a_title_the_change_is_reported_as_it_is() -> None:
    assert (
        proposed(Model(replacing(("LAYERS = 2", "LAYERS = 3"), title=""))).title == "LAYERS 2 → 3"
    )


@given(st.text(), st.text())
def test_whatever_a_model_calls_it_can_be_recorded_and_shown(title: str, why: str) -> None:
    result = asked(Model(*[replacing(("LAYERS = 2", "LAYERS = 3"), title=title, why=why)] * 3))
    if isinstance(result, Proposal):
        assert single_line(1, 120).read(result.title) == result.title
        assert long_text(600).read(result.why) == result.why
        assert single_line(1, 120).read(result.key) == result.key
        assert are_kept(result.edits)


def test_two_conversations_do_not_know_of_one_another() -> None:
    async def both() -> list[Proposal | NoProposal]:
        one = ModelProposer(
            Model(NO_MATCH, NO_MATCH, DEEPER, DEEPER),
            model="m",
            limits=LIMITS,
            check=check,
            secret=SECRET,
        )
        return await asyncio.gather(one.propose(context()), one.propose(context()))

    assert all(isinstance(result, Proposal) for result in asyncio.run(both()))


def test_a_secret_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        ModelProposer(Model(), model="m", limits=LIMITS, check=check, secret=b"short")
