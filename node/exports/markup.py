"""Markup that nobody's words can become: only an `Element` is ever more than text."""

import html
from collections.abc import Iterable

from protocol.codecs import plain


class Element(str):
    """Markup that `element` made; whatever is made of it by other means is text again."""

    __slots__ = ()


def element(name: str, /, *children: str, **attributes: str) -> Element:
    """Return an element. A child that is none is text: it is escaped, and what is invisible spelt.

    Attributes are named as in Python: `class_`, `stroke_width`.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(plain(value))}"'
        for key, value in attributes.items()
    )
    return Element(f"<{name}{given}>{_together(children)}</{name}>")


def _together(children: Iterable[str]) -> Element:
    return Element(
        "".join(one if isinstance(one, Element) else html.escape(plain(one)) for one in children)
    )
