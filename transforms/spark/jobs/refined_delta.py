"""A refined topic into a Delta table, by Structured Streaming: reads what is there (`availableNow`) and ends; the next run goes on.

    refined_delta.py <stream> <out>

Writes <out>/rows (one row per refined record, deletes included), <out>/rejected (records that cannot be read, with their place and the
run that set them aside) and <out>/checkpoint (progress and the records known, in one), below <out>/v<version>: a table per version.
"""

import json
import os
import sys
import urllib.request

from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.avro.functions import from_avro

from mesh_run import ranges, read_input, rejected, report

# A record is written again within moments of its first writing, after a crash of the enricher.
KNOWN_FOR = "7 days"
RECORDS_A_BATCH = os.environ.get("MESH_SPARK_RECORDS_A_BATCH", "500000")
PLACE = ["_lane", "_topic_id", "_partition", "_offset", "_index"]


def schemas_of(subject):
    """Every schema that the subject has had, by id, oldest first: records keep the id that they were written with."""
    base = f"{os.environ['MESH_REGISTRY_URL'].rstrip('/')}/subjects/{subject}/versions"
    versions = [get(f"{base}/{version}") for version in sorted(get(base))]
    return {version["id"]: version["schema"] for version in versions}


def get(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)


def columns_of(spark, schema):
    """The columns that an Avro record becomes, as Spark has them."""
    frame = spark.range(0).select(from_avro(F.lit(None).cast("binary"), schema).alias("r"))
    return frame.schema["r"].dataType


def decoded(schemas, columns):
    """
    The record as a struct of the newest schema, whichever it was written with: from_avro takes one schema, so there is a branch per id.
    What an older one lacks is null. PERMISSIVE makes a record that cannot be read null, where FAILFAST would end the job.
    """
    branches = None
    for schema_id, (schema, own) in schemas.items():
        record = from_avro(F.expr("substring(value, 6)"), schema, {"mode": "PERMISSIVE"})
        fields = [
            (record[field.name] if field.name in own.names else F.lit(None)).cast(field.dataType).alias(field.name)
            for field in columns.fields
        ]
        # Of a record that cannot be read, a field that may not be null is null.
        needed = [record[field["name"]].isNotNull() for field in json.loads(schema)["fields"] if not takes_null(field)]
        readable = needed[0] if needed else record.isNotNull()
        when = F.when if branches is None else branches.when
        branches = when(F.col("schema_id") == schema_id, F.when(readable, F.struct(*fields)))
    return branches


def takes_null(field):
    return field["type"] == "null" or (isinstance(field["type"], list) and "null" in field["type"])


def header(name):
    return f"CAST(try_element_at(filter(headers, h -> h.key = '{name}'), 1).value AS STRING)"


def records_of(spark, topic):
    """The topic's committed records with what the mesh wrote beside them, each once."""
    stream = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", os.environ["MESH_KAFKA_BROKERS"])
        .option("subscribe", topic)
        .option("startingOffsets", "earliest")
        .option("kafka.isolation.level", "read_committed")
        .option("includeHeaders", "true")
        .option("failOnDataLoss", "true")
        .option("maxOffsetsPerTrigger", RECORDS_A_BATCH)
        .load()
    )
    return (
        stream.withColumn("src", F.split(F.expr(header("mesh-src")), ";"))
        .selectExpr(
            "topic",
            "partition AS topic_partition",
            "offset AS topic_offset",
            "timestamp",
            "value",
            "CASE WHEN value IS NOT NULL AND length(value) > 5 AND hex(substring(value, 1, 1)) = '00'"
            " THEN try_cast(conv(hex(substring(value, 2, 4)), 16, 10) AS INT) END AS schema_id",
            "CASE WHEN value IS NULL THEN 'delete' ELSE 'upsert' END AS _op",
            "CAST(key AS STRING) AS _key",
            # A record of nobody's, without mesh-src, stands for itself.
            "coalesce(get(src, 0), 'none') AS _lane",
            "coalesce(get(src, 1), topic) AS _topic_id",
            "coalesce(try_cast(get(src, 2) AS INT), partition) AS _partition",
            "coalesce(try_cast(get(src, 3) AS BIGINT), offset) AS _offset",
            "coalesce(try_cast(get(src, 4) AS INT), 0) AS _index",
            f"{header('ce_id')} AS _event_id",
            f"try_cast({header('ce_time')} AS TIMESTAMP) AS _event_time",
        )
        .withWatermark("timestamp", KNOWN_FOR)
        .dropDuplicatesWithinWatermark(PLACE)
    )


