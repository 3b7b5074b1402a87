"""One small daemon beside the server: it keeps the board cool, tells what is wrong with its power, shows the state on a
LED, runs users' hooks, and ends the trials of new models (docs/service.md).

It asks the server over the server's own protocol and reads /sys; it imports neither NumPy nor a TFLite runtime.
"""
