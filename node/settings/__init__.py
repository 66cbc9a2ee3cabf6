"""What a user can set: settings, their values, addresses, definitions of networks."""
