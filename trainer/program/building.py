"""Builds the files that a source is run with, once for each source, if the task has a build.

A build runs in a separate sandbox with its toolchain. It cannot see instances or seeds.
"""

import asyncio
import json
import os
import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from protocol.manifest import TaskManifest
from protocol.source import Source
from trainer.measuring.host_load import LaneWork
from trainer.measuring.metering import ProgramFailed, RunFailed, stage, wall_limit
from trainer.program.harness import HARNESS
from trainer.program.harness.files import File, pack_files, unpack_files
from trainer.program.harness.tags import BUILT
from trainer.program.holdout import Holdout
from trainer.program.manifest import ProgramRecipe, spec_of, tools_of
from trainer.program.profiles import SCRATCH_BYTES
from trainer.sandbox.inside.channel import JOB
from trainer.sandbox.profile import Profile
from trainer.sandbox.sandbox import Sandbox
from trainer.sandbox.sealed import Sealed

_LIMIT_S: Final = 300.0
_MOST_BYTES: Final = 64 << 20
_MEMORY_BYTES: Final = 4 << 30
_KEPT: Final = 4  # sources: those of a pair, and the baseline


class Package:
    """The files of a source at run time.

    `built_bytes` is the size of all files but the task's fixed ones; 0 without a build. Runs on
    public instances use `sealed`. Runs on secret instances use `secret`, which includes the
    holdout's files if there are any.
    """

    def __init__(
        self, files: list[File], *, holdout: Holdout | None = None, built_bytes: int, log: str
    ) -> None:
        self.sealed = self.secret = Sealed([pack_files(files)])
        if holdout is not None:
            self.secret = Sealed([pack_files(holdout.in_place(files))])
        self.built_bytes = built_bytes
        self.log = log

    def close(self) -> None:
        """Release both sets of files."""
        self.sealed.close()
        if self.secret is not self.sealed:
            self.secret.close()


class Builder:
    """Builds a task's sources, and caches the latest packages."""

    def __init__(self, manifest: TaskManifest, recipe: ProgramRecipe, work: LaneWork) -> None:
        spec = spec_of(manifest)
        self._build = spec.build
        self._tools = tuple(dict.fromkeys((*tools_of(spec.build), *(spec.toolchains or ()))))
        self._fixed = list(recipe.fixed)
        self._holdout = recipe.holdout
        self._weighs_build = manifest.metric.name == "build_bytes"
        self._run = spec.run or [(spec.entry or "").partition(":")[0]]
        self._work = work
        self._kept: OrderedDict[bytes, Package] = OrderedDict()
        self._building = asyncio.Lock()

    async def package(self, source: Source) -> Package:
        """Return a source's files for a run. Raises RunFailed if it does not build."""
        async with self._building:
            if source.tree not in self._kept:
                self._kept[source.tree] = await self._made(source)
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)[1].close()
            self._kept.move_to_end(source.tree)
            return self._kept[source.tree]

    def close(self) -> None:
        """Release all packages."""
        while self._kept:
            self._kept.popitem()[1].close()

    async def _made(self, source: Source) -> Package:
        files = [*self._fixed, *(File(path=path, data=data) for path, data in source.files)]
        if self._build is None:
            return Package(files, holdout=self._holdout, built_bytes=0, log="")
        built, log = await self._built(files)
        there = _there_at_run(
            source, self._fixed, built, keeps_source=not self._weighs_build or self._runs(source)
        )
        given = {one.path: one.data for one in self._fixed}
        size = sum(len(one.data) for one in there if given.get(one.path) != one.data)
        return Package(there, holdout=self._holdout, built_bytes=size, log=log)

    def _runs(self, source: Source) -> bool:
        """Return True if the command runs a file of the source itself, not only built files."""
        words = re.findall(r"[^\s\"';|&()<>]+", " ".join(self._run))
        modules = [f"{word.replace('.', '/')}.py" for word in words]  # as of `python -m`
        named = {os.path.normpath(word) for word in (*words, *modules)}
        return not named.isdisjoint(path for path, _ in source.files)

    async def _built(self, files: list[File]) -> tuple[list[File], str]:
        assert self._build is not None  # noqa: S101 -- asked by the caller
        sandbox = await Sandbox.launch(
            Profile(
                role="build",
                harness=HARNESS,
                memory_bytes=_MEMORY_BYTES,
                scratch_bytes=4 * SCRATCH_BYTES,
                single_process=False,
                tools=self._tools,
            )
        )
        self._work.begin(sandbox)
        given = Sealed([pack_files(files)])
        try:
            async with stage(sandbox, "the build"), wall_limit(_LIMIT_S, "the build"):
                with given.opened() as descriptor:
                    job = json.dumps({"build": self._build}).encode()
                    await sandbox.send(JOB, job, descriptor)
                _, payload = await sandbox.receive_one({BUILT: _MOST_BYTES})
        except RunFailed as failed:
            raise ProgramFailed(failed, sandbox.output_tail()) from failed
        finally:
            given.close()
            self._work.end(sandbox)
            await sandbox.close()
        try:
            return unpack_files(payload), sandbox.output_tail()
        except ValueError as fault:
            raise RunFailed("rejected", f"in the build: {fault}") from fault


def _there_at_run(
    source: Source, fixed: Sequence[File], built: Sequence[File], *, keeps_source: bool
) -> list[File]:
    """Return the files of a run. Built files replace source and fixed files of the same path.

    If the metric is the size of the build, the source files are left out unless the command runs
    them. Otherwise a program could hide its code in a comment of its source.
    """
    sources = [File(path=path, data=data) for path, data in source.files] if keeps_source else []
    return list({one.path: one for one in (*fixed, *sources, *built)}.values())
