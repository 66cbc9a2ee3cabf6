"""Proposers see the figures and titles of others' sessions, but not their texts."""

from dataclasses import replace

import pytest

from agent.proposal import PeerReport
from node.home.home import Home
from node.loop.peer_reports import reports_of_others
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.remarks import ReportBody, RetractBody
from protocol.runs import Figures
from tests.node.examples import HARDWARE_CLASS, KEY, LINE, TASK
from tests.node.peer_authors import PeerAuthor
from tests.protocol.examples import REPORT

SD = 0.001
THEIRS = replace(REPORT, task=TASK, hardware_class=HARDWARE_CLASS)


@pytest.fixture
def blobs(home: Home, store: Store) -> Blobs:
    return Blobs(home.blobs)


def peer_reports_in(store: Store, *blocked: bytes) -> tuple[PeerReport, ...]:
    return reports_of_others(store, LINE, KEY.public, noise_sd=SD, blocked=blocked)


def test_they_are_reported_in_figures_with_their_title(store: Store, blobs: Blobs) -> None:
    ada = PeerAuthor(store, blobs, number=70)
    ada.publish(THEIRS)
    (report,) = peer_reports_in(store)
    assert report.author == ada.digits
    assert (report.is_near, report.hours, report.title) == (True, 8.0, "A night on two cores")
    assert dict(report.figures)["experiments"] == 812
    assert report.gain_sd == pytest.approx(0.048 / SD)


def test_of_each_author_the_latest_and_of_four_authors(store: Store, blobs: Blobs) -> None:
    authors = [PeerAuthor(store, blobs, number=70 + number) for number in range(6)]
    for author in authors:
        author.publish(replace(THEIRS, title="earlier"))
        author.publish(replace(THEIRS, title="later"))
    reports = peer_reports_in(store)
    assert [report.title for report in reports] == ["later"] * 4
    assert len({report.author for report in reports}) == 4


@pytest.mark.parametrize(
    "changes",
    [{"task": bytes(32)}, {"figures": Figures.of({"gain_nano": 0}), "task": bytes([1]) * 32}],
)
def test_those_of_other_tasks_are_not_reported(
    store: Store, blobs: Blobs, changes: dict[str, object]
) -> None:
    PeerAuthor(store, blobs, number=70).publish(replace(THEIRS, **changes))  # type: ignore[arg-type]
    assert peer_reports_in(store) == ()


def test_one_of_another_class_is_marked_as_far(store: Store, blobs: Blobs) -> None:
    PeerAuthor(store, blobs, number=70).publish(replace(THEIRS, hardware_class="h100-80g"))
    (report,) = peer_reports_in(store)
    assert not report.is_near


def test_own_ones_those_taken_back_and_those_of_the_blocked_are_not_reported(
    store: Store, blobs: Blobs
) -> None:
    ada, omar = (PeerAuthor(store, blobs, number=number) for number in (70, 71))
    store.append_own(KEY, THEIRS, ts_ms=1_700_000_000_000)
    ada.publish(THEIRS)
    taken_back = omar.publish(THEIRS)
    omar.publish(RetractBody(target=taken_back, revoke=False, reason=""))
    assert [report.author for report in peer_reports_in(store)] == [ada.digits]
    assert peer_reports_in(store, ada.key.public) == ()


def test_no_gain_and_no_noise_leave_the_gain_untold(store: Store, blobs: Blobs) -> None:
    body: ReportBody = replace(THEIRS, figures=Figures.of({"kept": 1}))
    PeerAuthor(store, blobs, number=70).publish(body)
    assert peer_reports_in(store)[0].gain_sd is None
    (report,) = reports_of_others(store, LINE, KEY.public, noise_sd=0.0)
    assert report.gain_sd is None
