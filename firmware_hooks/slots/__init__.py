"""Two slots for each model: a new one is tried while the old one is kept, and no power cut leaves neither."""
