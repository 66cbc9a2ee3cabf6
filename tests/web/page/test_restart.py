"""An open tab while its node is away and another program has the port."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from node.home.home import Home
from node.store.store import Store
from tests.web.page.served import ServedHome

_PAGE = b"""<!DOCTYPE html><title>impostor</title><script>
navigator.serviceWorker.register("worker.js").then(() => navigator.serviceWorker.ready)
  .then(() => { document.title = "worker is ready"; });
</script>"""
_WORKER = b"""
addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));
addEventListener("fetch", (event) => event.respondWith(new Response("taken")));
"""


@contextmanager
def impostor(port: int) -> Iterator[list[str]]:
    """Take a port; yield all that is sent there. It leaves a service worker where it can."""
    received: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            received.append(f"{self.requestline}\n{self.headers}")
            kind, body = "application/json", b'{"proofs": [""], "challenge": ""}'
            if self.path == "/trap":
                kind, body = "text/html", _PAGE
            elif self.path == "/worker.js":
                kind, body = "text/javascript", _WORKER
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield received
        finally:
            server.shutdown()
            thread.join()


def test_a_tab_sends_its_token_to_nobody_else_and_a_new_link_opens_the_next_run(
    chromium: Any, tmp_path: Path
) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    with Store.open(home):
        pass
    context = chromium.new_context()
    page = context.new_page()
    with ServedHome(home) as first:
        page.goto(first.link())
        page.wait_for_selector("#standing.live")
        token, address = page.evaluate("() => sessionStorage.getItem('arnode.token')"), first.url
    with impostor(first.port) as received:
        page.wait_for_selector("#standing >> text=no access")
        fault = page.locator(".fault").first.inner_text()
        assert "this server does not know this page's token" in fault
        assert "arnode view" in fault
        page.evaluate("() => fetch('api/v1/session').catch(() => null)")
        assert any("/api/v1/proof?nonce=" in one for one in received)
        assert token not in "".join(received)
        assert page.evaluate("() => sessionStorage.getItem('arnode.token')") is None
        page.goto(f"{address}trap")
        page.wait_for_function("() => document.title === 'worker is ready'")
    with ServedHome(home, first.port) as second:
        page.goto(second.link())
        page.wait_for_selector("#standing.live")
        assert page.evaluate("() => navigator.serviceWorker.controller") is None
        status = page.evaluate(
            "async (token) => (await fetch('api/v1/session',"
            " {headers: {Authorization: `Bearer ${token}`}})).status",
            token,
        )
        assert status == 401
    context.close()


def test_a_tab_never_sends_its_token_even_to_its_own_node(chromium: Any, tmp_path: Path) -> None:
    """Another program may take the port between a server's proof and the request after it."""
    home = Home(tmp_path / "home")
    home.prepare()
    with Store.open(home):
        pass
    context = chromium.new_context()
    page = context.new_page()
    sent: list[str] = []
    page.on("request", lambda one: sent.append(f"{one.url} {one.headers} {one.post_data}"))
    with ServedHome(home) as served:
        page.goto(served.link())
        page.wait_for_selector("#standing.live")
        token = page.evaluate("() => sessionStorage.getItem('arnode.token')")
        for tab in ("experiments", "boards", "network"):
            page.goto(f"{served.url}#/{tab}")
            page.wait_for_selector("#standing.live")
    assert any("Proof " in one and "/api/v1/session" in one for one in sent)
    assert not any(token in one for one in sent)
    context.close()


def test_a_proof_is_computed_as_the_server_computes_it(chromium: Any, tmp_path: Path) -> None:
    from node.web.proof import request_proof, server_proof

    home = Home(tmp_path / "home")
    home.prepare()
    nonce = "00ff" * 8
    context = chromium.new_context()
    page = context.new_page()
    with ServedHome(home) as served:
        page.goto(served.url)
        for key in ("k", "a-token_" * 5, "x" * 64):
            found = page.evaluate(
                "async ([key, nonce]) => (await import('./proof.js')).serverProof(key, nonce)",
                [key, nonce],
            )
            assert found == server_proof(key, nonce)
            found = page.evaluate(
                "async ([key, nonce]) => (await import('./proof.js'))"
                ".requestProof(key, nonce, 'GET /api/v1/now?day=2026-01-01')",
                [key, nonce],
            )
            assert found == request_proof(key, nonce, "GET /api/v1/now?day=2026-01-01")
    context.close()
