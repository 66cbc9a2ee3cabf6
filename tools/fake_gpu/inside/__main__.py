"""Run one script as the harness does, with a JSON request on stdin and a JSON reply on stdout."""

import contextlib
import json
import os
import sys
import tempfile
import time
import traceback
from dataclasses import asdict

from tools.fake_gpu.inside.play import Played, Request, play


def main() -> None:
    request = Request(**json.load(sys.stdin))
    if not request.compiles:
        os.environ["TORCHDYNAMO_DISABLE"] = "1"
    began_s = time.monotonic()
    folder = tempfile.TemporaryDirectory()
    with folder as path, contextlib.chdir(path), contextlib.redirect_stdout(sys.stderr):
        try:
            played = play(request)
        except BaseException as error:  # noqa: BLE001 -- whatever a script, torch or Triton raises
            traceback.print_exc()
            said = f"{type(error).__name__}: {error}".partition("\n")[0]
            played = Played(ended=said[:300])
    took_s = round(time.monotonic() - began_s, 1)
    print(json.dumps({**asdict(played), "seconds": took_s}))


main()
