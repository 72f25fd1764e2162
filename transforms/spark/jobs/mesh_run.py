"""What a Spark program of the mesh is given, and how it answers. Run by job-trigger's engine `spark`."""

import json
import os
from urllib.parse import unquote, urlparse


def read_input():
    """The run's input: vector, asOf, streams (docs/jobs.md)."""
    with open(os.environ["MESH_INPUT"], encoding="utf-8") as file:
        return json.load(file)


def lake_path(*parts):
    """A path below MESH_LAKE_URL, as Spark reads it: a local path, or s3a://."""
    url = urlparse(os.environ["MESH_LAKE_URL"])
    if url.scheme == "s3":
        return "/".join(["s3a://" + url.netloc + url.path.rstrip("/"), *parts])
    return os.path.join(unquote(url.path), *parts)


def ranges(run, stream, layer):
    """[from, to) of this run, per partition of a layer."""
    return [range_ for range_ in run["vector"] if range_["stream"] == stream and range_["layer"] == layer]


def readable(run, stream, layer):
    """How far the run may read, per partition of a layer; None where the stream is no input of the job."""
    positions = [at for at in run["asOf"] if at["stream"] == stream and at["layer"] == layer]
    return positions or None


def rejected(name, reasons):
    """The output that says what a run has set aside: how many records by reason. None where there are none."""
    if not reasons:
        return []
    counts = ", ".join(f"{reason} {reasons[reason]}" for reason in sorted(reasons))
    return [{"name": name, "status": f"{sum(reasons.values())} rejected: {counts}"}]


def report(outputs):
    """Says what was written. The file is there whole or not at all."""
    path = os.environ["MESH_OUTPUTS"]
    with open(path + ".part", "w", encoding="utf-8") as file:
        json.dump(outputs, file)
    os.replace(path + ".part", path)
