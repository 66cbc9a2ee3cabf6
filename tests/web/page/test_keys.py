"""Keys of the keyboard that work on every tab."""

from tests.web.page.visitor import Visitor


def test_a_slash_goes_to_the_search_of_the_experiments(visitor: Visitor) -> None:
    visitor.page.keyboard.press("/")
    visitor.page.wait_for_function("() => document.activeElement?.type === 'search'")
    assert visitor.text("h1") == "Experiments"
    visitor.page.keyboard.type("/?")
    assert visitor.page.evaluate("() => document.activeElement.value") == "/?"
    assert visitor.page.locator("dialog").count() == 0


def test_a_question_mark_lists_the_keys_and_turns_them_off(visitor: Visitor) -> None:
    page = visitor.page
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    assert "go to the search field" in dialog.inner_text()
    dialog.get_by_label("Keys are on").uncheck()
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    page.keyboard.press("/")
    page.wait_for_timeout(300)
    assert visitor.text("h1") == "Overview"
    page.evaluate("() => localStorage.clear()")


def test_a_key_of_a_view_ends_with_it(visitor: Visitor) -> None:
    pressed = visitor.page.evaluate(
        "async () => { const { addKey } = await import('./keys.js');"
        "const view = new AbortController(); let count = 0;"
        "addKey('j', 'down', () => { count++; }, { signal: view.signal });"
        "const press = () => document.body.dispatchEvent("
        "  new KeyboardEvent('keydown', { key: 'j', bubbles: true }));"
        "press(); view.abort(); press(); return count; }"
    )
    assert pressed == 1
