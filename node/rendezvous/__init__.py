"""Meeting others by libp2p's public DHT: a client, a process of its own for each meeting."""
