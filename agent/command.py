"""A proposer that runs a program (Claude Code, Codex, aider or the user's own) to edit the files.

The program's output is untrusted. Its text is sanitized and shortened. Its source is checked
elsewhere and never parsed here. Only an edit of the editable files counts as a proposal. The caller
decides where and how the program runs. A failure is returned as a reason, because coding agents
fail often.
"""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Final, TypeAlias

from agent.completion import ChatMessage, ModelCost
from agent.model.novelty import repeat_of
from agent.model.quoting import one_line
from agent.proposal import Context, NoProposal, Proposal, ProposerQuestion, repair_key
from agent.source.capabilities import Check, Checked
from agent.source.edits import edits_between
from agent.source.hunks import hunks_between
from agent.visit.trace import Refused, TraceLog, TraceStep
from protocol.codecs import fit_line
from protocol.errors import Rejected
from protocol.patches import unified_diff
from protocol.record_kinds import MAX_WHY
from protocol.remarks import MAX_TITLE
from protocol.source import Source

PROPOSER: Final = "command"
NOTES: Final = ".arnode"  # a folder of the worktree that the program may use freely
PROMPT_FILE: Final = f"{NOTES}/prompt.md"
PROGRAM_FILE: Final = "program.md"
TITLE_NAME: Final = "title.txt"
TITLE_FILE: Final = f"{NOTES}/{TITLE_NAME}"  # the title on the first line, the reasons below it

FIRST_RETRY_S: Final = 60.0
LONGEST_RETRY_S: Final = 3600.0
_REASON_LIMIT = 300
_SLUG_LIMIT = 48
_PLACEHOLDER = re.compile(r"\{(prompt|prompt_file|folder)\}")
_FILES = "{files}"
_NOT_A_SLUG = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A job for a program: files to edit, files to read alongside them, prompt and command line."""

    source: Source
    extra_files: tuple[tuple[str, bytes], ...]
    prompt: str
    argv: tuple[str, ...]

    def command(self, folder: str) -> tuple[str, ...]:
        """Return the command line for a folder that holds the files.

        Every `{prompt}`, `{prompt_file}` and `{folder}` is replaced by its value; placeholders
        inside these values are not replaced. The argument `{files}` becomes one argument for each
        editable file. No shell interprets the command line.
        """
        values = {
            "prompt": self.prompt,
            "prompt_file": f"{folder}/{PROMPT_FILE}",
            "folder": folder,
        }
        words: list[str] = []
        for word in self.argv:
            if word == _FILES:
                words += [path for path, _ in self.source.files]
            else:
                words.append(_PLACEHOLDER.sub(lambda found: values[found[1]], word))
        return tuple(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """The files as the program left them, and the content of `TITLE_FILE`."""

    source: Source
    note: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """The result of running a program: its edit, the reason it has none, or why it did not start.

    `remark` is a further note for the owner, for example on files that were ignored. `steps` are
    those that the program reports.
    """

    result: Edited | Rejected | NoProposal
    cost: ModelCost
    remark: str = ""
    steps: tuple[TraceStep, ...] = ()


Run: TypeAlias = Callable[[Assignment], Awaitable[Ran]]
Write: TypeAlias = Callable[[Context], str | NoProposal]


@dataclass(slots=True, eq=False)
class CommandProposer:
    """A proposer that has a program edit the working line or repair a crashed proposal.

    `run` runs the program, `check` decides whether a source may run, and `prompt` writes the
    prompt. `name` identifies the program.
    """

    run: Run
    _: KW_ONLY
    name: str
    argv: tuple[str, ...]
    prompt: Write
    check: Check
    _retry_s: float = field(default=FIRST_RETRY_S, init=False)

    async def propose(self, context: Context) -> Proposal | NoProposal:
        """Return the program's proposal, or the reason there is nothing to try."""
        base = context.crash.source if context.crash else context.source
        prompt = await asyncio.to_thread(self.prompt, context)
        if isinstance(prompt, NoProposal):
            return prompt
        log = TraceLog()
        log.ask((ChatMessage(role="user", content=prompt),))
        ran = await self.run(self._job(context, base, prompt))
        log.steps += ran.steps
        match ran.result:
            case NoProposal() as none:
                log.refused("limit", none.reason)
                return replace(none, steps=tuple(log.steps))
            case Edited() as edited:
                await asyncio.to_thread(log.edited, base, edited.source)
                found = await self._judged(context, base, edited)
            case Rejected() as rejected:
                found = Refused(kind="fault", reason=rejected.reason)
        if isinstance(found, Proposal):
            self._retry_s = FIRST_RETRY_S
            return replace(found, cost=ran.cost, steps=tuple(log.steps))
        retry_s, self._retry_s = self._retry_s, min(2 * self._retry_s, LONGEST_RETRY_S)
        reason = f"{found.reason}; {ran.remark}" if ran.remark else found.reason
        log.refused(found.kind, reason)
        return NoProposal(
            reason=one_line(reason, _REASON_LIMIT),
            retry_s=retry_s,
            cost=ran.cost,
            steps=tuple(log.steps),
        )

    def question(self, context: Context) -> ProposerQuestion | NoProposal:
        """Return the prompt, or the reason there is none. The program is not started."""
        prompt = self.prompt(context)
        if isinstance(prompt, NoProposal):
            return prompt
        turns = (ChatMessage(role="user", content=prompt),)
        return ProposerQuestion(turns=turns, room="the longest command-line argument")

    def _job(self, context: Context, base: Source, prompt: str) -> Assignment:
        program = context.brief and context.brief.program
        extra_files = [(PROMPT_FILE, prompt.encode("utf-8", "replace"))]
        if program and PROGRAM_FILE not in dict(base.files):
            extra_files.append((PROGRAM_FILE, program.encode("utf-8")))
        return Assignment(
            source=base, extra_files=tuple(extra_files), prompt=prompt, argv=self.argv
        )

    async def _judged(self, context: Context, base: Source, edited: Edited) -> Proposal | Refused:
        source = edited.source
        if source.tree in (base.tree, context.source.tree):
            return Refused(kind="unchanged", reason="it changed nothing")
        for path, data in source.files:
            try:
                data.decode("utf-8")
            except UnicodeDecodeError as error:
                reason = f"{path} is not UTF-8 at byte {error.start}"
                return Refused(kind="not_allowed", reason=reason)
        checked = await self.check(source)
        if checked.fingerprint is None or checked.fault or checked.marks:
            return _unfit(checked)
        return await asyncio.to_thread(self._proposal, context, base, edited, checked.fingerprint)

    def _proposal(
        self, context: Context, base: Source, edited: Edited, fingerprint: bytes
    ) -> Proposal | Refused:
        source = edited.source
        repeat = repeat_of(hunks_between(context.source, source), fingerprint, context)
        if repeat is not None:
            reason = "its change was tried before, or hardly differs from an earlier one"
            return Refused(kind="tried", reason=reason)
        title, why = words_of(edited.note)
        title = title or summary_of(base, source)
        idea = f"{PROPOSER}:{_slug(title, source)}"
        return Proposal(
            parent=context.source.tree,
            source=source,
            edits=edits_between(context.source, source),
            key=repair_key(context.crash) if context.crash else idea,
            title=title,
            why=why,
            proposer=PROPOSER,
            fingerprint=fingerprint,
            model=self.name,
            program=_program_hash(context),
        )


