"""Leaks of a key are noticed in any encoding, and honest answers are not."""

import base64
import codecs
import random
import string
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.worker.key_forms import fold, is_guarded, own_part
from agent.worker.key_watch import KeyWatch
from tests.workers import KEY

ROOT = Path(__file__).parents[2]
CHANCE = random.Random(20261127)
LETTERS = string.ascii_letters + string.digits


def made(prefix: str, letters: str, length: int) -> str:
    return prefix + "".join(CHANCE.choices(letters, k=length))


KEYS = {
    "openai": made("sk-proj-", LETTERS + "-_", 120),
    "anthropic": made("sk-ant-api03-", LETTERS + "-_", 93),
    "openrouter": made("sk-or-v1-", "0123456789abcdef", 64),
    "google": made("AIzaSy", LETTERS + "-_", 33),
    "groq": made("gsk_", LETTERS, 52),
    "hub": made("hf_", LETTERS, 34),
    "hex": made("", "0123456789abcdef", 32),
    "capitals": made("", string.ascii_uppercase + string.digits, 32),
    "short": made("sk-", LETTERS, 20),
    "tests": KEY,
}
Write = Callable[[str], str]


def pieces(text: str, length: int) -> list[str]:
    return [text[at : at + length] for at in range(0, len(text), length)]


