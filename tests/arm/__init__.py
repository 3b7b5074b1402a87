"""The runtime under emulated ARM cores, on an x86-64 machine with Debian 12: no board, no container, no root rights.

`userland` makes an ARM user land, `emulation` runs Python in it, the tests here ask the runtime questions there, and
`count` counts the instructions of an inference.
"""
