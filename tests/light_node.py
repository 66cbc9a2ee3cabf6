"""The `arnode` command with the model worker of `tests/light_worker.py`, which starts quickly."""

from unittest import mock

from node.commands.cli import main
from node.proposing import worker
from tests.workers import LIGHT

if __name__ == "__main__":
    with mock.patch.object(worker, "PROGRAM", LIGHT):
        main()
