"""What peers claim: which claims to try, and how they become candidates here."""
