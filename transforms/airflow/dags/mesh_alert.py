"""Retries that every task of the mesh's DAGs has, and the alert once they are used up."""

import json
import os
import time
import urllib.request
from datetime import datetime, timedelta, timezone

from mesh_command import seconds

ATTEMPTS = 3
TIMEOUT_S = 10


def alert(context):
    """
    Airflow's on_failure_callback: POSTs one JSON object to MESH_AIRFLOW_ALERT_URL, whose `text` a chat's incoming webhook shows as it is.
    Without an address the task's log is all there is. An alert that cannot be delivered never hides the failure itself.
    """
    task = context["task_instance"]
    error = str(context.get("exception") or "the task was ended from outside")
    note = {
        "text": f"{task.dag_id}.{task.task_id} failed: {error}",
        "dag": task.dag_id,
        "task": task.task_id,
        "run": context["run_id"],
        "attempt": task.try_number,
        "error": error,
        "at": datetime.now(timezone.utc).isoformat(),
    }
    send(note)


def send(note):
    """Whether it was delivered."""
    url = os.environ.get("MESH_AIRFLOW_ALERT_URL")
    print(f"ALERT {note['text']}", flush=True)
    if not url:
        return False
    request = urllib.request.Request(url, json.dumps(note).encode(), {"content-type": "application/json"})
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S):
                return True
        except OSError as error:
            print(f"the alert could not be delivered ({attempt} of {ATTEMPTS}): {error}", flush=True)
            time.sleep(attempt)
    return False


DEFAULTS = {
    "owner": "mesh",
    "retries": 3,
    "retry_delay": timedelta(seconds=seconds("MESH_AIRFLOW_RETRY_DELAY_S", 60)),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
    "on_failure_callback": alert,
}
