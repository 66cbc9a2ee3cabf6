"""The command that installs a package of the user's Linux distribution."""

import shutil
from typing import Final

# The same as in `setup-system`.
_MANAGERS: Final = {
    "apt-get": "apt-get install",
    "dnf": "dnf install",
    "pacman": "pacman --sync",
    "zypper": "zypper install",
}


def install_hint(package: str) -> str:
    """Return a hint with the command for this machine, or one without if none is known."""
    for manager, command in _MANAGERS.items():
        if shutil.which(manager):
            return f"install it as root: `{command} {package}`"
    return f"install your distribution's package `{package}`"
