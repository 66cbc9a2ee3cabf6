"""The sandbox's first program: import torch, report that the sandbox is warm, wait for the source.

It runs as `python -I -S boot.py DESCRIPTOR ROLE [GATE]`. GATE is a system-call filter in hex; its
listener is sent to the runner (`trainer.sandbox.syscall_gate`). If GATE is `forks`, the process is
a zygote: it imports torch once, then forks, and each forked sandbox continues here
(`trainer.sandbox.inside.zygote`). Until the source arrives only our own code runs here. It limits
its own process, and these limits then hold for the candidate as well.
"""

import gc
import os
import sys
import traceback
from pathlib import Path

_CODE = Path(__file__).parents[3]  # `/arnode`, or a folder of links where there are no namespaces
sys.path[:0] = [str(_CODE), str(_CODE.parent / "packages")]


def main() -> None:
    """Warm up, report it, receive the job and run the candidate's script."""
    from trainer.sandbox.inside.channel import FORKS, JOB, OUT_OF_MEMORY, READY, Channel
    from trainer.sandbox.inside.restrictions import limit_self, load_filter
    from trainer.sandbox.inside.zygote import serve

    descriptor, (role, *filters) = int(sys.argv[1]), sys.argv[2:]
    _warm(with_optimiser=role == "train")
    if filters == [FORKS]:
        forked = serve(descriptor)
        descriptor, filters = forked.channel, forked.filters
        _reseed()
    channel = Channel(descriptor)
    gate = load_filter(bytes.fromhex(filters[0]), with_listener=True) if filters else None
    channel.send(READY, descriptor=gate)
    limit_self()
    tag, payload, _ = channel.receive()
    if tag != JOB:
        raise SystemExit("the first frame must be the job")
    from trainer.language_model.harness import session

    session.begin(channel, payload)
    _offer_modules()
    status = 0
    try:
        try:
            session.run_script()
        finally:
            sys.stdout.flush()  # then the error is the last line, which becomes the run's reason
    except SystemExit as error:
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except BaseException as error:  # noqa: BLE001 -- whatever the candidate raises
        traceback.print_exc()
        if isinstance(error, (MemoryError, sys.modules["torch"].OutOfMemoryError)):
            status = OUT_OF_MEMORY
    finally:
        # Tearing down torch costs a CPU second. It would count, and turn a crash into a timeout.
        os._exit(status)


def _offer_modules() -> None:
    """Let scripts import `prepare` and `kernels`, as autoresearch names them."""
    from trainer.language_model.harness import kernels, prepare

    sys.modules["prepare"] = prepare
    sys.modules["kernels"] = kernels


def _warm(*, with_optimiser: bool) -> None:
    # Imported objects stay, so collecting garbage is wasted: an eighth of the work here, a fifth
    # with the optimiser. `freeze` also saves 0.1 s in a training step that would scan them all.
    gc.disable()
    import torch

    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    parameter = torch.nn.Parameter(torch.zeros(2, 2))
    if with_optimiser:  # the first optimiser imports torch._dynamo: 0.7 CPU-s
        parameter.grad = torch.ones(2, 2)
        torch.optim.AdamW([parameter]).step()
    # The imports that every run needs next, except `prepare`, which depends on the job.
    from trainer.language_model.harness import kernels, serving, session  # noqa: F401

    gc.freeze()
    gc.enable()


def _reseed() -> None:
    """Reseed numpy and torch, so that forks differ; Python's own generator does so by itself."""
    import numpy as np
    import torch

    np.random.seed()
    torch.seed()


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    main()
