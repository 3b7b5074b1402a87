"""What puts the runtime on a device and keeps it alive there.

`serial/` holds the clients for microcontrollers that ask it over a UART: in C and in MicroPython. `slots/` keeps two
slots for each model on a board, and `flash/` is `edge-flash`, which puts models there.
"""
