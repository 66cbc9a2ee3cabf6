"""What this node did and knows, as files for other tools and for any web server."""
