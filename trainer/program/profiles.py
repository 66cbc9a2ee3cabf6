"""The sandbox profile of a candidate, derived from its task's manifest."""

from typing import Final

from protocol.manifest import TaskManifest
from protocol.program import ProgramSpec
from trainer.host.device import Device
from trainer.program.data import DataFolder
from trainer.program.harness import HARNESS
from trainer.program.harness.handing import IN, OUT, is_asked
from trainer.program.manifest import spec_of, tools_of
from trainer.sandbox.packages import NO_PACKAGES, Packages
from trainer.sandbox.profile import Profile
from trainer.sandbox.seccomp import last_program, seccomp_program
from trainer.sandbox.toolchains import toolchain

SCRATCH_BYTES: Final = 64 << 20
_SCRATCH_BYTES_OF_CARD: Final = 1 << 30  # for kernels compiled for the card


def is_one_process(manifest: TaskManifest) -> bool:
    """Return True if a task's candidates may start no other process."""
    spec = spec_of(manifest)
    return not _tools_at_run(spec) and spec.limits.threads == 1


def profile_of(
    manifest: TaskManifest,
    *,
    packages: Packages = NO_PACKAGES,
    data: DataFolder | None = None,
    card: Device | None = None,
) -> Profile:
    """Return the profile of a candidate's sandbox: its limits, and the files that it shows.

    Beyond the standard files it may show Python packages, a data folder and a card. If the
    candidate asks language models, a second process forwards its questions. If its answer is a
    file, a second process waits for its end.
    """
    spec = spec_of(manifest)
    is_alone = spec.llm is None and not is_filed(spec, OUT)
    files_mb = (spec.limits.instance_mb if is_filed(spec, IN) else 0) + (
        spec.limits.answer_mb if is_filed(spec, OUT) else 0
    )
    return Profile(
        role="solve",
        harness=HARNESS,
        memory_bytes=manifest.limits.memory_mb * 1_000_000,
        scratch_bytes=files_mb * 1_000_000
        + (SCRATCH_BYTES if card is None else _SCRATCH_BYTES_OF_CARD),
        threads=max(64, spec.limits.threads),
        single_process=is_one_process(manifest) and is_alone,
        tools=_tools_at_run(spec),
        packages=packages,
        data=() if data is None else (data.shown,),
        card=card,
        has_loopback=spec.llm is not None,
        weighs_memory=_weighs_memory(manifest, spec),
    )


def candidate_filter(manifest: TaskManifest, profile: Profile, *, keeps_core: bool) -> bytes:
    """Return the filter that a candidate's process loads in addition to its sandbox's filter.

    It is needed only if the sandbox has a second process, which forwards questions or waits for the
    answer's file: then the sandbox's filter allows several processes. Otherwise it is empty.
    """
    if not profile.waits:
        return b""
    if is_one_process(manifest):
        return seccomp_program(
            single_process=True,
            has_loopback=profile.has_loopback,
            has_pairs=profile.may_have_pairs,
            weighs_memory=profile.weighs_memory,
        )
    return last_program(keeps_core=keeps_core)


def _weighs_memory(manifest: TaskManifest, spec: ProgramSpec) -> bool:
    """Return True if a task's metric or one of its guards is memory."""
    return "peak_mb" in (manifest.metric.name, *(one.name for one in spec.guards or ()))


def is_filed(spec: ProgramSpec, what: str) -> bool:
    """Return True if a program's command contains the placeholder `what`: `{in}` or `{out}`."""
    return spec.run is not None and is_asked(spec.run, what)


def _tools_at_run(spec: ProgramSpec) -> tuple[str, ...]:
    by_itself = [name for name in tools_of(spec.run) if toolchain(name).at_run]
    return tuple(dict.fromkeys((*by_itself, *(spec.toolchains or ()))))
