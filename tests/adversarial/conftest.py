"""Fixtures shared by tests of untrusted sources: a runner and the sandbox tiers."""

from collections.abc import Iterator

import pytest

from tests.adversarial.bench import (
    Bench,
    MakeBench,
    Watch,
    benches,
    limited,
    watched_sandboxes,
    with_processes,
)
from trainer.language_model.data import TaskData
from trainer.program import loaded
from trainer.sandbox import sandbox as sandbox_module
from trainer.sandbox.backend import SandboxBackend
from trainer.sandbox.confined import Confined
from trainer.sandbox.forked import ForkedConfined
from trainer.sandbox.landlock import can_scope_signals
from trainer.sandbox.profile import Profile
from trainer.sandbox.tier import Tier, TierName, _probe_weaker, probe_tier
from trainer.sandbox.zygote import Zygote
from trainer.task_folder.task import Task

TIERS: tuple[TierName, ...] = ("full", "container", "partial")


def _each_tier() -> list[object]:
    """Tier full and this machine's are tried always, the others by `make soak PART=tests`."""
    own = probe_tier().name
    return [
        pytest.param(name, marks=[pytest.mark.soak] * (name not in ("full", own))) for name in TIERS
    ]


@pytest.fixture(scope="package")
def watch() -> Iterator[Watch]:
    with watched_sandboxes() as watch:
        yield watch


@pytest.fixture(scope="package")
def make_bench(watch: Watch) -> Iterator[MakeBench]:
    with benches(watch) as make:
        yield make


@pytest.fixture(scope="package")
def bench(make_bench: MakeBench, short_task: Task, short_data: TaskData) -> Bench:
    """The short task: a budget of tokens, one process."""
    return make_bench(limited(short_task), short_data)


@pytest.fixture(scope="package")
def bench_with_processes(make_bench: MakeBench, short_task: Task, short_data: TaskData) -> Bench:
    """A task with a budget of seconds, where training may start processes."""
    return make_bench(limited(with_processes(short_task)), short_data)


@pytest.fixture(scope="module", params=_each_tier())
def tier(request: pytest.FixtureRequest) -> Iterator[TierName]:
    """The tier that all sandboxes are of meanwhile."""
    name: TierName = request.param
    if name == probe_tier().name:
        yield name
        return
    if name == "full":
        pytest.skip(f"there is no tier full here: {probe_tier().detail}")
    if not can_scope_signals():
        pytest.skip("the kernel's Landlock cannot keep signals inside")
    if name == "container" and _probe_weaker().name != "container":
        pytest.skip(f"there is no tier container here: {_probe_weaker().detail}")

    def backend(profile: Profile) -> SandboxBackend:
        kind = ForkedConfined if profile.may_be_forked else Confined
        return kind(profile, as_throwaway=name == "container")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandbox_module, "make_backend", backend)
        patch.setattr(loaded, "probe_tier", lambda: Tier(name=name, detail=""))
        yield name
        Zygote.retire_all()
