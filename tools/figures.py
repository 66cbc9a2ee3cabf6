"""The provenance of measured figures: date and commit."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path


def provenance() -> dict[str, object]:
    """Return the date and the commit of figures measured now."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"date": now, "commit": _commit()}


def _commit() -> str | None:
    """Return the checked-out commit; None without git or its history."""
    try:
        said = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return None
    return said.stdout.strip() or None
