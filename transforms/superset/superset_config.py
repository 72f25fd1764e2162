"""Superset on one machine, for gold: everything of it lies in SUPERSET_HOME, and it listens where it is told to."""

import os

SECRET_KEY = os.environ["SUPERSET_SECRET_KEY"]
SQLALCHEMY_DATABASE_URI = f"sqlite:///{os.environ['SUPERSET_HOME']}/superset.db?check_same_thread=false"
# One machine, one user, no TLS in front: the header that demands https would lock the page.
TALISMAN_ENABLED = False
