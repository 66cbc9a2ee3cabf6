"""What models answer, by format: each module reads one family of them."""
