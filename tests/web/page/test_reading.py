"""Reading the page: what is live, lists of any length, keys alone."""

import re
from typing import Any

import pytest

from node.store.store import Store
from node.terminal.glossary import glossary
from tests.web.page.boards import ROWS, pretend_board
from tests.web.page.full_store import EXPERIMENTS, HOSTILE, Full, add_one
from tests.web.page.served import PLANNER, PROPOSERS, ServedHome, at_address, at_work
from tests.web.page.test_words import MODULES
from tests.web.page.visitor import Visitor


def test_the_code_is_gone_from_the_address_and_the_token_is_in_this_tab_alone(
    visitor: Visitor, chromium: Any, served: ServedHome
) -> None:
    assert visitor.page.url == f"{served.url}#/overview"
    assert visitor.page.evaluate("() => document.cookie") == ""
    assert visitor.page.evaluate("() => sessionStorage.getItem('arnode.token').length") > 20
    visitor.page.reload()
    visitor.settle()
    assert visitor.text("h1") == "Overview"


def test_without_a_code_it_says_how_to_open_it(chromium: Any, served: ServedHome) -> None:
    context = chromium.new_context()
    page = context.new_page()
    page.goto(served.url)
    page.wait_for_selector(".fault")
    assert page.locator("h1").inner_text() == "No access"
    assert "arnode view" in page.locator(".fault").inner_text()
    context.close()


def test_a_new_experiment_and_a_new_run_show_by_themselves(
    visitor: Visitor, served: ServedHome
) -> None:
    visitor.page.wait_for_selector("#standing.live")
    with Store.open(served.home) as store:
        add_one(store, "WARMUP → 17")
    visitor.page.wait_for_selector(".latest >> text=WARMUP → 17")
    served.now = {"now": at_work("WARMUP → 18")}
    visitor.page.wait_for_selector(".what >> text=WARMUP → 18")
    assert "WARMUP → 17" in visitor.page.locator("#announcement").inner_text()


def test_experiments_are_narrowed_down_sorted_and_opened(visitor: Visitor) -> None:
    visitor.go("experiments")
    assert f"{EXPERIMENTS // 1000},0" in visitor.text(".count")
    visitor.page.locator("select[name=decision]").select_option("adopted")
    visitor.page.wait_for_function(
        "() => document.querySelector('.count').textContent.includes(' of ')"
    )
    visitor.settle()
    assert visitor.page.locator(".body .row").count() == 1
    assert "decision=adopted" in visitor.page.url
    visitor.page.locator("select[name=decision]").select_option("")
    visitor.settle()
    visitor.page.get_by_role("button", name="metric").click()
    visitor.settle()
    heading = visitor.page.get_by_role("columnheader", name="metric")
    assert heading.get_attribute("aria-sort") == "descending"
    visitor.page.locator(".body .row a").first.click()
    visitor.settle()
    assert "#/experiments/" in visitor.page.url
    assert visitor.page.locator(".badge").count() > 0


def test_gains_over_different_bases_are_not_subtracted(visitor: Visitor, full: Full) -> None:
    for right, is_subtracted in ((full.hostile, True), (full.built_on, False)):
        visitor.go(f"compare/{full.kept},{right}")
        assert ("different bases" in visitor.text("#part")) != is_subtracted


@pytest.mark.soak
def test_of_a_board_of_a_hundred_thousand_rows_only_those_in_sight_are_there(
    visitor: Visitor, full: Full
) -> None:
    pretend_board(visitor.page)
    visitor.go(f"boards/{full.task}/cpu-x86_64?network=main")
    assert "100,000 rows" in visitor.text(".count")
    visitor.page.locator(".scroller").focus()
    visitor.page.keyboard.press("End")
    visitor.settle()
    assert visitor.page.locator(f".body .row[aria-rowindex='{ROWS + 1}']").count() == 1
    assert visitor.page.locator(".body .row").count() < 80


def test_a_jump_adds_a_few_rows_in_each_frame_until_all_visible_ones_are_there(
    visitor: Visitor,
) -> None:
    visitor.go("experiments")
    added = visitor.page.evaluate(
        """async () => {
          const scroller = document.querySelector(".scroller");
          const added = [];
          const isRow = (node) => node.classList?.contains("row");
          new MutationObserver((changes) => {
            added.push(changes.flatMap((one) => [...one.addedNodes]).filter(isRow).length);
          }).observe(scroller.querySelector(".body"), { childList: true });
          scroller.scrollTop = 20_000;
          const list = document.querySelector(".list");
          do await new Promise(requestAnimationFrame);
          while (added.length === 0 || list.hasAttribute("aria-busy"));
          return added.filter((count) => count > 0);
        }"""
    )
    assert len(added) > 1
    assert max(added) <= 10
    missing = visitor.page.evaluate(
        """() => {
          const scroller = document.querySelector(".scroller");
          const row = parseFloat(getComputedStyle(scroller).getPropertyValue("--row-height"));
          const first = Math.floor(scroller.scrollTop / row);
          const last = Math.ceil((scroller.scrollTop + scroller.clientHeight) / row);
          const indexes = Array.from({ length: last - first }, (_, at) => first + at);
          const shown = (at) => scroller.querySelector(`[aria-rowindex="${at + 2}"]`);
          return indexes.filter((at) => shown(at) === null);
        }"""
    )
    assert missing == []


