"""Compares the contracts in streams/ with what runs and with the registry, and reports each difference."""

import json
import os
import urllib.error
import urllib.request
from datetime import datetime, timedelta

from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowFailException
from mesh_alert import DEFAULTS, send
from mesh_command import mesh, project_folder

TIMEOUT_S = 10


@dag(
    schedule="0 6 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args=DEFAULTS,
    tags=["mesh"],
)
def mesh_contract_drift():
    @task(execution_timeout=timedelta(minutes=15))
    def compare():
        """One entry per stream that differs: what `mesh streams apply` would do, or refuse, and whether the registry holds its schema."""
        _, plans = mesh("streams", "check", accept=(0, 1))
        found = [drift for plan in plans if (drift := drift_of(plan, registered(plan["schema"]["subject"])))]
        for drift in found:
            print(json.dumps(drift), flush=True)
        return found

    @task
    def report(found):
        """
        A change that `apply` has yet to take is news. A contract that it would refuse, and a registry that holds another schema than
        the contract that runs, are wrong, and the run says so.
        """
        if found:
            lines = [f"{drift['stream']}: {drift['kind']}: {'; '.join(drift['changes'])}" for drift in found]
            send({"text": "contracts differ from what runs\n" + "\n".join(lines), "dag": "mesh_contract_drift", "drift": found})
        if wrong := [drift["stream"] for drift in found if drift["kind"] != "not applied"]:
            raise AirflowFailException(f"contracts that cannot be applied or were bypassed: {', '.join(wrong)}")
        return f"{len(found)} of the streams differ"

    report(compare())


def drift_of(plan, newest):
    """@param newest the schema that the registry gives out for the stream's subject, parsed; None: it has none"""
    changes = plan["changes"] + [f"schema: {change}" for change in plan["schema"]["changes"]]
    kind = {"refused": "refused", "unchanged": None}.get(plan["action"], "not applied")
    if plan["action"] == "refused":
        changes += [f"{problem['message']} [{problem['code']}]" for problem in plan["problems"]]
    # The folder is what runs, so the registry has to hold its schema: whoever registered another one went past `apply`.
    elif plan["action"] == "unchanged" and newest != contract_schema(plan["stream"]):
        kind = "registry differs"
        changes += [f"{plan['schema']['subject']} has no schema" if newest is None else f"{plan['schema']['subject']} has another schema"]
    if kind is None:
        return None
    otherwise = "it was never applied" if plan["action"] == "create" else "its code changed"
    return {"stream": plan["stream"], "kind": kind, "changes": changes or [otherwise]}


def contract_schema(stream):
    with open(os.path.join(project_folder(), "streams", stream, "refined.avsc"), encoding="utf-8") as file:
        return json.load(file)


def registered(subject):
    """The newest schema of a subject, over the Confluent API at MESH_REGISTRY_URL."""
    base = os.environ.get("MESH_REGISTRY_URL")
    if not base:
        raise AirflowFailException("MESH_REGISTRY_URL is not set: the base of the registry's Confluent API")
    try:
        with urllib.request.urlopen(f"{base.rstrip('/')}/subjects/{subject}/versions/latest", timeout=TIMEOUT_S) as answer:
            return json.loads(json.load(answer)["schema"])
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise


mesh_contract_drift()
