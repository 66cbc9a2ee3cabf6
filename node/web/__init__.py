"""The page in the browser and the API under it: what a node knows, and what may be said to it."""
