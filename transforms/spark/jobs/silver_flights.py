"""Silver of `flights` from bronze: cleanse, drop duplicates, join airports. A batch over the run's ranges of raw offsets.

Writes <out>/run=<run>/ and replaces it, so the same run again gives the same rows. What the enricher dead-letters goes to
<out>_rejected/run=<run>/ with its coordinate and the enricher's code, and the run's outputs say how many.
"""

import sys

from pyspark.sql import SparkSession

from mesh_run import lake_path, ranges, read_input, readable, rejected, report

DEDUPE_WINDOW = "INTERVAL 7 DAYS"


def header(name):
    """Text of a header; null where there is none: the gateway writes them, another producer may not."""
    return f"nullif(CAST(try_element_at(filter(headers, h -> h.name = '{name}'), 1).value AS STRING), '')"


def field(name, kind):
    return f"try_variant_get(v, '$.{name}', '{kind}')"


def kind_of(name):
    return f"schema_of_variant({field(name, 'variant')})"


def text(name):
    """The field where it is text: Avro takes no number for it."""
    return f"CASE WHEN {kind_of(name)} = 'STRING' THEN {field(name, 'string')} END"


def whole(name):
    """The field where it is a whole number of 32 bits: text that reads like one, or a fraction, is not."""
    number = field(name, "double")
    is_whole = f"{kind_of(name)} RLIKE '^(BIGINT|DECIMAL|DOUBLE)' AND {number} = floor({number})"
    return f"CASE WHEN {is_whole} THEN {field(name, 'int')} END"


# Id and time are the gateway's, which made them of the contract; for a record of another producer the contract is asked here.
# `seen`: an earlier record of the partition with the same event id, less than the window before. The raw time of a record is the
# highest timestamp up to it, so the nearest earlier record of the id decides.
FLIGHTS = f"""
WITH raw AS (
  SELECT topic_id, partition, offset, CAST(key AS STRING) AS record_key, CAST(value AS STRING) AS text,
    {header("ce_id")} AS ce_id, {header("ce_time")} AS ce_time, timestamp,
    max(timestamp) OVER (PARTITION BY topic_id, partition ORDER BY offset) AS raw_time
  FROM bronze_flights
), parsed AS (
  SELECT *, try_parse_json(text) AS v FROM raw
), identified AS (
  SELECT *, coalesce(ce_id, {field("id", "string")}, format_string('%s:%d:%d', topic_id, partition, offset)) AS event_id,
    try_to_timestamp({text("date")}, 'yyyy/MM/dd HH:mm') AS departure
  FROM parsed
), decided AS (
  SELECT *, lag(raw_time) OVER (PARTITION BY topic_id, partition, event_id ORDER BY offset) > raw_time - {DEDUPE_WINDOW} AS seen
  FROM identified WHERE v IS NOT NULL
  UNION ALL SELECT *, false AS seen FROM identified WHERE v IS NULL AND text IS NOT NULL
)
SELECT topic_id, partition, offset, record_key, event_id,
  coalesce(try_cast(ce_time AS TIMESTAMP), to_utc_timestamp(departure, 'America/Chicago'), timestamp) AS event_time,
  v IS NULL AS unreadable,
  {text("id")} AS id,
  departure,
  {whole("delay")} AS delay,
  {whole("distance")} AS distance,
  {text("origin")} AS origin,
  {text("destination")} AS destination,
  coalesce(seen, false) AS seen
FROM decided
"""

# The newest record of a code is the airport; a delete is none.
AIRPORTS = """
WITH newest AS (
  SELECT CAST(key AS STRING) AS iata, try_parse_json(CAST(value AS STRING)) AS v,
    row_number() OVER (PARTITION BY key ORDER BY offset DESC) AS place
  FROM bronze_airports
)
SELECT iata,
  nullif(nullif(try_variant_get(v, '$.city', 'string'), 'NA'), '') AS city,
  nullif(nullif(try_variant_get(v, '$.state', 'string'), 'NA'), '') AS state
FROM newest
WHERE place = 1 AND v IS NOT NULL
  AND abs(try_variant_get(v, '$.latitude', 'double')) <= 90 AND abs(try_variant_get(v, '$.longitude', 'double')) <= 180
"""

# As the enricher decides: its own reading, then refine.ts, then the schema.
REASON = """CASE
  WHEN unreadable THEN 'MESH_DECODE_JSON'
  WHEN departure IS NULL THEN 'FLIGHT_DATE'
  WHEN id IS NULL OR delay IS NULL OR distance IS NULL OR origin IS NULL OR destination IS NULL THEN 'MESH_REFINE_INVALID'
END"""

SILVER = f"""
SELECT f.id, CAST(f.departure AS DATE) AS flightDate, f.departure, f.delay, f.distance, f.origin, f.destination,
  o.city AS originCity, o.state AS originState, d.city AS destinationCity, d.state AS destinationState,
  'upsert' AS _op, f.record_key AS _key, 'main' AS _lane, f.topic_id AS _topic_id, f.partition AS _partition,
  f.offset AS _offset, 0 AS _index, f.event_id AS _event_id, f.event_time AS _event_time
FROM flights f
LEFT JOIN airports o ON o.iata = f.origin
LEFT JOIN airports d ON d.iata = f.destination
WHERE NOT f.seen AND f.distance <> 0 AND ({REASON}) IS NULL
"""

REJECTED = f"""
SELECT topic_id, partition, offset, record_key, event_id, {REASON} AS reason
FROM flights WHERE NOT seen AND (distance <> 0 OR distance IS NULL) AND ({REASON}) IS NOT NULL
"""


def bronze(spark, stream, bounds, column):
    """
    Bronze of a stream below `bounds`, per partition; all of it where there are none. What has been compacted lies beside its parts for
    a while: the coordinate is a record's identity.
    """
    path = lake_path("bronze", stream)
    frame = spark.read.option("recursiveFileLookup", "true").parquet(path).dropDuplicates(["topic_id", "partition", "offset"])
    return frame if bounds is None else frame.where(within(bounds, column))


def within(bounds, column):
    parts = [
        f"(topic_id = '{at['topicId']}' AND partition = {at['partition']} AND offset < {at[column]})" for at in bounds
    ]
    return " OR ".join(parts) or "false"


def main(out):
    run = read_input()
    own = ranges(run, "flights", "bronze")
    spark = SparkSession.builder.getOrCreate()
    # Earlier records are read too: a duplicate is known by the one before it.
    bronze(spark, "flights", own, "to").createOrReplaceTempView("bronze_flights")
    airports = readable(run, "airports", "bronze")
    bronze(spark, "airports", airports, "offset").createOrReplaceTempView("bronze_airports")
    spark.sql(AIRPORTS).createOrReplaceTempView("airports")
    spark.sql(FLIGHTS).where(from_on(own)).createOrReplaceTempView("flights")
    folder = f"run={run['runId']}"
    spark.sql(SILVER).coalesce(1).write.mode("overwrite").parquet(f"{out}/{folder}")
    spark.sql(REJECTED).coalesce(1).write.mode("overwrite").parquet(f"{out}_rejected/{folder}")
    reasons = spark.read.parquet(f"{out}_rejected/{folder}").groupBy("reason").count().collect()
    report([{"name": f"{out}/{folder}", "status": "success"}, *rejected(f"{out}_rejected/{folder}", dict(reasons))])
    spark.stop()


def from_on(own):
    parts = [
        f"(topic_id = '{at['topicId']}' AND partition = {at['partition']} AND offset >= {at['from']})" for at in own
    ]
    return " OR ".join(parts) or "false"


if __name__ == "__main__":
    main(sys.argv[1])