def halves(key: str) -> list[str]:
    """Return the two halves of a key's own part, the first with its prefix."""
    own = own_part(key)
    first, second = pieces(own, -(-len(own) // 2))
    return [key.removesuffix(own) + first, second]


def is_hex(text: str) -> bool:
    return set(fold(text)) <= set("0123456789abcdef")


def small_pieces(key: str) -> list[str]:
    """Return pieces of four characters, or five for a key in hex."""
    own = own_part(key)
    return pieces(own, 5 if is_hex(own) else 4)


WRITINGS: dict[str, Write] = {
    "as it is": str,
    "its first half": lambda key: halves(key)[0],
    "its second half": lambda key: halves(key)[1],
    "two lines": lambda key: "first: {}\nsecond: {}".format(*halves(key)),
    "added up": lambda key: ' + "'.join(f'{one}"' for one in halves(f'KEY = "{key}')),
    "small pieces among words": lambda key: ", ".join(f"part {p}" for p in small_pieces(key)),
    "two at a time in literals": lambda key: "\n".join(f"a = '{p}'" for p in pieces(key, 2)),
    "letter by letter": " ".join,
    "with letters between": "x".join,
    "with marks that show nothing": "\u200b".join,
    "in another case": str.swapcase,
    "full width": lambda key: "".join(chr(ord(one) + 0xFEE0) for one in key),
    "backwards": lambda key: key[::-1],
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
    "base64 for URLs, behind a user": lambda key: base64.urlsafe_b64encode(
        f"me:{key}".encode()
    ).decode(),
    "half in base64": lambda key: base64.b64encode(halves(key)[1].encode()).decode(),
    "base32": lambda key: base64.b32encode(key.encode()).decode(),
    "hex": lambda key: key.encode().hex(),
    "hex with blanks": lambda key: key.encode().hex(" "),
    "hex escapes": lambda key: "".join(f"\\x{ord(one):02x}" for one in key),
    "unicode escapes": lambda key: "".join(f"\\u{ord(one):04x}" for one in key),
    "percent": lambda key: "".join(f"%{ord(one):02X}" for one in key),
    "entities": lambda key: "".join(f"&#{ord(one)};" for one in key),
    "numbers": lambda key: str([ord(one) for one in key]),
    "rot13": lambda key: codecs.encode(key, "rot13"),
}


@pytest.mark.parametrize("writing", WRITINGS)
@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_noticed_in_each_writing(key: str, writing: str) -> None:
    text = f"Here is the change.\n{WRITINGS[writing](KEYS[key])}\nThat is all of it.\n"
    watch = KeyWatch([KEYS[key]])
    assert watch.reveals(text)
    assert watch.is_revealed(KEYS[key])


@pytest.mark.parametrize("key", KEYS)
def test_pieces_of_several_answers_add_up(key: str) -> None:
    own = own_part(KEYS[key])
    watch = KeyWatch([KEYS[key]])
    length = 8 if is_hex(own) else 6
    reported = [watch.reveals(f"the answer is {one}.") for one in pieces(own, length)]
    assert not reported[0]
    assert any(reported)


def test_two_texts_of_one_answer_are_looked_at_together() -> None:
    first, second = "i" + "Zq4W7b", "9TtK2m"
    key = f"sk-{first}{second}Pn3xY8"
    assert KeyWatch([key]).reveals(f"a{first}", f"{second}b")


def test_what_another_secret_loses_is_not_this_one_s_fault() -> None:
    watch = KeyWatch([KEYS["openai"], KEYS["groq"]])
    assert watch.reveals(KEYS["groq"])
    assert watch.is_revealed(KEYS["groq"])
    assert not watch.is_revealed(KEYS["openai"])
    assert not watch.reveals("an honest answer")


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "said",
    [
        "Incorrect API key provided: sk-proj-****. You can find your API key at …",
        "Use `Authorization: Bearer sk-…`, `sk-ant-api03-…`, `sk-or-v1-…`, `gsk_…` or `AIzaSy…`.",
        "***",
        "",
    ],
)
def test_what_all_keys_have_in_common_gives_none_away(key: str, said: str) -> None:
    own = own_part(KEYS[key])
    watch = KeyWatch([KEYS[key]])
    assert not watch.reveals(said)
    assert not watch.reveals(f"Incorrect API key provided: {KEYS[key][:7]}****{own[-4:]}.")


PLACEHOLDERS = ["EMPTY", "none", "dummy", "local", "ollama", "lm-studio", "not-needed", "sk-none"]


@pytest.mark.parametrize("key", [*PLACEHOLDERS, "sk-no-key-required", "sk-1234", "token-abc123"])
def test_a_placeholder_makes_no_honest_answer_fail(key: str) -> None:
    watch = KeyWatch([key])
    assert not is_guarded(key)
    assert not watch.reveals(f"if value is None: return EMPTY  # {key}, {key}")


@pytest.mark.parametrize("key", PLACEHOLDERS)
def test_words_are_not_masked_and_keys_are(key: str) -> None:
    assert KeyWatch([key]).masked(f"with {key} in it") == f"with {key} in it"
    assert KeyWatch(["sk-1234"]).masked("sk-1234!") == "*" * 7 + "!"
    assert KeyWatch([KEY]).masked(KEY) == "*" * len(KEY)


def test_no_source_of_this_project_gives_a_key_away() -> None:
    """More than half a million characters, as one server's answers, have nothing close to a key."""
    watch = KeyWatch([KEYS[name] for name in ("openai", "hex", "short")])
    chars = 0
    for folder in ("agent", "protocol", "trainer/tasks"):
        for path in sorted((ROOT / folder).rglob("*.*")):
            if path.suffix in (".py", ".md", ".toml"):
                text = path.read_text(encoding="utf-8")
                chars += len(text)
                assert not watch.reveals(text), path
    assert chars > 500_000
    shares = [
        len(seen) / len(form.text)
        for guarded in watch._guarded.values()
        for form, seen in zip(guarded.forms, guarded.seen, strict=True)
    ]
    assert max(shares) <= 0.1  # half would be a leak


def test_random_text_gives_no_key_away() -> None:
    """Answers with hashes, ids and base64 are the most similar to keys."""
    watch = KeyWatch([KEYS[name] for name in ("openai", "hex", "short")])
    for number in range(40):
        letters = LETTERS if number % 2 else "0123456789abcdef"
        assert not watch.reveals(made("digest: ", letters, 10_000)), number


@given(st.text(max_size=300))
def test_any_text_is_looked_at(text: str) -> None:
    assert not KeyWatch([KEYS["openai"]]).reveals(text)


def test_a_long_answer_is_looked_at_as_well() -> None:
    key = KEYS["openai"]
    noise = made("", string.ascii_lowercase + " ", 50_000)
    assert KeyWatch([key]).reveals(noise + halves(key)[1] + noise)


def test_a_watch_shows_nothing_of_what_it_watches() -> None:
    assert KEY[8:16] not in repr(KeyWatch([KEY]))
