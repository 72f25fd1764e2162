"""DAGs that the suite sets off: a task that begins appends its run's id and its pid to the file `begun` in MESH_TEST_FOLDER."""

import json
import os
import time
from datetime import datetime, timedelta

from airflow.sdk import dag, task

FOLDER = os.environ["MESH_TEST_FOLDER"]
RETRIES = {"retries": 1, "retry_delay": timedelta(seconds=1)}


def begin(dag_run):
    with open(os.path.join(FOLDER, "begun"), "a", encoding="utf-8") as file:
        file.write(f"{dag_run.run_id} {os.getpid()}\n")


def of(name):
    return dag(
        dag_id=name,
        schedule=None,
        start_date=datetime(2026, 1, 1),
        catchup=False,
        is_paused_upon_creation=False,
    )


@of("good")
def good():
    @task
    def load(dag_run=None):
        begin(dag_run)
        with open(os.path.join(FOLDER, f"{dag_run.run_id}.json"), "w", encoding="utf-8") as file:
            json.dump(dag_run.conf, file)

    load()


@of("bad")
def bad():
    @task(**RETRIES)
    def load(dag_run=None):
        begin(dag_run)
        raise ValueError("this DAG always fails")

    load()


@of("endless")
def endless():
    """Until the file `go` is there."""

    @task
    def load(dag_run=None):
        begin(dag_run)
        while not os.path.exists(os.path.join(FOLDER, "go")):
            time.sleep(0.1)

    load()


good()
bad()
endless()
