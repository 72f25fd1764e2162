"""Closes the books every night, and for a job of job-trigger those of the streams that it was given."""

from datetime import datetime, timedelta

from airflow.sdk import Param, dag, task
from mesh_alert import DEFAULTS
from mesh_command import closed_books


@dag(
    schedule="0 3 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args=DEFAULTS,
    params={
        "streams": Param([], type="array", description="Streams whose books are closed; none: all of them"),
        "wait": Param(300, type="integer", minimum=0, description="Seconds that the sinks get to reach the enricher"),
    },
    tags=["mesh"],
)
def mesh_reconciliation():
    @task(execution_timeout=timedelta(hours=1))
    def verify(params=None, dag_run=None):
        given = (dag_run.conf or {}).get("mesh", {}).get("streams", {})
        return closed_books(params["streams"] or sorted(given), params["wait"])

    verify()


mesh_reconciliation()
