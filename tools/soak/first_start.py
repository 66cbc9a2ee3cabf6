"""`arnode start` on a machine whose card has not passed its self-test, with the CPU in its place.

`python -m tools.soak.first_start TASK`: only the driver's report of the card is simulated.
"""

import sys

from node.home.config import Config
from node.home.consent import Wishes
from node.home.home import Home
from node.loop.session_plan import Goal
from node.running import program
from node.running.first_card import TaskHere, UntestedCard
from trainer.host.device import processor


def main() -> None:
    """Start a node on the home that the environment names, and let it measure once."""
    home = Home.here()
    task = sys.argv[1]
    here = TaskHere(task=task, untested_card=UntestedCard(device=processor(), card=None))
    vars(program)["task_here"] = lambda *_: here
    program.start_node(home, Config(task=task, agent=("search",)), Goal(), Wishes(network="none"))


if __name__ == "__main__":
    main()