def test_keys_alone_lead_to_an_experiment_and_back(visitor: Visitor) -> None:
    page = visitor.page
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("() => document.activeElement.id") == "main"
    visitor.go("experiments")
    page.locator(".scroller").focus()
    for key in ("ArrowDown", "ArrowDown", "PageDown", "End", "Home", "ArrowDown"):
        page.keyboard.press(key)
    index = page.evaluate("() => document.activeElement.closest('.row').ariaRowIndex")
    assert index == "3"
    page.keyboard.press("Enter")
    visitor.settle()
    assert page.evaluate("() => document.activeElement.id") == "title"
    page.go_back()
    visitor.settle()
    assert visitor.text("h1") == "Experiments"


def test_a_key_counts_from_a_row_that_is_still_loading(visitor: Visitor) -> None:
    held: list[Any] = []

    def hold(route: Any) -> None:
        held.append(route)

    page = visitor.page
    visitor.go("experiments")
    page.route("**/api/v1/experiments?*", hold)
    page.locator(".scroller").focus()
    with page.expect_request("**/api/v1/experiments?*"):
        page.keyboard.press("End")
    page.keyboard.press("ArrowUp")
    for route in held:
        route.continue_()
    visitor.no_longer_pretend()
    visitor.settle()
    focused = page.locator(".body .row", has=page.locator("a:focus"))
    last = int(page.locator(".list [role=table]").get_attribute("aria-rowcount"))
    assert int(focused.get_attribute("aria-rowindex")) == last - 1


def test_keys_lead_from_mark_to_mark_in_the_plot(visitor: Visitor) -> None:
    slider = visitor.page.get_by_role("slider")
    visitor.page.wait_for_selector(".uplot canvas")
    slider.focus()
    visitor.page.keyboard.press("Home")
    assert slider.get_attribute("aria-valuenow") == "1"
    assert "baseline" in slider.get_attribute("aria-valuetext")
    visitor.page.keyboard.press("ArrowRight")
    visitor.page.keyboard.press("Enter")
    visitor.settle()
    assert "#/experiments/" in visitor.page.url


def test_words_that_would_do_harm_are_words(visitor: Visitor) -> None:
    visitor.go(f"experiments?{'q=img+src'}")
    assert visitor.page.locator(".body .row img, .body .row script").count() == 0
    assert HOSTILE[0][:20] in visitor.text(".body .row .title")
    assert not visitor.is_hurt


def pretend_status(
    visitor: Visitor,
    *,
    network: dict[str, Any] | None = None,
    line: dict[str, Any] | None = None,
    **more: Any,
) -> None:
    """Have the node's status say more than that of this home, of its line as well."""

    def answer(route: Any) -> None:
        document = route.fetch(url=at_address(route.request.url)).json()
        document["network"] |= network or {}
        document["lines"][0] |= line or {}
        route.fulfill(json={**document, **more})

    visitor.page.route("**/api/v1/status", answer)


@pytest.mark.soak
def test_how_others_are_sought_is_reported(visitor: Visitor) -> None:
    lists = [
        {"place": "https://a.example/p", "written": 1_790_000_000, "addresses": 3, "fault": None},
        {"place": "/dnsaddr/b.example", "written": None, "addresses": 0, "fault": f"no <{HOSTILE}"},
    ]
    dht = {"last": 1, "next": 2, "found": 2, "asked": 9, "answered": 8, "announced": 5}
    network = {"name": "main", "dht": {**dht, "fault": None}, "lists": lists}
    pretend_status(visitor, network=network)
    visitor.go("network")
    shown = visitor.text(".facts")
    assert "2 nodes found, 5 of 8 servers know this node" in shown
    assert "https://a.example/p: 3 addresses, written " in shown
    assert "/dnsaddr/b.example: not read yet (no <" in shown
    assert not visitor.is_hurt


