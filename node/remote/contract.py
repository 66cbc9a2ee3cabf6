"""The messages between a node and a lane on another machine, over any transport.

N is the number of a request from the node. A lane is one device. It handles one request after
another, but scores a run while it trains the next.

    node → lane                             lane → node
    ["open", Opening]                       ["here", version]       first, and after each restart
    ["calibrate", N, seed]                  ["opens", what, thousandths]
    ["run", N, Wanted]                      ["open", Opened]  or  ["refused", message, hint]
    ["judge", N, evidence, seed]            ["waits"]               a run waits for an idle minute
    ["audits", N, bool]                     ["trains", N]           training starts or restarts
    ["hopeless", N, why]                    ["curve", N, [[step, loss]], steps | nil]
    ["cancel", N]                           ["trained", N]          the next run may train
    ["hurry"]                               ["claims", N, public, secret]   audit it?
    ["no more"]                             ["ended", N, LaneOutcome, tolerance]
                                            ["put off", N]
                                            ["failed", N, message, hint]

A lane's machine belongs to the node's owner. The messages are still parsed as strictly as records,
so that no version misreads a message of another version.
"""

import io
from dataclasses import dataclass, field
from typing import Annotated, Final, TypeAlias, cast

import numpy as np

from node.home.faults import DamagedStoreError
from node.store.jobs import StoredOutcome, decode_outcome, encode_outcome
from protocol.codecs import binary, fit_line, integer, single_line
from protocol.encoding import Value
from protocol.errors import ArnodeError
from protocol.fields import Digest, Identifier, Items, Mapped, Natural, RelativePath
from protocol.framing import ChannelError, Framing, Message, plain_framing
from protocol.manifest import MAX_FILES
from protocol.runs import MAX_SEED, Env, Role, Status
from protocol.source import Source
from trainer.measuring.outcome import Answers, RunOutcome

PROGRAM: Final = "node.remote.lane"
MOST_BYTES: Final = 512 << 20  # per message, which may contain a model's product or its answers
FRAMING: Final[Framing[Message]] = plain_framing(MOST_BYTES)
RAW: Final[Framing[bytes]] = Framing(limit_bytes=MOST_BYTES, encode=bytes, decode=bytes)  # unparsed
_ROLE: Final[Role] = "candidate"  # the node knows the role
_KEY_BYTES: Final = 32
_FAULT_CHARACTERS: Final = 400

_File: TypeAlias = tuple[RelativePath, Annotated[bytes, binary(0, 64 << 20)]]
_Text: TypeAlias = Annotated[str, single_line(0, 4096)]
_Bytes: TypeAlias = Annotated[bytes, binary(0, MOST_BYTES)]
_Seed: TypeAlias = Annotated[int, integer(0, MAX_SEED)]


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneOpening(Mapped):
    """The task that a lane opens, and the node's settings for its runs.

    `task`: the name that commands use for it; `id`: the id that it must have. `audit_key`: 32
    secret bytes that decide what audits check. `runs_untrusted`: True if the lane will also run
    untrusted code.
    """

    task: _Text
    id: Digest
    audit_key: Annotated[bytes, binary(_KEY_BYTES, _KEY_BYTES)] = field(repr=False)
    data_url: _Text | None
    patience_ms: Natural
    runs_untrusted: bool
    allow_partial_sandbox: bool
    peers_in_container: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened(Mapped):
    """The device of a lane: its hardware class, and details in `environment`."""

    machine: _Text
    hardware_class: Identifier
    family: Identifier
    cuda: _Text | None
    environment: Env


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted(Mapped):
    """A run, with the arguments of `trainer.runner.Runner.run`.

    `left_ms`: the time until its session ends.
    """

    files: Annotated[tuple[_File, ...], Items(1, MAX_FILES)]
    seed: _Seed
    split: Annotated[bytes | None, binary(_KEY_BYTES, _KEY_BYTES)] = field(repr=False)
    incumbent: _Bytes | None = field(repr=False)
    left_ms: Natural | None
    is_fresh: bool
    wants_product: bool

    @property
    def source(self) -> Source:
        """The source to run."""
        return Source.of(dict(self.files))


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneOutcome(Mapped):
    """A run's outcome with the fields of `RunOutcome`.

    `stored`: the fields that the store keeps, encoded; `fault`: a message and a hint.
    """

    stored: _Bytes = field(repr=False)
    unquoted: _Text | None
    answers: _Bytes | None = field(repr=False)
    product: _Bytes | None = field(repr=False)
    evidence: _Bytes | None = field(repr=False)
    fault: tuple[_Text, _Text] | None

    @classmethod
    def of(cls, outcome: RunOutcome, product: bytes | None = None) -> "LaneOutcome":
        """Return an outcome in the form in which a lane sends it."""
        stored = StoredOutcome(
            run=outcome.to_run(_ROLE),
            log_tail=outcome.log_tail,
            stages=outcome.stages,
            curve=outcome.curve,
            steps=outcome.steps,
        )
        return cls(
            stored=encode_outcome(stored),
            unquoted=outcome.unquoted,
            answers=packed(outcome.answers),
            product=product,
            evidence=outcome.evidence,
            fault=None if outcome.fault is None else fault_lines(outcome.fault),
        )

    def outcome(self) -> RunOutcome:
        """Return the outcome. Raises ChannelError if it is invalid."""
        try:
            stored = decode_outcome(self.stored)
        except (DamagedStoreError, TypeError, ValueError) as fault:
            raise ChannelError("the lane sent an invalid outcome") from fault
        run = stored.run
        return RunOutcome(
            seed=run.seed,
            status=cast("Status", run.status),
            metric_nano=run.metric_nano,
            secret_nano=run.secret_nano,
            ms=run.ms,
            cpu_ms=run.cpu_ms,
            serve_ms=run.serve_ms,
            tokens=run.tokens,
            peak_mem_bytes=run.peak_mem_bytes,
            audit=run.audit,
            flags=run.flags,
            reason=run.reason,
            unquoted=self.unquoted,
            log_tail=stored.log_tail,
            answers=unpacked(self.answers),
            stages=stored.stages,
            curve=stored.curve,
            steps=stored.steps,
            evidence=self.evidence,
            fault=None if self.fault is None else ArnodeError(*self.fault),
        )


def fault_lines(fault: ArnodeError) -> tuple[str, str]:
    """Return the message and hint of a fault, each as one line."""
    return fit_line(fault.message, _FAULT_CHARACTERS), fit_line(fault.hint, _FAULT_CHARACTERS)


def packed(answers: Answers | None) -> bytes | None:
    """Return answers as bytes. The answers of every task are a numeric array."""
    if answers is None:
        return None
    stream = io.BytesIO()
    np.save(stream, np.asarray(answers), allow_pickle=False)
    return stream.getvalue()


def unpacked(data: bytes | None) -> Answers | None:
    """Parse answers. Raises ChannelError if they are invalid."""
    if data is None:
        return None
    try:
        return cast("Answers", np.load(io.BytesIO(data), allow_pickle=False))
    except (ValueError, EOFError, OSError) as fault:
        raise ChannelError(f"the lane sent invalid answers: {fault}") from fault


def as_value(message: Message) -> Value:
    """Cast a part of a message to the type that `from_value` parses."""
    return cast("Value", message)
