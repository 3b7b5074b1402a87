"""Power cuts, at the level of a process: the writer is stopped at a system call, and what it did not sync may be lost.

    python -m tests.firmware_hooks.power_cuts --cuts 1000

`interpose.c` is preloaded into the real writer, notes each call that changes a folder, and kills the process at the
one that was drawn. `disk` then works out what a file system may hold after the power went at that moment: what was
synced, and of the rest any part. In that folder the board starts, as it would, and must have a working, verified model.
(The method of ALICE: Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014.)
"""
