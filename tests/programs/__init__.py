"""The presets with the real programs of today, a scripted server in the provider's place."""
