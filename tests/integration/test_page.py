"""The page of a real node: its link, its session, and an agent that needs only the API."""

import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.integration.nodes import answered, running_node

ROOT = Path(__file__).parents[2]
AGENT = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "api.md").read_text(), re.DOTALL)[0]


def test_an_agent_registers_hands_in_and_reads_the_decision_with_nothing_but_a_token(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    with running_node(home, "--web", "auto", "--agent", "none") as node:
        node.wait_for("page: ")
        node.wait_for("out of ideas: waiting for submitted sources")
        opened = json.loads(answered(home, "view", "--no-browser", "--json").stdout)
        token = answered(home, "view", "--token", "steer").stdout.strip()
        address = opened["address"].rstrip("/")
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address)
        port = address.rpartition(":")[2]
        assert re.fullmatch(rf"http://[0-9a-f]{{16}}\.localhost:{port}/#[\w-]+", opened["link"])
        source = answered(home, "task", "show", "tiny", "--json").stdout
        assert json.loads(source)["editable"] == ["train.py"]
        node.wait_until(lambda: bool(_asked(address, token, "progress")["points"]["id"]))
        head = answered(home, "head").stdout
        edited = tmp_path / "my-solve.py"
        edited.write_text(head.replace("OFF = ", "OFF = 1 + ", 1))
        agent = tmp_path / "agent.py"
        agent.write_text(AGENT)
        done = subprocess.run(
            [sys.executable, str(agent), address, token, "solve.py", str(edited)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.split()[0] in ("keep", "discard", "crash")
        (idea,) = _asked(address, token, "hypotheses")["hypotheses"]
        assert (idea["title"], idea["state"]) == ("A larger step", "done")
        assert _asked(address, token, f"experiments/{idea['result']}")["experiment"]["origin"]
        assert _asked(address, token, "now")["now"]["runs_done"] > 0
        node.interrupt()
        node.end()


@pytest.mark.parametrize("web", ["127.0.0.1", "nowhere:80", "127.0.0.1:0", "127.0.0.1:x"])
def test_an_address_that_is_none_is_reported_with_its_fix(tmp_path: Path, web: str) -> None:
    output = answered(tmp_path / "home", "view", "--web", web, code=6).stderr
    assert "`web` cannot be" in output
    assert 'an address like "127.0.0.1:7842"' in output


def _asked(address: str, token: str, path: str) -> dict:  # type: ignore[type-arg]
    headers = {"Authorization": f"Bearer {token}"}
    request = Request(f"{address}/api/v1/{path}", headers=headers)  # noqa: S310 (our own node)
    with urlopen(request) as answer:  # noqa: S310
        found: dict = json.load(answer)  # type: ignore[type-arg]
    return found
