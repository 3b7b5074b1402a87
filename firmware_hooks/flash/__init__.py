"""`edge-flash`: what puts models and software on a board."""
