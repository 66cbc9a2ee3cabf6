"""The untrusted side: what stands inside the sandbox. Nothing it says is believed outside."""