def _unfit(checked: Checked) -> Refused:
    """Return the reason that a source may not run."""
    if checked.fault or not checked.marks:
        fault = checked.fault or "it cannot be parsed"
        reason = f"the files that it wrote cannot be run: {fault}"
    else:
        finding = checked.marks[0]
        place = f"{finding.path}, line {finding.line}"
        reason = f"its version is rejected: {place}: {finding.text}"
    return Refused(kind="not_allowed", reason=reason)


def words_of(note: bytes) -> tuple[str, str]:
    """Return a note's first line (the title) and its rest (the reasons), sanitized; "" if none."""
    title, _, why = note.decode("utf-8", "replace").strip().partition("\n")
    return one_line(title, MAX_TITLE), one_line(why, MAX_WHY)


def summary_of(base: Source, source: Source) -> str:
    """Return a summary for a change without a title, such as `train.py: 12 lines changed`."""
    lines = unified_diff(base, source).splitlines()
    added = sum(line[:1] == "+" and line[:4] != "+++ " for line in lines)
    removed = sum(line[:1] == "-" and line[:4] != "--- " for line in lines)
    before, count = dict(base.files), max(added, removed)
    names = ", ".join(path for path, data in source.files if before.get(path) != data)
    return fit_line(f"{names}: {count} {'line' if count == 1 else 'lines'} changed", MAX_TITLE)


def _slug(title: str, source: Source) -> str:
    slug = _NOT_A_SLUG.sub("-", title.lower()).strip("-")[:_SLUG_LIMIT].rstrip("-")
    return slug or source.tree.hex()[:12]


def _program_hash(context: Context) -> bytes | None:
    if context.brief is None:
        return None
    return hashlib.sha256(context.brief.program.encode("utf-8")).digest()
