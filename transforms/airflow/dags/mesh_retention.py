"""Deletes what compaction has merged, every night. History that contracts let go is dropped only after a person's yes to what would go."""

from datetime import datetime, timedelta

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param, dag, task
from mesh_alert import DEFAULTS
from mesh_command import closed_books, mesh

ANSWER_WITHIN = timedelta(days=3)


@dag(
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    is_paused_upon_creation=False,
    default_args=DEFAULTS,
    params={
        "streams": Param([], type="array", description="Streams that are gone through; none: all of them"),
        "wait": Param(300, type="integer", minimum=0, description="Seconds that the sinks get to reach the enricher"),
    },
    tags=["mesh"],
)
def mesh_retention():
    @task(execution_timeout=timedelta(hours=6))
    def clean(params=None):
        """Nothing that a reader can still see goes here, so nobody is asked."""
        _, answer = mesh("lake", "retain", *params["streams"])
        return sum(chain["deleted"] for chain in answer["chains"])

    @task(execution_timeout=timedelta(hours=1))
    def plan(params=None):
        """What would go, and the time at which it was looked: the yes is to this and to nothing younger."""
        _, answer = mesh("lake", "retain", *params["streams"], "--history", "--dry-run")
        going = [chain for chain in answer["chains"] if chain["dropped"]]
        return {"as_of": answer["asOf"], "lines": [line_of(chain) for chain in going]}

    @task.short_circuit
    def history_goes(planned):
        return len(planned["lines"]) > 0

    # It is tried again as it is: what is dropped is not dropped twice.
    @task(execution_timeout=timedelta(hours=6))
    def drop(planned, params=None):
        _, answer = mesh("lake", "retain", *params["streams"], "--history", f"--as-of={planned['as_of']}")
        lines = [line_of(chain) for chain in answer["chains"] if chain["dropped"]]
        print("\n".join(lines), flush=True)
        return lines

    @task(execution_timeout=timedelta(hours=1))
    def verify(params=None):
        return closed_books(params["streams"], params["wait"])

    approve = ApprovalOperator(
        task_id="approve",
        subject="Drop history of the lake for good?",
        body="{{ ti.xcom_pull(task_ids='plan')['lines'] | join('\n') }}",
        response_timeout=ANSWER_WITHIN,
    )
    planned = plan()
    clean() >> planned
    history_goes(planned) >> approve >> drop(planned) >> verify()


def line_of(chain):
    gone = chain["dropped"]
    return f"- **{chain['chain']}** offsets {gone['from']} to {gone['to']}: {gone['rows']} rows in {gone['objects']} objects, {gone['bytes']} bytes"


mesh_retention()
