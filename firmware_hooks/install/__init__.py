"""Puts a payload onto a device: on a running system over ssh, or on a card before its first start.

`on_board.py` runs on the device, with nothing but the system's own Python; all else runs on a workstation.
"""
