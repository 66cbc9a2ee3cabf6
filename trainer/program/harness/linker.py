"""A linker script for sandboxes, in which no program may change a file's mode.

GNU ld creates its output file as data and makes it executable by chmod(2). The sandbox refuses that
call, because as root it could change files of the host. So compilers find this script before ld. It
copies ld's output into a file that is created executable.
"""

import os
import shutil
from pathlib import Path

_NAME = "ld"
_SCRIPT = """\
#!/bin/sh
{linker} "$@" || exit
made=a.out
while [ $# -gt 0 ]; do
    case $1 in
        -o | --output) made=$2; shift ;;
        --output=*) made=${{1#--output=}} ;;
        -o*) made=${{1#-o}} ;;
    esac
    shift
done
[ -f "$made" ] && [ ! -x "$made" ] || exit 0
cp "$0" "$made.executable" && cat "$made" > "$made.executable" && mv "$made.executable" "$made"
"""


def show_linker() -> None:
    """Make compilers use the script, if this sandbox shows a linker and a shell."""
    linker, shell = shutil.which(_NAME), shutil.which("sh")
    if linker is None or shell is None:
        return
    folder = Path(os.environ["TMPDIR"], "arnode-linker")
    folder.mkdir(exist_ok=True)
    script = os.open(folder / _NAME, os.O_WRONLY | os.O_CREAT, 0o755)
    with os.fdopen(script, "w") as file:
        file.write(_SCRIPT.format(linker=linker))
    os.environ["COMPILER_PATH"] = str(folder)
