"""How the bundled models are made: shell scripts, and what writes their cards."""
