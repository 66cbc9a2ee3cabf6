"""When figures were measured, and of what."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path


def provenance() -> dict[str, object]:
    """Return the date and the commit of figures measured now."""
    said = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"date": now, "commit": said.stdout.strip()}