@pytest.mark.soak
def test_lanes_of_other_machines_are_reported(visitor: Visitor) -> None:
    lanes = [
        {"lane": 0, "machine": "attic", "stage": "open", "fault": None, "times_lost": 2},
        {"lane": 1, "machine": "", "stage": "left out", "fault": HOSTILE, "times_lost": 0},
    ]
    pretend_status(visitor, remote_lanes=lanes)
    visitor.go("workers")
    found = visitor.page.locator("table >> nth=1").locator("tbody tr")
    found.nth(1).wait_for()
    rows = found.all_inner_texts()
    assert rows[0].split() == ["0", "attic", "open", "2"]
    assert "left out:" in rows[1]
    assert not visitor.is_hurt


def test_where_several_propose_each_ones_share_is_reported(visitor: Visitor) -> None:
    rows = visitor.page.locator("table[aria-label='Proposers'] tbody tr")
    rows.nth(1).wait_for()
    built_in, claude = (row.split("\t") for row in rows.all_inner_texts())
    assert built_in == ["search", "55 %", "611", "+0.25 sd", "4 h 30 min", "$0.0000", "–"]
    assert claude[1:6] == ["45 %", "1", "–", "0 s", "$1.2500"]
    assert claude[0].startswith("claude#<script>")
    assert claude[6].startswith('"><img src=x')
    assert rows.locator("img, script").count() == 0
    assert not visitor.is_hurt


@pytest.mark.soak
def test_where_one_proposes_alone_no_shares_are_shown(visitor: Visitor) -> None:
    pretend_status(visitor, line={"proposers": [*PROPOSERS[:1]]})
    visitor.go("network")
    visitor.go("overview")
    assert visitor.page.locator(".result").count() == 3
    assert visitor.page.locator("table[aria-label='Proposers']").count() == 0


@pytest.mark.soak
def test_shares_are_reported_again_with_an_experiment(visitor: Visitor, served: ServedHome) -> None:
    visitor.page.wait_for_selector("#standing.live")
    pretend_status(visitor, line={"proposers": [{**PROPOSERS[0], "share": 0.6}, PROPOSERS[1]]})
    with Store.open(served.home) as store:
        add_one(store, "WARMUP → 19")
    visitor.page.wait_for_selector("table[aria-label='Proposers'] >> text=60 %")


def test_what_a_planner_wrote_is_reported_as_its_words(visitor: Visitor) -> None:
    aim = visitor.page.locator("section", has_text="Aim of the proposers").last
    shown = aim.inner_text()
    assert "Look at the schedule." in shown
    assert "Planned by <script>" in shown
    assert "2023" in shown
    assert "waiting" not in shown
    assert aim.locator("img, script").count() == 0
    assert not visitor.is_hurt


@pytest.mark.soak
def test_a_planner_without_an_aim_says_so_and_why_it_rests(visitor: Visitor) -> None:
    planner = {**PLANNER, "aim": None, "written": None, "waiting": "its budget of today is spent"}
    pretend_status(visitor, line={"planner": planner})
    visitor.go("network")
    visitor.go("overview")
    shown = visitor.page.locator("section", has_text="Aim of the proposers").last.inner_text()
    assert "No aim is set." in shown
    assert "Planning is paused: its budget of today is spent" in shown


@pytest.mark.soak
def test_where_nobody_plans_no_aim_is_shown(visitor: Visitor) -> None:
    pretend_status(visitor, line={"planner": None})
    visitor.go("network")
    visitor.go("overview")
    assert visitor.page.locator(".result").count() == 3
    assert visitor.page.get_by_text("Aim of the proposers").count() == 0


def test_a_term_is_explained_to_pointer_and_keys(visitor: Visitor) -> None:
    page = visitor.page
    page.evaluate(
        "async () => document.body.prepend("  # a tab that is drawn again removes it
        "(await import('./dom.js')).term('noise', 'the noise'))"
    )
    page.locator(".term").first.focus()
    page.wait_for_selector("[role=tooltip] >> text=noise: the standard deviation of the score")
    assert page.locator(".term[aria-describedby=meaning]").count() == 1
    page.keyboard.press("Escape")
    page.wait_for_selector("[role=tooltip]", state="hidden")
    page.locator(".term").first.hover()
    page.wait_for_selector("[role=tooltip]")


def test_terms_named_by_the_page_are_in_the_glossary() -> None:
    named = {
        word
        for path in MODULES
        for word in re.findall(r'\bterm\("([^"]+)"', path.read_text(encoding="utf-8"))
    }
    assert named <= glossary().keys(), named - glossary().keys()


