"""Merges the lake's small objects every night, then closes the books over what it has merged."""

from datetime import datetime, timedelta

from airflow.sdk import Param, dag, task
from mesh_alert import DEFAULTS
from mesh_command import closed_books, mesh


@dag(
    schedule="0 1 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args=DEFAULTS,
    params={
        "streams": Param([], type="array", description="Streams whose objects are merged; none: all of them"),
        "older_than": Param("1d", type="string", pattern="^[0-9]+(ms|s|m|h|d)$", description="Younger records are left alone"),
        "target_mb": Param(128, type="integer", minimum=1, description="Size of a merged object"),
        "wait": Param(300, type="integer", minimum=0, description="Seconds that the sinks get to reach the enricher"),
    },
    tags=["mesh"],
)
def mesh_compaction():
    # Begun again it goes on: what is merged is not merged twice.
    @task(execution_timeout=timedelta(hours=6))
    def compact(params=None):
        limits = [f"--older-than={params['older_than']}", f"--target-mb={params['target_mb']}"]
        _, answer = mesh("lake", "compact", *params["streams"], *limits)
        merged = [chain for chain in answer["chains"] if chain["created"]]
        for chain in merged:
            print(f"{chain['chain']}: {chain['merged']} objects in {chain['created']}, {chain['rows']} rows", flush=True)
        return {"merged": sum(chain["merged"] for chain in merged), "created": sum(chain["created"] for chain in merged)}

    @task(execution_timeout=timedelta(hours=1))
    def verify(params=None):
        return closed_books(params["streams"], params["wait"])

    compact() >> verify()


mesh_compaction()
