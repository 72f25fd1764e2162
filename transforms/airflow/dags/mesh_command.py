"""What the mesh's DAGs have of the mesh: its command, run in the project's folder, and what its answers mean for a task."""

import json
import os
import shlex
import subprocess

from airflow.sdk.exceptions import AirflowException, AirflowFailException


def mesh(*arguments, accept=(0,)):
    """
    Runs `mesh <arguments> --json` and returns (exit code, what it printed as JSON). MESH_CLI is the command (default `npx mesh`),
    MESH_PROJECT_DIR its folder; where the mesh is it reads from the task's own environment, as it does in a terminal.
    @raises AirflowException for an exit code that is not accepted: the task is tried again
    """
    command = [*shlex.split(os.environ.get("MESH_CLI", "npx mesh")), *arguments, "--json"]
    print("$ mesh", shlex.join([*arguments, "--json"]), flush=True)
    ended = subprocess.run(command, cwd=project_folder(), env=_environment(), capture_output=True, text=True)
    if ended.stderr:
        print(ended.stderr.rstrip(), flush=True)
    if ended.returncode not in accept:
        raise AirflowException(f"mesh {arguments[0]} ended with {ended.returncode}: {_reason(ended.stderr)}")
    try:
        return ended.returncode, json.loads(ended.stdout)
    except ValueError:
        # Exit code 1 says "open" or "refused" with JSON on stdout, and "could not look" with none.
        raise AirflowException(f"mesh {arguments[0]} gave no answer: {_reason(ended.stderr)}") from None


def project_folder():
    """@raises AirflowFailException: trying again would not help"""
    folder = os.environ.get("MESH_PROJECT_DIR")
    if not folder or not os.path.isdir(os.path.join(folder, "streams")):
        raise AirflowFailException(f"MESH_PROJECT_DIR is {folder!r}: set it to the project, the folder with streams/")
    return folder


def closed_books(streams, wait, only=None):
    """
    Closes the books of `streams` (none: of all) and returns one line per version. `only` picks versions, as (stream, version).
    @raises AirflowFailException naming every range that does not close; AirflowException where a layer is behind: tried again
    """
    _, answer = mesh("verify", *streams, "--wait", str(wait), accept=(0, 1, 3))
    books = [book for book in answer["streams"] if only is None or (book["stream"], book["version"]) in only]
    missing = sorted(set(streams) - {book["stream"] for book in books})
    if missing or not books:
        raise AirflowFailException(f"no books of {', '.join(missing) or 'any stream'}: is it applied?")
    lines = [_book_line(book) for book in books]
    print("\n".join(lines), flush=True)
    if found := [text for book in books for text in _findings(book)]:
        raise AirflowFailException("the books do not close:\n" + "\n".join(found))
    if behind := [text for book in books for text in _pending(book)]:
        raise AirflowException("not every layer has reached the enricher:\n" + "\n".join(behind))
    return lines


def seconds(name, default):
    """A setting in seconds."""
    return int(os.environ.get(name, default))


def _environment():
    # Airflow's own settings hold its database and its secrets: nothing of the mesh needs them.
    return {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW__")}


def _reason(stderr):
    """The last line of stderr; of a JSON error its message, code and hint."""
    last = (stderr.strip().splitlines() or ["it printed nothing"])[-1]
    try:
        error = json.loads(last)["error"]
        return f"{error['message']} [{error['code']}] {error['hint']}".strip()
    except (ValueError, KeyError, TypeError):
        return last


def _book_line(book):
    counts = book["counts"]
    fates = ", ".join(f"{name} {counts[name]}" for name in ("ok", "outputs", "duplicate", "drop", "deadLetter", "parked"))
    return f"{_name(book)}: {book['state']}, raw {book['records']}, {fates}"


def _findings(book):
    return [
        f"{_name(book)} partition {verdict['partition']} {finding['range']}: "
        f"{finding['check']}: {finding['left']} is not {finding['right']}"
        for verdict in book["verdicts"]
        for finding in verdict["findings"]
    ]


def _pending(book):
    return [
        f"{_name(book)} partition {verdict['partition']}: {layer}"
        for verdict in book["verdicts"]
        for layer in verdict["pending"]
    ]


def _name(book):
    return f"{book['stream']} v{book['version']}{' live' if book['live'] else ''}"