def test_a_visitor_waits_until_the_node_has_answered(chromium: Any, served: ServedHome) -> None:
    context = chromium.new_context()
    context.add_init_script(
        "const ask = fetch; window.fetch = (...all) =>"
        " new Promise((done) => setTimeout(() => done(ask(...all)), 300));"
    )
    with Visitor(context, served.link()) as visitor:
        assert visitor.page.evaluate("document.documentElement.dataset.kind") == "node"
    context.close()


def test_an_empty_part_suggests_a_start_only_while_no_node_runs(visitor: Visitor) -> None:
    shown = "async (it) => (await import('./dom.js')).emptyState('a', 'b', it).innerText"

    def is_shown(command: str) -> bool:
        return command in visitor.page.evaluate(shown, command)

    assert visitor.page.evaluate("document.documentElement.dataset.kind") == "node"
    assert not is_shown("arnode start")
    assert is_shown("arnode verify ID")
    visitor.page.evaluate("document.documentElement.dataset.kind = 'store'")
    assert is_shown("arnode start")


def test_backticks_are_code_and_nothing_else_is_markup(visitor: Visitor) -> None:
    html = visitor.page.evaluate(
        "async () => (await import('./dom.js')).quoted('run `a <b>` and `c').outerHTML"
    )
    assert html == '<bdi class="quoted">run <code>a &lt;b&gt;</code> and `c</bdi>'
    visitor.page.route(
        "**/api/v1/reports",
        lambda route: route.fulfill(
            status=500, json={"title": "no", "detail": "it is off", "hint": "run `arnode start`"}
        ),
    )
    visitor.go("insights/reports")
    assert visitor.text(".fault code") == "arnode start"


def test_what_cannot_be_read_is_tried_again(visitor: Visitor) -> None:
    visitor.page.route("**/api/v1/reports", lambda route: route.abort())
    visitor.go("insights/reports")
    visitor.page.wait_for_selector(".fault >> text=does not answer")
    visitor.no_longer_pretend()
    visitor.page.get_by_role("button", name="Try again").click()
    visitor.page.wait_for_selector("text=No published reports yet")


def test_an_answer_that_comes_too_late_harms_no_other_test(visitor: Visitor) -> None:
    late: list[str] = []

    def answer(route: Any) -> None:
        visitor.no_longer_pretend()
        late.append(route.request.url)
        route.fulfill(json={})

    visitor.page.route("**/api/v1/reports", answer)
    visitor.go("insights/reports")
    visitor.page.wait_for_selector("text=No published reports yet")
    assert len(late) == 1


def test_figures_have_the_digits_that_the_noise_leaves(visitor: Visitor) -> None:
    shown = visitor.page.evaluate(
        "async () => { const figures = await import('./figures.js'); return ["
        "figures.metric(1.463212, 0.0094), figures.metric(1.463212, 0.0031),"
        "figures.metric(12345.6, 80), figures.metric(1.5), figures.gain(0.01234, 0.003),"
        "figures.gain(-0.01234), figures.gain(null, 0.003),"
        "figures.ago(Date.now() - 200000).textContent, figures.ago(null)]; }"
    )
    assert shown == [
        "1.463",
        "1.4632",
        "12346",
        "1.500000",
        "+0.0123 (+4.1 sd)",
        "−0.012340",
        "–",
        "3 min ago",
        "–",
    ]


def test_exact_figures_have_no_noise(visitor: Visitor) -> None:
    shown = visitor.page.evaluate(
        "async () => { const figures = await import('./figures.js'); return ["
        "figures.gain(0.4635, 0), figures.gain(7e-9, 0), figures.gain(0, 0),"
        "figures.interval(0.5, 0.5, 0), figures.interval(0.5, 0.6, 0)]; }"
    )
    assert shown == [
        "+0.463500",
        "+7.0e−9",
        "+0.000000",
        "exact",
        "95 % interval +0.500000 to +0.600000",
    ]
    pretend_status(visitor, line={"noise_sd": 0.0})
    visitor.go("network")
    visitor.go("overview")
    visitor.page.wait_for_selector(".result >> text=exact: no noise")
    assert " sd" not in visitor.text(".results")


def test_what_is_loading_is_shown_as_bars(visitor: Visitor) -> None:
    held: list[Any] = []

    def hold(route: Any) -> None:
        held.append(route)

    visitor.page.route("**/api/v1/progress?**", hold)
    visitor.page.evaluate("() => { location.hash = '#/network'; }")
    visitor.page.wait_for_selector("h1 >> text=Network")
    visitor.page.evaluate("() => { location.hash = '#/overview'; }")
    visitor.page.wait_for_selector(".progress .skeleton >> text=Loading")
    visitor.page.wait_for_timeout(200)
    for route in held:
        route.continue_()
    visitor.page.wait_for_selector(".progress .staircase")
    assert visitor.page.locator(".skeleton").count() == 0