def writer(out, run_id, subject, schemas):
    """
    One micro-batch into both tables. It may be asked for again under the same number, also when it had come to one of the two tables
    only: Delta knows the number and writes nothing again.
    """
    columns = list(schemas.values())[-1][1]
    system = ["_op", "_key", *PLACE, "_event_id", "_event_time", F.col("schema_id").alias("_schema_id")]
    place = ["topic", "topic_partition", "topic_offset", "_key", "value", "schema_id"]
    good = F.col("r").isNotNull() | (F.col("_op") == "delete")
    is_unknown = F.col("schema_id").isNotNull() & ~F.col("schema_id").isin(list(schemas))
    # Of a framed record that its schema cannot read, the mesh's own code.
    reason = F.when(F.col("schema_id").isNull(), "NO_SCHEMA_ID").when(is_unknown, "UNKNOWN_SCHEMA_ID").otherwise("MESH_DECODE_AVRO")

    def write(batch, number):
        batch = batch.withColumn("r", decoded(schemas, columns)).persist()
        try:
            unknown, unread = batch.agg(F.collect_set(F.when(is_unknown, F.col("schema_id"))), F.count_if(~good)).first()
            if unknown and (newer := sorted(set(unknown) & set(schemas_of(subject)))):
                raise RuntimeError(f"schema ids {newer} are newer than this run: the next attempt knows them")
            append(batch.where(good).select("r.*", *system), f"{out}/rows", number)
            if unread > 0:
                aside = batch.where(~good).select(*place, reason.alias("reason"), F.lit(run_id).alias("_run_id"))
                append(aside, f"{out}/rejected", number)
        finally:
            batch.unpersist()

    return write


def append(frame, path, number):
    options = {"txnAppId": path, "txnVersion": str(number), "mergeSchema": "true"}
    frame.write.format("delta").mode("append").options(**options).save(path)


def check(query, position, own):
    """
    That the query did what the run asks: all of its vector, and nothing thrown away. Ranges of silver and landing are offsets of this
    topic. Those of refined are raw offsets, whose records were in the topic before the run was planned: what is there holds them.
    """
    for range_ in own:
        at = position.get(str(range_["partition"]), 0)
        if at < range_["to"]:
            raise RuntimeError(f"partition {range_['partition']} was read up to {at}, not to {range_['to']}")
    late = sum(state.numRowsDroppedByWatermark for progress in query.recentProgress for state in progress.stateOperators)
    if late > 0:
        raise RuntimeError(
            f"{late} records were older than {KNOWN_FOR} beside others of the topic, and are in no table: begin anew with more"
        )


def set_aside_by(spark, out, run_id):
    """How many records the run could not read, by reason: all its attempts, whose micro-batches are in the table once."""
    if not exists(spark, f"{out}/rejected/_delta_log"):
        return {}
    own = spark.read.format("delta").load(f"{out}/rejected").where(F.col("_run_id") == run_id)
    return dict(own.groupBy("reason").count().collect())


def position_of(spark, checkpoint, topic):
    """The next offset by partition, as of the last micro-batch that ended; empty before the first."""
    if not exists(spark, f"{checkpoint}/commits"):
        return {}
    ended = spark.read.text(f"{checkpoint}/commits").select(F.input_file_name().alias("file")).distinct().collect()
    last = max(int(row["file"].rsplit("/", 1)[1]) for row in ended)
    lines = spark.read.text(f"{checkpoint}/offsets/{last}").collect()
    return json.loads(lines[-1][0])[topic]


def exists(spark, path):
    place = spark._jvm.org.apache.hadoop.fs.Path(path)
    return place.getFileSystem(spark._jsc.hadoopConfiguration()).exists(place)


def main(stream, out):
    run = read_input()
    version = run["streams"][stream]["version"]
    topic = f"refined.{stream}.v{version}"
    out = f"{out}/v{version}"
    spark = (
        SparkSession.builder.config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
        .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
        # Old records are forgotten with the next ones that come: an empty micro-batch for it would be a commit of its own.
        .config("spark.sql.streaming.noDataMicroBatches.enabled", "false")
        # The newer Kafka source of Spark 4.1.1 fails each micro-batch that is asked for again after a crash, when it reports its
        # progress (SPARK-57438): the query would never get past it.
        .config("spark.sql.streaming.disabledV2MicroBatchReaders", "org.apache.spark.sql.kafka010.KafkaSourceProvider")
        .getOrCreate()
    )
    # Delta knows micro-batches by their number, which begins anew with a checkpoint: it would take the new ones for old.
    if exists(spark, f"{out}/rows/_delta_log") and not exists(spark, f"{out}/checkpoint/offsets"):
        raise RuntimeError(f"{out}/rows is there and its checkpoint is not: begin anew in another folder")
    subject = f"{topic}-value"
    schemas = {schema_id: (text, columns_of(spark, text)) for schema_id, text in schemas_of(subject).items()}
    query = (
        records_of(spark, topic)
        .writeStream.foreachBatch(writer(out, run["runId"], subject, schemas))
        .option("checkpointLocation", f"{out}/checkpoint")
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()
    own = [*ranges(run, stream, "silver"), *ranges(run, stream, "landing")]
    check(query, position_of(spark, f"{out}/checkpoint", topic), own)
    unread = rejected(f"{out}/rejected", set_aside_by(spark, out, run["runId"]))
    report([{"name": f"{out}/rows", "status": "success"}, *unread])
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
