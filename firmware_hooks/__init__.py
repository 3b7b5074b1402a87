"""What puts the runtime on a device and keeps it alive there.

Holds no code yet: nothing here installs, flashes or supervises anything.
"""
