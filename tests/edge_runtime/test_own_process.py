"""What our own processes do before they load anything heavy."""

from __future__ import annotations

import os
import subprocess
import sys

THREADS = """
import os, sys
from edge_runtime import own_process
own_process.start_lean()
import numpy
print(len(os.listdir("/proc/self/task")), os.environ["OPENBLAS_NUM_THREADS"])
"""
COLLECTOR = """
import gc
usual = gc.get_threshold()
from edge_runtime import own_process
own_process.start_lean()
print(gc.get_threshold() > usual, gc.isenabled())
own_process.loaded()
print(gc.get_threshold() == usual, gc.isenabled(), gc.get_freeze_count() > 0)
"""
LIBRARY = """
import gc, os
before = gc.get_threshold(), dict(os.environ)
import edge_runtime
edge_runtime.load("assistant").close()
print(before == (gc.get_threshold(), dict(os.environ)))
"""


def said(code: str, **environment: str) -> list[str]:
    clean = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    return subprocess.check_output([sys.executable, "-c", code], text=True, env=clean | environment).split()


def test_numpy_starts_no_threads() -> None:
    """NumPy's linear algebra, which nothing here uses, leaves the process with the one thread it has."""
    assert said(THREADS) == ["1", "1"]


def test_a_number_of_threads_that_is_set_stays() -> None:
    """What the environment says is not overruled."""
    assert said(THREADS, OPENBLAS_NUM_THREADS="3")[1] == "3"


def test_the_collector_is_back_when_all_is_loaded() -> None:
    """It looks seldom while things are imported, and as usual afterwards, at what is new."""
    assert said(COLLECTOR) == ["True"] * 5


def test_an_application_keeps_its_settings() -> None:
    """Loading a model in somebody's process changes neither its collector nor its environment."""
    assert said(LIBRARY) == ["True"]
