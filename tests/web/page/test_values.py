"""Scores by the values of hyperparameters: scatter, parallel coordinates and their table."""

from tests.web.page.visitor import Visitor


def test_a_hyperparameter_is_chosen_and_kept_in_the_address(visitor: Visitor) -> None:
    visitor.go("insights/values")
    choice = visitor.page.locator("main select").first
    names = choice.locator("option").all_inner_texts()
    assert len(names) > 1
    choice.select_option(index=1)
    assert f"name={names[1]}" in visitor.page.url
    label = visitor.page.get_by_role("img").first.get_attribute("aria-label")
    assert f"by {names[1]}" in (label or "")


def test_a_drag_along_an_axis_selects_experiments_and_a_click_all(visitor: Visitor) -> None:
    visitor.go("insights/values")
    page = visitor.page
    selected = page.locator("[role=status]", has_text="selected")
    selected.wait_for()
    everything = selected.inner_text()
    canvas = page.locator("canvas").nth(1)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    x, y = box["x"] + 48, box["y"] + 60
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y + 40, steps=4)
    page.mouse.up()
    page.wait_for_function("() => location.hash.includes('brush=')")
    assert selected.inner_text() != everything
    page.locator("summary", has_text="selection").click()
    assert page.get_by_role("table", name="Selected experiments").count() <= 1
    page.mouse.click(x, y)
    page.wait_for_function("() => !/brush=[^&]/.test(location.hash)")
    assert selected.inner_text() == everything


def test_a_click_on_a_mark_opens_the_experiment(visitor: Visitor) -> None:
    visitor.go("insights/values")
    page = visitor.page
    canvas = page.locator("canvas").first
    box = canvas.bounding_box()
    assert box is not None
    tip = page.locator(".tip").first
    for x in range(100, int(box["width"]) - 20, 12):
        for y in range(30, int(box["height"]) - 60, 12):
            page.mouse.move(box["x"] + x, box["y"] + y)
            if tip.is_visible():
                page.mouse.click(box["x"] + x, box["y"] + y)
                page.wait_for_function("() => location.hash.startsWith('#/experiments/')")
                return
    raise AssertionError("no mark was found under the pointer")
