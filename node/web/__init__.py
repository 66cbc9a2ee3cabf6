"""The page in the browser and its HTTP API: read a node's data and send it commands."""
