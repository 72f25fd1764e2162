-- Streams (mode: streaming). Finds `flights`, the refined topic from the start of the run on, each record once, with the event time that
-- the job's `watermarks` name. A day is told once, when the watermark has passed its end; both sinks commit at checkpoints.

CREATE TEMPORARY TABLE days_topic (
  `key` STRING NOT NULL,
  `origin` STRING NOT NULL,
  `windowStart` TIMESTAMP(3) NOT NULL,
  `windowEnd` TIMESTAMP(3) NOT NULL,
  `flights` BIGINT NOT NULL,
  `late` BIGINT NOT NULL,
  `delaySum` BIGINT NOT NULL,
  `delayMax` INT NOT NULL
) WITH (
  'connector' = 'kafka',
  'topic' = '${topic}',
  'properties.bootstrap.servers' = '${mesh.brokers}',
  'properties.transaction.timeout.ms' = '600000',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = 'flink-${mesh.job}',
  'key.format' = 'raw',
  'key.fields' = 'key',
  'value.format' = 'avro-confluent',
  'value.avro-confluent.url' = '${mesh.registry}',
  'value.fields-include' = 'EXCEPT_KEY'
);

CREATE TEMPORARY TABLE flights_lake (
  `id` STRING NOT NULL,
  `origin` STRING NOT NULL,
  `destination` STRING NOT NULL,
  `departure` TIMESTAMP(3) NOT NULL,
  `delay` INT NOT NULL,
  `refinedPartition` INT,
  `src` STRING
) WITH (
  'connector' = 'filesystem',
  'path' = '${mesh.lake}/flink/origin-days/run=${mesh.run}',
  'format' = 'parquet'
);

EXECUTE STATEMENT SET BEGIN
  INSERT INTO days_topic
  SELECT CONCAT(origin, '/', DATE_FORMAT(window_start, 'yyyy-MM-dd')), origin, window_start, window_end,
    COUNT(*), COUNT(*) FILTER (WHERE delay > 15), SUM(CAST(delay AS BIGINT)), MAX(delay)
  FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(departure), INTERVAL '1' DAY))
  GROUP BY origin, window_start, window_end;
  INSERT INTO flights_lake
  SELECT id, origin, destination, CAST(departure AS TIMESTAMP(3)), delay, _refined_partition, _src FROM flights;
END;
