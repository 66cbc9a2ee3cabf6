"""A key that signed two records with one number: its owner sees it everywhere."""

import asyncio
import shutil
import time
from types import SimpleNamespace

import pytest

from node.home.home import Home
from node.loop.session_plan import Goal
from node.maintenance import doctor
from node.reporting.status import status_document
from node.reporting.status_text import print_status
from node.store.store import Store
from protocol.errors import ConfigurationError
from protocol.records import Record, sign_record
from protocol.remarks import InsightBody
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
    twin = sign_record(KEY, net=last.net, seq=last.seq, prev=before.id, ts_ms=1, body=before.body)
    store.intake.ingest([twin.wire], now_ms=last.ts_ms + 2)

    said = f"signed two records with number {last.seq}, so no node counts its claims"
    found = doctor._key(home)
    assert found.status == "problem"
    assert said in found.detail
    assert "`arnode home key renew`" in found.hint
    asyncio.run(bench.research().run())
    assert any(said in line and "`arnode doctor`" in line for line in bench.said)
    document = status_document(store, author=KEY.public, net="main", sandbox="full")
    print_status(document)
    assert said in capsys.readouterr().out


def test_a_copy_of_a_home_is_known_until_its_key_is_known_to_go_on(home: Home) -> None:
    with Store.open(home) as store:
        assert not store.is_copy()
    home.store.rename(home.root / "other")
    shutil.copy(home.root / "other", home.store)
    for _ in range(2):  # a start without peers settles nothing
        with Store.open(home) as store:
            assert store.is_copy()
    with Store.open(home) as store:
        store.settle()
    with Store.open(home) as store:
        assert not store.is_copy()


def test_a_copy_goes_on_behind_what_its_key_signed_before_it_was_started(
    home: Home, store: Store
) -> None:
    later = [_signed(number, ts_ms=1000 + number) for number in range(3)]
    store.intake.ingest([one.wire for one in later], now_ms=2000)
    assert store.append_own(KEY, later[0].body, ts_ms=3000).seq == 3
    assert store.boards.reused_number(KEY.public) is None


def test_of_two_copies_at_once_the_one_that_is_behind_signs_no_more(store: Store) -> None:
    first = store.append_own(KEY, _signed(0, ts_ms=0).body, ts_ms=1000)
    soon_ms = time.time_ns() // 1_000_000 + 1000
    meanwhile = [_signed(number, ts_ms=soon_ms).wire for number in (1, 2)]
    store.intake.ingest(meanwhile, now_ms=soon_ms)
    with pytest.raises(ConfigurationError, match="another machine signs with this node's key"):
        store.append_own(KEY, first.body, ts_ms=soon_ms)
    assert [one.seq for one in store.records.own()] == [0]
    assert store.boards.reused_number(KEY.public) is None


def _signed(seq: int, *, ts_ms: int) -> Record:
    prev = None if seq == 0 else bytes(31) + bytes([seq])
    body = InsightBody(
        task=bytes(32), hardware_class="cpu-x86_64", message="a thing", evidence=(bytes(32),)
    )
    return sign_record(KEY, net="main", seq=seq, prev=prev, ts_ms=ts_ms, body=body)
