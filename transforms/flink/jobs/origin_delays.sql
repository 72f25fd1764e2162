-- Delays per origin and day of departure. Finds `flights` (this run's records) and `flights_all` (all up to its end), both from the
-- refined topic, each record once. A day that this run touches is told anew, whole: the newest record of a key is the day's total.

CREATE TEMPORARY TABLE delays_topic (
  `key` STRING NOT NULL,
  `origin` STRING NOT NULL,
  `windowStart` TIMESTAMP(3) NOT NULL,
  `windowEnd` TIMESTAMP(3) NOT NULL,
  `flights` BIGINT NOT NULL,
  `late` BIGINT NOT NULL,
  `delaySum` BIGINT NOT NULL,
  `delayMax` INT NOT NULL,
  PRIMARY KEY (`key`) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = '${topic}',
  'properties.bootstrap.servers' = '${mesh.brokers}',
  'properties.transaction.timeout.ms' = '600000',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = 'flink-${mesh.job}',
  'key.format' = 'raw',
  'value.format' = 'avro-confluent',
  'value.avro-confluent.url' = '${mesh.registry}',
  'value.fields-include' = 'EXCEPT_KEY'
);

CREATE TEMPORARY TABLE delays_lake (
  `origin` STRING NOT NULL,
  `windowStart` TIMESTAMP(3) NOT NULL,
  `windowEnd` TIMESTAMP(3) NOT NULL,
  `flights` BIGINT NOT NULL,
  `late` BIGINT NOT NULL,
  `delaySum` BIGINT NOT NULL,
  `delayMax` INT NOT NULL
) WITH (
  'connector' = 'filesystem',
  'path' = '${mesh.lake}/flink/origin-delays/run=${mesh.run}',
  'format' = 'parquet',
  'sink.parallelism' = '1'
);

CREATE TEMPORARY VIEW touched AS
SELECT DISTINCT origin, window_start
FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(departure), INTERVAL '1' DAY));

CREATE TEMPORARY VIEW days AS
SELECT origin, window_start, window_end, COUNT(*) AS flights, COUNT(*) FILTER (WHERE delay > 15) AS late,
  SUM(CAST(delay AS BIGINT)) AS delay_sum, MAX(delay) AS delay_max
FROM TABLE(TUMBLE(TABLE flights_all, DESCRIPTOR(departure), INTERVAL '1' DAY))
GROUP BY origin, window_start, window_end;

CREATE TEMPORARY VIEW delays AS
SELECT d.* FROM days AS d JOIN touched AS t ON d.origin = t.origin AND d.window_start = t.window_start;

EXECUTE STATEMENT SET BEGIN
  INSERT INTO delays_topic
  SELECT CONCAT(origin, '/', DATE_FORMAT(window_start, 'yyyy-MM-dd')), origin, window_start, window_end, flights, late, delay_sum, delay_max
  FROM delays;
  INSERT OVERWRITE delays_lake
  SELECT origin, window_start, window_end, flights, late, delay_sum, delay_max FROM delays;
END;
