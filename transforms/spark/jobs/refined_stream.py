"""Structured Streaming over a refined topic: all there is (`availableNow`), typed, exactly once, as Parquet.

    refined_stream.py <stream> <out> [<records per micro-batch>]

A micro-batch writes <out>/batch=<n>/, then <out>_progress/<n>.json: the highest mesh-src of every sequence. Both are replaced when
the batch runs again after a crash. That one number per sequence leaves out what the enricher sent again. A record that cannot be
decoded goes to <out>_rejected/batch=<n>/ with its coordinate.
"""

import json
import os
import sys
import urllib.request

from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.avro.functions import from_avro

from mesh_run import read_input, report

PER_BATCH = "50000"
# `0x00`, the schema's id as a big-endian int32, the Avro payload.
SCHEMA_ID = "CASE WHEN length(value) > 5 AND hex(substring(value, 1, 1)) = '00' THEN CAST(conv(hex(substring(value, 2, 4)), 16, 10) AS INT) END"
HEADER = "CAST(element_at(filter(headers, h -> h.key = '{}'), -1).value AS STRING)"

# mesh-src is `lane;topicId;partition;offset;index`. A record at or below the highest of its sequence has been there before.
FRESH = """
WITH placed AS (
  SELECT *, max(place) OVER (PARTITION BY sequence ORDER BY offset ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
  FROM records
)
SELECT placed.* FROM placed LEFT JOIN highest USING (sequence)
WHERE (before IS NULL OR place > before) AND (highest.top IS NULL OR place > highest.top)
"""


def main(stream, out, per_batch=PER_BATCH):
    run = read_input()
    topic = f"refined.{stream}.v{run['streams'].get(stream, {}).get('version', 1)}"
    spark = SparkSession.builder.getOrCreate()
    reader_schema = registry(f"/subjects/{topic}-value/versions/latest")["schema"]
    records = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", os.environ["MESH_KAFKA_BROKERS"])
        .option("subscribe", topic)
        .option("startingOffsets", "earliest")
        .option("kafka.isolation.level", "read_committed")
        .option("includeHeaders", "true")
        .option("maxOffsetsPerTrigger", per_batch)
        .load()
    )
    query = (
        records.writeStream.foreachBatch(lambda frame, number: write_batch(frame, number, reader_schema, out))
        .option("checkpointLocation", f"{out}_checkpoint")
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()
    report([{"name": out, "status": "success"}])
    spark.stop()


def write_batch(frame, number, reader_schema, out):
    spark = frame.sparkSession
    frame.selectExpr(
        "partition", "offset", "CAST(key AS STRING) AS _key", "value", f"{SCHEMA_ID} AS _schema_id",
        f"{HEADER.format('ce_id')} AS _event_id", f"split({HEADER.format('mesh-src')}, ';') AS src",
    ).selectExpr(
        "*", "concat_ws(';', src[0], src[1], src[2]) AS sequence",
        "named_struct('offset', CAST(src[3] AS BIGINT), 'index', CAST(src[4] AS INT)) AS place",
    ).createOrReplaceTempView("records")
    highest = read_progress(out, number)
    tops = [(sequence, (top[0], top[1])) for sequence, top in highest.items()]
    spark.createDataFrame(tops, "sequence STRING, top STRUCT<offset: BIGINT, index: INT>").createOrReplaceTempView("highest")
    fresh = spark.sql(FRESH).persist()
    decoded = decode(fresh, reader_schema)
    decoded.where("_op IS NOT NULL").drop("partition", "offset").write.mode("overwrite").parquet(f"{out}/batch={number}")
    rejected = decoded.where("_op IS NULL").select("partition", "offset", "_key", "_schema_id")
    rejected.write.mode("overwrite").parquet(f"{out}_rejected/batch={number}")
    reached = fresh.groupBy("sequence").agg(F.max("place").alias("place")).collect()
    write_progress(out, number, {**highest, **{row.sequence: [row.place.offset, row.place["index"]] for row in reached}})
    fresh.unpersist()


def decode(fresh, reader_schema):
    """Typed columns, then the mesh's. `_op` is null where the bytes fit no schema."""
    fields = json.loads(reader_schema)["fields"]
    required = next((field["name"] for field in fields if "null" not in field["type"]), None)
    # PERMISSIVE gives a record of nulls for bytes that do not fit: a field that may not be null tells it from a real one.
    fits = F.lit(True) if required is None else F.col(f"record.{required}").isNotNull()
    options = {"mode": "PERMISSIVE", "avroSchema": reader_schema}
    frames = []
    # from_avro takes one writer's schema: each that occurs is a branch of its own. A delete and a stranger have none.
    for (schema_id,) in fresh.select("_schema_id").distinct().collect():
        writer_schema = reader_schema if schema_id is None else registry(f"/schemas/ids/{schema_id}")["schema"]
        payload = F.expr("CAST(NULL AS BINARY)") if schema_id is None else F.expr("substring(value, 6)")
        branch = fresh.where("_schema_id IS NULL" if schema_id is None else f"_schema_id = {schema_id}")
        typed = branch.withColumn("record", from_avro(payload, writer_schema, options))
        op = F.when(F.col("value").isNull(), "delete").when(F.lit(schema_id is not None) & fits, "upsert")
        frames.append(typed.withColumn("_op", op))
    result = frames[0] if frames else fresh.withColumn("record", from_avro(F.col("value"), reader_schema, options)).withColumn("_op", F.lit("upsert"))
    for more in frames[1:]:
        result = result.unionByName(more)
    return result.selectExpr(
        "record.*", "_op", "_key", "src[0] AS _lane", "src[1] AS _topic_id", "CAST(src[2] AS INT) AS _partition",
        "place.offset AS _offset", "place.index AS _index", "_event_id", "_schema_id", "partition", "offset",
    )


def registry(path):
    with urllib.request.urlopen(os.environ["MESH_REGISTRY_URL"] + path, timeout=30) as response:
        return json.load(response)


def read_progress(out, number):
    """What the batch before `number` came to. A batch that ran already is not asked: it runs again from the same state."""
    if number == 0:
        return {}
    with open(f"{out}_progress/{number - 1}.json", encoding="utf-8") as file:
        return json.load(file)


def write_progress(out, number, highest):
    os.makedirs(f"{out}_progress", exist_ok=True)
    path = f"{out}_progress/{number}.json"
    with open(path + ".part", "w", encoding="utf-8") as file:
        json.dump(highest, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".part", path)


if __name__ == "__main__":
    main(*sys.argv[1:])
