"""What commands print as JSON and the API serves: one definition of each document."""
