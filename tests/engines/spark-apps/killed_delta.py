"""refined_delta.py, killed once: between the two tables of the micro-batch that sets something aside, which no checkpoint has yet."""

import sys

import refined_delta
from killed_once import kill_once

write = refined_delta.append


def append(frame, path, number):
    if path.endswith("/rejected"):
        kill_once()
    write(frame, path, number)


refined_delta.append = append
refined_delta.main(*sys.argv[1:])
