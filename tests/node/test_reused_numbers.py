"""A key that signed two records with one number: its owner is told, wherever they look."""

import asyncio
from types import SimpleNamespace

import pytest

from node.home.home import Home
from node.loop.session_plan import Goal
from node.store.store import Store
from node.upkeep import doctor
from node.views.status import status_document
from node.views.status_text import print_status
from protocol.records import sign_record
from tests.node.examples import KEY
from tests.node.scripted import Bench


def test_start_status_and_doctor_say_that_a_number_was_given_twice(
    home: Home,
    store: Store,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As after a start of an older copy of the home, once a peer brings what the other signed."""
    bench = Bench(home=home, store=store, goal=Goal(max_experiments=1))
    home.key.write_text("a key")
    monkeypatch.setattr(doctor, "read_keys", lambda _home: SimpleNamespace(author=KEY))
    asyncio.run(bench.research().run())
    assert doctor._key(home).status == "ok"
    assert not any("two records" in line for line in bench.said)

    own = store.records.own()
    last, before = own[-1], own[-2]
    twin = sign_record(
        KEY, net=last.net, seq=last.seq, prev=before.id, ts_ms=last.ts_ms + 1, body=before.body
    )
    store.intake.ingest([twin.wire], now_ms=last.ts_ms + 2)

    said = f"signed two records with number {last.seq}, so nobody counts its claims"
    found = doctor._key(home)
    assert found.status == "problem"
    assert said in found.detail
    assert f"move {home.key} away" in found.mend
    asyncio.run(bench.research().run())
    assert any(said in line and "`arnode doctor`" in line for line in bench.said)
    document = status_document(store, author=KEY.public, net="main", sandbox="full")
    print_status(document)
    assert said in capsys.readouterr().out
