"""Limits that a harness sets on its own process before a candidate becomes it."""

import resource


def limit_self() -> None:
    """Bound what this process may take; what the walls have set lower stays.

    Call it after what is sent with a descriptor: descriptors on their way count by user against
    the sender's own limit, and a candidate in another sandbox may have as many on their way as its
    limit lets it.
    """
    for limit, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 512),
        (resource.RLIMIT_FSIZE, 1 << 30),
        # Queued signals (each timer holds one) are counted per user: none may use up another's. A
        # user who may run real-time programs must not lend that to a candidate.
        (resource.RLIMIT_SIGPENDING, 1024),
        (resource.RLIMIT_NICE, 0),
        (resource.RLIMIT_RTPRIO, 0),
        (resource.RLIMIT_MEMLOCK, 8 << 20),
    ):
        allowed = resource.getrlimit(limit)[1]
        lower = most if allowed == resource.RLIM_INFINITY else min(most, allowed)
        resource.setrlimit(limit, (lower, lower))
