"""`arnode demo`: a small network on this machine, of real processes, that shows what arnode is for.

A gain that one node finds is measured again by another and adopted; a gain that a liar made up is
measured by it, too, and refuted. Nobody is told who is who.
"""
