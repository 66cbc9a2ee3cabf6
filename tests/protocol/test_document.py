"""docs/protocol.md agrees with the code: fields, tables, examples."""

import json
import re
from hashlib import sha256
from pathlib import Path

import pytest
from libp2p.pubsub.pb.rpc_pb2 import Message
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_ID
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX_ID

from node.network.contract import MESSAGE_LIMIT_BYTES
from node.network.frames import FRAME_LIMIT_BYTES, READ_TIMEOUT_S
from node.network.messages import PEERS_SHAPE, QUESTION_LIMIT_BYTES
from node.network.peer_budgets import ALLOWANCES, CostKind
from node.network.private import NONCE_BYTES, SECRET_BYTES, hsalsa20, xsalsa20
from node.network.router import GOSSIP_PROTOCOL, message_id
from node.network.rpc import RPC_LIMIT_BYTES
from protocol.board import Row
from protocol.codecs import single_line
from protocol.errors import Rejected
from protocol.evidence import CRITICAL, CRITICAL_DIFFERENCES, Evidence
from protocol.gains import LUCK, T95, gain_of, luck
from protocol.hardware import FAMILIES, family_of
from protocol.reconciliation import Initiator, respond
from protocol.record_index import RecordIndex, key_of
from protocol.record_kinds import body_fields
from protocol.records import Record, parse_record
from protocol.topics import all_subscriptions
from tests.protocol.examples import BODIES
from tests.protocol.test_hardware import CARDS
from tests.vectors import edwards

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "protocol.md").read_text("utf-8")
VECTORS = json.loads((ROOT / "tests" / "vectors" / "records.json").read_text("utf-8"))
SIGNATURES = json.loads((ROOT / "tests" / "vectors" / "signatures.json").read_text("utf-8"))


def section(title: str) -> str:
    """Return the text below a heading, up to the next one."""
    below = TEXT.split(f"# {title}\n", 1)[1]
    return re.split(r"^##+ ", below, maxsplit=1, flags=re.MULTILINE)[0]


def fields(text: str) -> set[str]:
    """Return the names in the first column of a section's table."""
    rows = re.findall(r"^\| (`[^|]*) \|", text, flags=re.MULTILINE)
    return {name for row in rows for name in re.findall("`([a-z_0-9]+)`", row)}


@pytest.mark.parametrize("kind", BODIES)
def test_every_field_of_a_kind_is_described(kind: str) -> None:
    assert fields(section(kind)) == body_fields(kind)


def test_every_field_of_a_row_is_described() -> None:
    assert fields(section("Boards")) == Row.NAMES


def test_the_example_is_the_golden_record() -> None:
    block = section("Example").split("```")[1]
    lines = [line.partition("#")[0] for line in block.splitlines()]
    hexadecimal = "".join("".join(lines).split())
    (golden,) = (one for one in VECTORS["records"] if one["kind"] == "retract")
    assert hexadecimal == golden["wire"]
    assert golden["id"] in section("Example")
    record = parse_record(bytes.fromhex(hexadecimal))
    assert isinstance(record, Record)


def test_the_tables_and_the_example_of_boards_are_those_of_the_code() -> None:
    text = section("Boards")
    numbers = [int(word) for word in re.findall(r"\b\d{6,7}\b", text)]
    assert numbers == [*T95, *LUCK, *CRITICAL, *CRITICAL_DIFFERENCES]
    gain = gain_of([31_000_000, 28_000_000, 35_000_000, 30_000_000], 10_400_000)
    assert gain is not None
    for tries, shown in ((5, "-5,993,826"), (1, "1,448,497")):
        assert f"{gain.lower_nano(10_400_000 * luck(tries)):,}" == shown
        assert shown in text
    base = (1_256_000_000, 1_251_000_000, 1_263_000_000, 1_259_000_000)
    gains = (31_000_000, 28_000_000, 35_000_000, 30_000_000)
    shown = Evidence.of([(b, b - d) for b, d in zip(base, gains, strict=True)], 10_400_000)
    assert (shown.total, shown.scatter) == (124_000_000, 2_595_840_000_000_000)
    assert shown.supported_verdict(0) == "confirmed"
    assert f"{gain.reach:,}" in text
    assert f"{gain.upper_nano:,}" in text


def test_the_curve_of_signatures_is_the_one_that_the_vectors_are_made_on() -> None:
    text = section("Signatures")
    p, offset = 2**255 - 19, edwards.L - 2**252
    assert f"L = 2^252 + {offset}" in text
    assert p == edwards.P
    assert edwards.BASE[1] * 5 % p == 4
    assert edwards.BASE[0] % 2 == 0
    (numerator, denominator) = re.findall(r"d = -(\d+)/(\d+)", text)[0]
    x, y = edwards.BASE
    d = -int(numerator) * pow(int(denominator), -1, p)
    assert (-x * x + y * y - 1 - d * x * x * y * y) % p == 0
    assert set(re.findall(r"`(A|R|S|equation)`", text)) == {
        one["fault"] for one in SIGNATURES if one["fault"]
    }


