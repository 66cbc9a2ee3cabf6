"""API keys in the environment of a node that is started stay with it."""

import os
import shutil
from pathlib import Path

from tests.integration.nodes import running_node
from tests.peering.networks import ancestors

SECRET, MINE = "sk-proj-0123456789abcdefXYZ", "mine-0123456789abcdef"
WRAPPER = """#!/bin/sh
env >> {log}
exec {git} "$@"
"""


def environments_below(ancestor: int) -> list[bytes]:
    """Return the environments of all processes that descend from one."""
    found = []
    own = Path(f"/proc/{ancestor}/cmdline").read_bytes()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # Between fork and exec a child is still the node itself.
            is_other = (folder / "cmdline").read_bytes() != own
            if is_other and ancestor in ancestors(int(folder.name)):
                found.append((folder / "environ").read_bytes())
        except OSError:  # it has ended, or is not ours to look into
            continue
    return found


def test_no_program_that_a_node_starts_inherits_a_key(tmp_path: Path) -> None:
    log, programs = tmp_path / "inherited", tmp_path / "programs"
    programs.mkdir()
    git = programs / "git"
    git.write_text(WRAPPER.format(log=log, git=shutil.which("git")))
    git.chmod(0o755)
    env = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "OPENAI_API_KEY": SECRET,
        "ARNODE_LLM_KEY": "MY_SECRET",
        "MY_SECRET": MINE,
    }
    seen: list[bytes] = []
    with running_node(tmp_path / "home", "--network", "none", env=env) as node:

        def has_started_programs() -> bool:
            seen.extend(environments_below(node.process.pid))
            return log.exists() and bool(seen)

        node.wait_until(has_started_programs)
        node.kill()
    inherited = [log.read_bytes(), *seen]
    assert b"MY_SECRET" in b"".join(inherited)  # the setting that names it stays
    for reported in inherited:
        assert SECRET.encode() not in reported
        assert MINE.encode() not in reported
