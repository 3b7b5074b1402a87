"""What a system needs to run the server as a service: units, rules, users, folders.

The files lie in `root/` as they lie on a board; what depends on the board is in `board/`, with its profile's values put
in, and what is only laid down where it is asked for in `optional/`.

    for file in files("raspberry-pi-4"):
        file.write(Path("/mnt"))
"""

from firmware_hooks.system.files import File, files, serial_files

__all__ = ["File", "files", "serial_files"]
