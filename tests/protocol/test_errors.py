"""The description of a fault in one line."""

from protocol.errors import describe_fault


def test_a_description_is_one_short_printable_line() -> None:
    text = describe_fault(
        ExceptionGroup("several", [ValueError("\x1b[2J\nfaked: line\n" + "x" * 1000)])
    )
    assert text.startswith("ValueError:  [2J faked: line ")
    assert len(text) == 160
    assert text.isprintable()
