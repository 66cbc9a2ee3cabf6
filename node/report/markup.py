"""SVG as nested elements: text is always escaped, only an element is ever markup."""

import html

from node.terminal.terminal import plain


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
    return Element(f"<{name}{given}>{together(children)}</{name}>")


def together(children: "tuple[str, ...] | list[str]") -> Element:
    """Return some elements and texts one after the other."""
    return Element("".join(map(_shown, children)))


def _shown(child: str) -> str:
    return child if isinstance(child, Element) else html.escape(plain(child))
