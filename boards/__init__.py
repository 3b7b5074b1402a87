"""Board profiles, detection and tuning.

Holds no code yet: no board is known to it.
"""
