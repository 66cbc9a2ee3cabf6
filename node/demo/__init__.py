"""`arnode demo`: a small network of real processes on this machine, which shows arnode's purpose.

One node finds a gain; another measures it again and adopts it. A third, the liar, invents a gain,
which is measured as well and refuted. No node knows which one lies.
"""
