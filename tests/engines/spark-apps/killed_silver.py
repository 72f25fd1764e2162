"""silver_flights.py, killed once: when it has written everything and not yet said so."""

import sys

import silver_flights
from killed_once import kill_once

say = silver_flights.report


def report(outputs):
    kill_once()
    say(outputs)


silver_flights.report = report
silver_flights.main(*sys.argv[1:])
