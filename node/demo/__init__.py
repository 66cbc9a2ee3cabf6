"""`arnode demo`: a small network of real processes on this machine, which shows arnode's purpose.

One node finds a gain; another re-runs it and adopts it. A third, the liar, invents a gain, which is
re-run as well and refuted. No node knows which node lies.
"""
