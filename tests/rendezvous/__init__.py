"""Tests of meeting others by libp2p's DHT."""