def test_the_hidden_characters_are_those_of_the_code() -> None:
    listed = section("Kinds").split("reader likes:\n")[1].split("The list is closed")[0]
    ranges = re.findall(r"U\+([0-9A-F]{4,5})(?:–([0-9A-F]{4,6}))?", listed)
    hidden = {
        one for first, last in ranges for one in range(int(first, 16), int(last or first, 16) + 1)
    }
    hidden |= {plane << 16 | last for plane in range(17) for last in (0xFFFE, 0xFFFF)}
    read = single_line(0, 1).read
    for one in (*range(0xA0, 0xD800), *range(0xE000, 0x110000)):
        assert isinstance(read(chr(one)), Rejected) == (one in hidden), hex(one)


def test_the_example_of_a_reconciliation_is_what_is_said() -> None:
    lines = re.findall(r"^ {4}[→←] (.*)$", section("Reconciliation"), flags=re.MULTILINE)
    shown = [re.sub(r"(\w\w)…\1", lambda ends: ends[1] * 32, line) for line in lines]
    first, second, third = (
        key_of(ts_ms, bytes([number]) * 32) for ts_ms, number in ((5, 1), (6, 2), (5, 3))
    )
    question = Initiator(RecordIndex([first, second])).open()
    answer = respond(RecordIndex([first, third, second]), question)
    assert [bytes.fromhex(line) for line in shown] == [question, answer]


def test_the_encryption_of_private_networks_is_the_one_described() -> None:
    text = section("Private networks")
    listed = re.findall(r"^ {4}(?:secret|nonce|key|the stream) +([0-9a-f]+)", text, re.MULTILINE)
    secret, nonce, key, stream = map(bytes.fromhex, listed)
    assert (len(secret), len(nonce)) == (SECRET_BYTES, NONCE_BYTES)
    assert hsalsa20(secret, nonce[:16]) == key
    assert xsalsa20(secret, nonce).encrypt(bytes(len(stream))) == stream
    assert f"sends {NONCE_BYTES} random bytes" in text


def test_what_the_network_speaks_is_what_the_node_speaks() -> None:
    gossip, streams = section("Gossip"), section("Streams")
    for said in (GOSSIP_PROTOCOL, f"{MESSAGE_LIMIT_BYTES:,}", f"{RPC_LIMIT_BYTES:,}"):
        assert said in gossip
    assert f"{FRAME_LIMIT_BYTES:,}" in streams
    assert f"{QUESTION_LIMIT_BYTES:,}" in streams
    assert f"{PEERS_SHAPE.values:,} values" in streams
    assert f"{PEERS_SHAPE.levels} levels" in streams
    assert f"{ALLOWANCES[CostKind.FRAMES].per_s:,} frames of yamux" in streams
    assert f"{READ_TIMEOUT_S:g} seconds" in streams
    message = Message(topicIDs=["/arnode/main/tasks"], data=b"a record")
    expected = sha256(b"/arnode/main/tasks" + b"\0" + b"a record").digest()
    assert message_id(message) == expected
    assert r'sha256(topic + "\0" + data)' in gossip
    for muxer_or_security in (NOISE_ID, YAMUX_ID):
        assert muxer_or_security in section("Network")


def documented_family(slug: str) -> str:
    """Return the family of a class according to the document."""
    lines = re.findall(r"^\| `([^|]*)` \| `([^|]*)` \|", section("Topics"), re.MULTILINE)
    for patterns, family in lines:
        if any(re.fullmatch(f"{pattern}(-.*)?", slug) for pattern in patterns.split(" ")):
            return str(family)
    return "cuda-other"


@pytest.mark.parametrize(
    "slug", [card[3] for card in CARDS] + ["cpu-x86_64", "cpux", "mi300x-192g"]
)
def test_families_follow_from_classes_as_described(slug: str) -> None:
    assert documented_family(slug) == family_of(slug)


def test_every_family_and_topic_is_described() -> None:
    described = set(re.findall(r"\| `(any|c[a-z0-9-]+)` \|", section("Topics")))
    assert described | {"cuda-other"} == set(FAMILIES)
    for topic in all_subscriptions("NETWORK", [bytes(32)]):
        name = topic.replace("0" * 16, "TASK")
        last = name.rpartition("/")[2]
        shown = name.replace(last, "FAMILY") if last in FAMILIES else name
        assert f"`{shown}`" in section("Topics")
