"""What problems share."""


def compared(reference):
    """Return a check against a reference."""

    def check(data, output):
        return (output == reference(data), "" if output == reference(data) else "not the same")

    return check
