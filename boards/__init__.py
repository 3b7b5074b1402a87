"""Boards: what is known of each, which one this is, how models run best on it, and what they cost there.

A folder for each board holds its profile, `board.toml`, and `profile.sh`. `edge-boards` is the command.
"""
