"""A resident dbt: one process, one invocation at a time, JSON lines on stdin and stdout.

dbt's own start takes seconds and an invocation in a warm process a fraction of one. The project is parsed once and again when its
files change; each invocation gets a copy, since dbt writes compiled SQL into what it is given.

Without arguments the project is only parsed.

Request:  {"id", "project", "target", "targetPath", "folder", "args": [...], "vars": {...}}
Answer:   {"id", "result": {"success", "error", "outputs": [...], "artefacts": {...}, "message"}, "rssMb"}

`folder` is the execution's own: output.log, claim.json while it runs, and result.json, written whole before the answer. A lock on
the target path keeps two runners (a killed job-trigger's and its successor's) apart, and an execution whose result is there is
not run again.
"""

import fcntl
import hashlib
import json
import os
import pathlib
import shutil
import sys
import time

PROTOCOL = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)  # whatever prints to stdout must not get between the answers

from dbt.cli.main import dbtRunner  # noqa: E402  (after stdout is out of the way)

PARSED = {}


def main():
    for line in sys.stdin:
        request = json.loads(line)
        answer = {"id": request["id"], "result": run_locked(request), "rssMb": rss_mb()}
        PROTOCOL.write(json.dumps(answer) + "\n")


def run_locked(request):
    folder = pathlib.Path(request["folder"])
    target = pathlib.Path(request["targetPath"])
    target.mkdir(parents=True, exist_ok=True)
    with open(target / "runner.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result_file = folder / "result.json"
        if result_file.exists():
            return json.loads(result_file.read_text())
        (folder / "claim.json").write_text(json.dumps({"pid": os.getpid(), "startTime": start_time()}))
        result = run_logged(request, folder)
        part = folder / "result.json.part"
        part.write_text(json.dumps(result))
        part.rename(result_file)
        return result


def run_logged(request, folder):
    log = os.open(folder / "output.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    keep = os.dup(1)
    sys.stdout.flush()
    os.dup2(log, 1)
    os.close(log)
    try:
        return invoke(request, folder)
    except Exception as error:  # a defect in dbt or in the project's Python: this attempt's failure, not the runner's end
        return {"success": False, "error": f"{type(error).__name__}: {error}", "outputs": [], "artefacts": {}}
    finally:
        sys.stdout.flush()
        os.dup2(keep, 1)
        os.close(keep)


def invoke(request, folder):
    common = ["--project-dir", request["project"], "--profiles-dir", request["project"], "--target", request["target"],
              "--target-path", request["targetPath"], "--log-path", request["targetPath"], "--no-use-colors"]
    manifest, error = parsed(request, common)
    if manifest is None:
        return {"success": False, "error": error, "outputs": [], "artefacts": {}}
    if not request["args"]:  # only made ready
        return {"success": True, "error": None, "outputs": [], "artefacts": {}}
    args = [*request["args"], *common, "--vars", json.dumps(request["vars"])]
    target = pathlib.Path(request["targetPath"])
    freshness = request["args"][:2] == ["source", "freshness"]
    if freshness:  # written only where it came to results: an earlier one must not stand for it
        (target / "sources.json").unlink(missing_ok=True)
    reserved = reserve(os.environ.get("MESH_GOLD_FILE"))
    try:
        done = dbtRunner(manifest=manifest).invoke(args)
    finally:
        let_files_go()
        if reserved is not None:
            reserved.close()
    artefacts = {"output.log": str(folder / "output.log")}
    for name in ["sources.json"] if freshness else ["run_results.json", "manifest.json"]:
        if (target / name).exists():
            shutil.copyfile(target / name, folder / name)
            artefacts[name] = str(folder / name)
    results = list(getattr(done.result, "results", None) or [])
    if freshness and done.success and (silent := unasked(request["args"], results)):
        error = f"dbt asks nothing of {silent}: no such source (`mesh dbt sources` writes them), or no freshness in dbt_project.yml"
        return {"success": False, "error": error, "outputs": [], "artefacts": artefacts}
    tell = age_of if freshness else problem_of
    reason = "; ".join([tell(r) for r in results if str(r.status) in ("error", "fail", "runtime error")][:5])
    if not reason and done.exception is not None:
        reason = f"{type(done.exception).__name__}: {done.exception}"
    outputs = [{"name": r.node.relation_name.replace('"', ""), "status": str(r.status), "seconds": round(r.execution_time, 3)}
               for r in results if r.node.resource_type == "model" and r.node.relation_name]
    return {"success": bool(done.success), "error": None if done.success else (reason or "dbt failed"),
            "outputs": outputs, "artefacts": artefacts, "message": "; ".join(map(age_of, results)) if freshness else None}


def unasked(args, results):
    """The selected sources that have no result: dbt finds nothing wrong with asking nobody."""
    chosen = args[args.index("--select") + 1 : args.index("--exclude") if "--exclude" in args else None]
    found = {f"source:landing.{r.node.name}" for r in results}
    if not results:
        return " ".join(chosen)
    return "" if "--exclude" in args else " ".join(c for c in chosen if c.startswith("source:landing.") and c not in found)


def problem_of(result):
    return f"{result.node.name}: {first_line(result.message)}"


def age_of(result):
    """How old a source's newest rows are: `flights warn, last written 90000 s ago`."""
    age = getattr(result, "age", None)  # of year 1 where the ledger has no row
    told = first_line(result.message) if age is None else "never written" if age > 1e10 else f"last written {round(age)} s ago"
    return f"{result.node.name} {result.status}, {told}"


def reserve(gold, seconds=30):
    """Gold's file, taken for this process until dbt opens it: a reader holds it for milliseconds, but dbt-duckdb's own first pause is
    a second. None where there is no file to take, or it does not get free: dbt says then what is wrong."""
    if not gold:
        return None
    import duckdb

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            return duckdb.connect(gold)
        except duckdb.IOException:
            time.sleep(0.01)
    return None


def let_files_go():
    """dbt-duckdb keeps its files open for the life of the process; nobody else could open them then."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    environment = DuckDBConnectionManager._ENV
    DuckDBConnectionManager.close_all_connections()
    if environment is not None:
        environment.close()


def parsed(request, common):
    """A copy of the project's manifest, and why there is none."""
    state = fingerprint(pathlib.Path(request["project"])) + request["target"]
    if PARSED.get("state") != state:
        PARSED.clear()
        done = dbtRunner().invoke(["parse", *common])
        if not done.success:
            return None, f"parsing the project: {done.exception}"
        PARSED.update(state=state, packed=done.result.to_msgpack())
    from dbt.contracts.graph.manifest import Manifest

    manifest = Manifest.from_msgpack(PARSED["packed"])
    manifest.build_flat_graph()
    return manifest, None


def fingerprint(project):
    digest = hashlib.sha256()
    for path in sorted(project.rglob("*")):
        hidden = any(part in ("target", "logs", "__pycache__") for part in path.relative_to(project).parts)
        if hidden or path.suffix not in (".sql", ".yml", ".yaml", ".csv", ".py", ".md"):
            continue
        digest.update(f"{path}:{path.stat().st_mtime_ns}:{path.stat().st_size};".encode())
    return digest.hexdigest()


def first_line(text):
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    return " ".join(lines[:2])[:400]


def start_time():
    try:
        return pathlib.Path("/proc/self/stat").read_text().rsplit(") ", 1)[1].split(" ")[19]
    except OSError:
        return ""


def rss_mb():
    try:
        return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1048576
    except OSError:
        return 0


if __name__ == "__main__":
    main()
