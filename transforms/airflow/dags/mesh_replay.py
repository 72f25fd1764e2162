"""Rebuilds the derived layers of a stream from history: a plan, a person's yes, `mesh replay`, the books, and a second yes before the cutover."""

from datetime import datetime, timedelta

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param, PokeReturnValue, dag, task
from airflow.sdk.exceptions import AirflowFailException
from mesh_alert import DEFAULTS
from mesh_command import closed_books, mesh, seconds

ANSWER_WITHIN = timedelta(days=3)
BOUND = "RFC 3339 time, or raw offsets as 0=120,1=80"


@dag(
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    is_paused_upon_creation=False,
    default_args=DEFAULTS,
    params={
        "stream": Param(type="string", pattern="^[a-z][a-z0-9-]*$"),
        "source": Param("auto", enum=["auto", "lake", "log"], description="Where history is read: bronze, the raw topic, or both"),
        "from": Param("", type="string", description=f"First record: {BOUND}; empty: the beginning"),
        "to": Param("", type="string", description=f"End, exclusive: {BOUND}; empty: now"),
        "new_code": Param(False, type="boolean", description="With the folder as it is, not with what runs"),
        "cutover": Param(False, type="boolean", description="Ask whether to make the candidate live once its books close"),
        "wait": Param(600, type="integer", minimum=0, description="Seconds that the candidate's sinks get to reach its enricher"),
    },
    tags=["mesh"],
)
def mesh_replay():
    @task
    def plan(params=None):
        """What would be done, for the person who is asked. A replay that would be refused anyway is refused here."""
        stream = params["stream"]
        _, states = mesh("streams", "list")
        state = next((each for each in states if each["stream"] == stream), None)
        if state is None:
            raise AirflowFailException(f"stream {stream} is not applied; there are: {', '.join(s['stream'] for s in states)}")
        candidates = [f"v{v['version']}" for v in state["versions"] if v["status"] == "candidate"]
        if candidates:
            raise AirflowFailException(f"{stream} has a candidate already: {', '.join(candidates)}; `mesh replay --list`")
        changes = []
        if params["new_code"]:
            _, plans = mesh("streams", "check", stream, accept=(0, 1))
            changes = plans[0]["changes"] + plans[0]["schema"]["changes"]
        return "\n".join(
            [
                f"- **{stream}**: v{state['live']} is live, {state['partitions']} partitions",
                f"- from {params['from'] or 'the beginning'} to {params['to'] or 'now'}, out of {params['source']}",
                f"- code: {'the folder as it is' if params['new_code'] else 'what runs'}",
                *(f"- changes {change}" for change in changes),
                "- the live version and its readers are left alone; the candidate costs its topics, its files and its table",
            ]
        )

    # What was begun and whose answer was lost may be running: a second start would be refused as busy, so it is a person's turn.
    @task(retries=0)
    def start(params=None):
        options = [f"--{name}={params[name]}" for name in ("from", "to") if params[name]]
        code = ["--new-code"] if params["new_code"] else []
        _, jobs = mesh("replay", params["stream"], "--no-wait", f"--source={params['source']}", *options, *code)
        return {"id": jobs[0]["id"], "version": jobs[0]["version"]}

    @task.sensor(mode="reschedule", poke_interval=seconds("MESH_AIRFLOW_POLL_S", 30), timeout=timedelta(days=2).total_seconds())
    def ready(job):
        _, jobs = mesh("replay", "--show", job["id"])
        state = jobs[0]["state"]
        print(f"replay {job['id']} is {state}", flush=True)
        if state == "CANCELLED":
            raise AirflowFailException(f"replay {job['id']} was cancelled")
        return PokeReturnValue(is_done=state in ("READY", "CUTOVER"))

    @task(execution_timeout=timedelta(hours=2))
    def verify(job, params=None):
        return closed_books([params["stream"]], params["wait"], only={(params["stream"], job["version"])})

    @task.short_circuit
    def cutover_wanted(job, params=None):
        if not params["cutover"]:
            print(f"`mesh replay --cutover {job['id']}` makes it live, `mesh replay --cancel {job['id']}` removes it", flush=True)
        return params["cutover"]

    @task
    def cutover(job):
        mesh("replay", "--cutover", job["id"])

    @task(execution_timeout=timedelta(hours=2))
    def verify_live(job, params=None):
        lines = closed_books([params["stream"]], params["wait"], only={(params["stream"], job["version"])})
        if not any(f"v{job['version']} live:" in line for line in lines):
            raise AirflowFailException(f"{params['stream']} v{job['version']} is not live after its cutover")
        return lines

    approve = ApprovalOperator(
        task_id="approve",
        subject="Replay {{ params.stream }}?",
        body="{{ ti.xcom_pull(task_ids='plan') }}",
        response_timeout=ANSWER_WITHIN,
    )
    approve_cutover = ApprovalOperator(
        task_id="approve_cutover",
        subject="Make v{{ ti.xcom_pull(task_ids='start')['version'] }} of {{ params.stream }} live?",
        body="{{ ti.xcom_pull(task_ids='verify') | join('\n') }}",
        response_timeout=ANSWER_WITHIN,
    )
    job = start()
    plan() >> approve >> job
    candidate = ready(job) >> verify(job)
    candidate >> cutover_wanted(job) >> approve_cutover >> cutover(job) >> verify_live(job)


mesh_replay()
