"""The first program in a program task's sandboxes: imports modules, then runs a given role.

It is run as `python … boot.py DESCRIPTOR ROLE`. With a further argument `forks` it is a zygote: it
imports numpy once, and each sandbox that it forks continues here (`trainer.sandbox.inside.zygote`).
Until a job arrives, only arnode's code runs here.
"""

import gc
import os
import sys
import traceback
from pathlib import Path

_CODE = Path(__file__).parents[3]  # `/arnode`, or a folder of links where there are no namespaces
sys.path[:0] = [str(_CODE), str(_CODE.parent / "packages")]


def main() -> None:
    """Import modules, send READY, and run the role."""
    from trainer.sandbox.inside.channel import FORKS, OUT_OF_MEMORY, READY, Channel
    from trainer.sandbox.inside.restrictions import limit_self
    from trainer.sandbox.inside.zygote import serve

    descriptor, (role, *forks) = int(sys.argv[1]), sys.argv[2:]
    _warm()
    if forks == [FORKS]:
        descriptor = serve(descriptor).channel
    channel = Channel(descriptor)
    channel.send(READY)
    limit_self()
    from trainer.program.harness import candidate, evaluator, judge

    roles = {
        "solve": candidate.work,
        "build": candidate.build,
        "judge": judge.work,
        "evaluate": evaluator.work,
    }
    status = 1
    try:
        roles[role](channel)
        status = 0
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        else:
            status = ended.code or 0
    except MemoryError:
        traceback.print_exc()
        status = OUT_OF_MEMORY
    except BaseException:  # noqa: BLE001 -- a candidate may raise anything
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _warm() -> None:
    gc.disable()  # imported modules are never freed
    from trainer.program.harness import candidate, evaluator, judge  # noqa: F401

    gc.freeze()
    gc.enable()


if __name__ == "__main__":
    main()
