"""Untrusted text that is shown cannot control a terminal."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.codecs import plain


@given(st.text())
def test_plain_text_holds_nothing_that_a_terminal_obeys(text: str) -> None:
    shown = plain(text)
    assert not any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in shown)
    assert "\u202e" not in shown
    shown.encode("utf-8")
    assert plain(text, lines=True).count("\n") == text.count("\n")


@given(st.text("abc äöü漢字é", max_size=20))
def test_visible_text_stays_as_it_is(text: str) -> None:
    assert plain(text) == text


def test_escapes_are_spelt_out() -> None:
    assert plain("\x1b]0;owned\x07\u202e\r\n") == "\\x1b]0;owned\\x07\\u202e\\r\\n"
    assert plain("a\tb\n\x1b", lines=True) == "a\tb\n\\x1b"
