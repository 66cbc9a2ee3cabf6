"""Somebody at the page: goes to its parts, waits until they are there, notes what went wrong."""

from typing import Any, Self

from tests.web.page.full_store import MARK

# The browser announces the new hash later; until then the part before is still there, at rest. The
# page has listened for longer, so it has begun to show the new part when this hears of it.
_GO = """path => new Promise((done) => {
  const before = location.hash;
  location.hash = `#/${path}`;
  if (location.hash === before) done();
  else addEventListener("hashchange", () => done(), { once: true });
})"""
_SHOWN = (
    "() => document.getElementById('part').childElementCount > 0"
    " && !document.querySelector('#part > .skeleton')"  # the page's own, until the node answers
    " && !document.querySelector('[aria-busy]') && !document.querySelector('.coming')"
)


class Visitor:
    """One tab. What the browser complains about is in `faults`."""

    def __init__(self, context: Any, link: str) -> None:
        self.page = context.new_page()
        self.faults: list[str] = []
        self._link = link
        self.page.on("pageerror", lambda fault: self.faults.append(str(fault)))
        self.page.on("console", self._note)
        self.page.on("dialog", lambda dialog: self.faults.append(f"a dialog: {dialog.message}"))

    def __enter__(self) -> Self:
        self.open(self._link)
        return self

    def __exit__(self, *_: object) -> None:
        self.page.close()

    def open(self, link: str) -> None:
        """Open the page with a link, and wait until it is there."""
        self.page.goto(link)
        self.settle()

    def start_again(self, link: str) -> None:
        """Open the page as in a new tab, which takes a browser four times as long."""
        self.no_longer_pretend()
        self.page.evaluate("() => { sessionStorage.clear(); localStorage.clear(); }")
        self.page.goto("about:blank")
        self.page.set_viewport_size({"width": 1440, "height": 900})
        self.faults.clear()
        self.open(link)

    def no_longer_pretend(self) -> None:
        """Let the server answer again; an answer that a test is still writing comes too late."""
        self.page.unroute_all(behavior="ignoreErrors")

    def go(self, path: str) -> None:
        """Go to a part as a link does, and wait until it is there."""
        self.page.evaluate(_GO, path)
        self.settle()

    def settle(self) -> None:
        """Wait until what is shown is read."""
        self.page.wait_for_function(_SHOWN)
        self.page.evaluate(
            "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
        )
        self.page.wait_for_function(_SHOWN)

    def look(self, width: int, scheme: str) -> None:
        """Look at it in this width, light or dark."""
        self.page.set_viewport_size({"width": width, "height": 900 if width > 500 else 844})
        self.page.emulate_media(color_scheme=scheme)
        self.settle()

    def text(self, selector: str) -> str:
        """Return what an element says."""
        return str(self.page.locator(selector).first.inner_text())

    @property
    def is_hurt(self) -> bool:
        """Return whether any untrusted text ran as a script."""
        return bool(self.page.evaluate(f"() => window.{MARK} !== undefined"))

    @property
    def overflow_px(self) -> int:
        """How much wider than the window the page is."""
        return int(
            self.page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth")
        )

    def _note(self, message: Any) -> None:
        if message.type == "error":
            self.faults.append(f"{message.text} {message.location.get('url', '')}")
