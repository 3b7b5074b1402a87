"""The daemon: `edge-runtime serve`."""
