/**
 * The one table of error codes. A code is never reused; `docs/reference/errors.md` is checked against this table by a test.
 * `status` is the HTTP status where the error can reach an HTTP caller; `hint` says what the operator or caller does next.
 */
export const ERRORS = {
  MESH_CONFIG_INVALID: {
    status: 500,
    hint: 'Correct the named setting and start again; the service README lists every key.',
  },
  MESH_CONFIG_UNKNOWN: { status: 500, hint: 'Remove or rename the setting; the message names the nearest valid key.' },
  MESH_CONTRACT_INVALID: {
    status: 422,
    hint: 'Correct the named line of the contract, then run `mesh streams check`.',
  },
  MESH_CONTRACT_NOT_YET: { status: 422, hint: 'Remove the option: it is planned and not built, and is never ignored.' },
  MESH_CONTRACT_SCHEMA: { status: 422, hint: 'Correct the schema file, then run `mesh streams check`.' },
  MESH_CONTRACT_REFINE: { status: 422, hint: 'Correct refine.ts so that it exports a pure `refine` function.' },
  MESH_BUNDLE_INVALID: {
    status: 500,
    hint: 'The bundle is missing or damaged in the object store: run `mesh streams apply` again.',
  },
  MESH_SCHEMA_INCOMPATIBLE: {
    status: 409,
    hint: 'Make the change backward compatible (a new field needs a default), or build a new version: `mesh replay <stream> --new-code`.',
  },
  MESH_SCHEMA_UNKNOWN: {
    status: 500,
    hint: 'The schema id is not in the registry: check that the registry is the one the record was written with.',
  },
  MESH_REGISTRY_UNAVAILABLE: {
    status: 503,
    hint: 'Check that the schema registry is up and MESH_REGISTRY_URL points to it.',
  },
  MESH_CONNECT_UNAVAILABLE: {
    status: 503,
    hint: 'Kafka Connect is starting or away: look at `mesh status` and its log; MESH_CONNECT_URL names it.',
  },
  MESH_SOURCE_UNKNOWN: {
    status: 404,
    hint: 'Check the name; `mesh sources` lists the sources of the applied streams.',
  },
  MESH_SOURCE_BY_CONNECT: { status: 409, hint: 'Use what the message names.' },
  MESH_SOURCE_CONFLICT: { status: 409, hint: 'Apply all streams of the source again: `mesh streams apply`.' },
  MESH_SOURCE_UNREACHABLE: { status: 503, hint: 'Check host, port and ssl of the source, and that its server is up.' },
  MESH_SOURCE_AUTH: { status: 500, hint: 'Check user, password and database of the source.' },
  MESH_SOURCE_RIGHTS: {
    status: 500,
    hint: 'Grant what the message names. PostgreSQL: or let a DBA create publication and signal table and set `publication: existing`.',
  },
  MESH_SOURCE_WAL_LEVEL: {
    status: 500,
    hint: 'Set wal_level = logical on the server and restart it (on RDS: rds.logical_replication = 1).',
  },
  MESH_SOURCE_PUBLICATION: {
    status: 500,
    hint: 'Run the statement in the message as the owner of the publication, or set `publication: managed`.',
  },
  MESH_SOURCE_TABLE_UNKNOWN: {
    status: 422,
    hint: 'Correct `table` in the contract; it is schema.table, as written in the database.',
  },
  MESH_SOURCE_TABLE_NO_KEY: {
    status: 422,
    hint: 'Run the statement in the message; the table is captured a moment later.',
  },
  MESH_SOURCE_TABLE_TAKEN: {
    status: 409,
    hint: 'Capture the table in one stream and let the other read that one, or remove one of the two.',
  },
  MESH_SOURCE_SLOT_LOST: {
    status: 500,
    hint: 'Changes may be missing. `mesh sources resnapshot <name> --yes` makes a new slot and reads every row again.',
  },
  MESH_SOURCE_CONFIG: {
    status: 422,
    hint: 'Correct the source: the message says what of its configuration is refused.',
  },
  MESH_SOURCE_TASK_FAILED: {
    status: 500,
    hint: 'The task is started again with growing pauses; the message has its cause, the log of Kafka Connect the whole of it.',
  },
  MESH_SOURCE_NOT_RUNNING: {
    status: 409,
    hint: 'Wait until `mesh sources` shows the source as running, then try again.',
  },
  MESH_SOURCE_TOKEN_LOST: {
    status: 500,
    hint: 'Changes may be missing: the oplog no longer reaches back. `mesh sources resnapshot <name> --yes` reads all documents again.',
  },
  MESH_SOURCE_EVENT_TOO_LARGE: {
    status: 500,
    hint: 'Make the document smaller, or set `oversize: dead-letter` in the source; a change over 16 MB also needs MongoDB 6.0.9 or newer, where it is split. Else `mesh sources resnapshot <name> --yes` goes on behind it, with all documents read again.',
  },
  MESH_SOURCE_NO_REPLICA_SET: {
    status: 500,
    hint: 'Change streams need a replica set or a sharded cluster: start mongod with --replSet and run rs.initiate() once; one member is enough.',
  },
  MESH_SOURCE_COLLECTION_RENAMED: {
    status: 500,
    hint: 'Nothing is read until it is decided: write the new name into the contract and apply it, or `mesh sources resnapshot <name> --yes` to go on with what has this name.',
  },
  MESH_SOURCE_REFUSED: {
    status: 502,
    hint: 'The database refuses the command for the reason in the message; it is asked again with growing pauses.',
  },
  MESH_AUDIT_UNAVAILABLE: {
    status: 409,
    hint: 'An audit needs a stream of kind cdc whose source is PostgreSQL and runs.',
  },
  MESH_STREAM_UNKNOWN: { status: 404, hint: 'Check the stream name; `mesh streams apply` publishes a new stream.' },
  MESH_STREAM_JOIN_UNKNOWN: { status: 422, hint: 'Apply the joined stream first, or correct its name under `joins:`.' },
  MESH_STREAM_JOIN_HISTORY: {
    status: 422,
    hint: 'Give the joined stream `cleanup: delete` and a `refine.retention` of at least the history, or shorten `history`.',
  },
  MESH_STREAM_NEEDS_RAW: {
    status: 409,
    hint: 'The raw topic of a stream is fixed: keep the old value, or add a stream with another name.',
  },
  MESH_STREAM_NEEDS_REPLAY: {
    status: 409,
    hint: 'A live version keeps this value: build a new version with `mesh replay <stream> --new-code`, or keep the old value.',
  },
  MESH_STREAM_NO_INGEST: {
    status: 404,
    hint: 'The stream does not declare this kind of ingest; add it under `ingest:` and apply.',
  },
  MESH_AUTH_MISSING: { status: 401, hint: 'Send the credential that the contract asks for.' },
  MESH_AUTH_INVALID: { status: 401, hint: 'Check the API key.' },
  MESH_SIGNATURE_MISSING: { status: 401, hint: 'Send the provider signature header.' },
  MESH_SIGNATURE_INVALID: {
    status: 401,
    hint: 'Check that sender and contract share the secret and that nothing rewrites the body.',
  },
  MESH_WEBHOOK_HEADER: { status: 400, hint: 'Send the header that the provider puts on every delivery.' },
  MESH_SECRET_MISSING: { status: 500, hint: 'Set the environment variable or file that the contract names.' },
  MESH_BODY_TOO_LARGE: { status: 413, hint: 'Send smaller events or fewer per request.' },
  MESH_BODY_EMPTY: { status: 400, hint: 'Send one JSON event, a JSON array of events, or NDJSON.' },
  MESH_BODY_ENCODING: { status: 400, hint: 'Send UTF-8.' },
  MESH_BODY_MEDIA_TYPE: { status: 415, hint: 'Send application/json or application/x-ndjson.' },
  MESH_BODY_COMPRESSION: { status: 415, hint: 'Send the body plain, or as Content-Encoding: gzip where it is taken.' },
  MESH_BODY_GZIP: { status: 400, hint: 'The gzip body is broken or cut short: compress and send it again.' },
  MESH_BODY_INCOMPLETE: { status: 408, hint: 'Send the whole body, within the time that the message names.' },
  MESH_BODY_TOO_MANY: { status: 413, hint: 'Send fewer events per request; the message names the limit.' },
  MESH_EVENT_JSON: { status: 400, hint: 'Send valid JSON; the message names the place.' },
  MESH_EVENT_TOO_LARGE: { status: 413, hint: 'Send a smaller event.' },
  MESH_EVENT_CLOUDEVENTS: {
    status: 400,
    hint: 'Send CloudEvents 1.0 binary mode (ce-specversion: 1.0), or no ce- header at all.',
  },
  MESH_EVENT_KEY: { status: 422, hint: 'The key that the contract points to is missing or an object.' },
  MESH_EVENT_ID: {
    status: 422,
    hint: 'The event id that the contract points to is missing or not a string or number, or the id is too long.',
  },
  MESH_EVENT_SCHEMA: { status: 422, hint: 'The event does not match raw.schema.json; the message names the place.' },
  MESH_GATEWAY_OVERLOADED: {
    status: 503,
    hint: 'Nothing was written: send the same request again after Retry-After.',
  },
  MESH_GATEWAY_STARTING: {
    status: 503,
    hint: 'Nothing was written: send the same request again after Retry-After; /readyz tells what is missing.',
  },
  MESH_ROUTE_UNKNOWN: { status: 404, hint: 'GET /openapi.json lists the routes.' },
  MESH_KAFKA_UNAVAILABLE: { status: 503, hint: 'The outcome is unknown: send the same event ids again.' },
  MESH_KAFKA_RECORD_TOO_LARGE: { status: 413, hint: 'Raise max.message.bytes of the topic or send smaller events.' },
  MESH_KAFKA_BATCH_TOO_LARGE: {
    status: 500,
    hint: 'A record batch unpacks to more memory than a consumer may take: find its producer, let retention take it, or move the offset past it.',
  },
  MESH_KAFKA_TOPIC_RECREATED: {
    status: 500,
    hint: 'The topic was deleted and created again: its offsets mean other records. Rebuild the stream from the lake.',
  },
  MESH_KAFKA_OFFSET_OUT_OF_RANGE: {
    status: 500,
    hint: 'Retention passed the position, or the topic was truncated. Declare the hole or rebuild from the lake.',
  },
  MESH_KAFKA_FENCED: {
    status: 500,
    hint: 'Another process owns this partition, again and again, or transactions outlive their timeout: look for a second owner.',
  },
  MESH_KAFKA_CLIENT_UNSAFE: {
    status: 500,
    hint: 'The Kafka client is not the version whose defects are closed: install the pinned one.',
  },
  MESH_KAFKA_FATAL: {
    status: 500,
    hint: 'The consumer stopped; the process ends so that its supervisor starts it again from the last commit.',
  },
  MESH_REFINE_INVALID: { status: 422, hint: 'refine.ts returned a record that does not match refined.avsc.' },
  MESH_REFINE_THROWN: { status: 422, hint: 'refine.ts threw; correct it and redrive the dead letter.' },
  MESH_REFINE_FATE_CHANGED: {
    status: 422,
    hint: 'The code gives another fate than the one already published; replay into a candidate version.',
  },
  MESH_REFINE_BOOKS_LOST: {
    status: 500,
    hint: 'The enricher group was moved by other hands and its books with it: rebuild the stream with `mesh replay`.',
  },
  MESH_REFINE_STATE_LOST: {
    status: 500,
    hint: 'Parked records are missing on the state topic, or it was made anew: rebuild the stream with `mesh replay`.',
  },
  MESH_REFINE_FENCED: {
    status: 500,
    hint: 'Another process wrote to the same partition, again and again. Nothing is lost; look for a second group member that hangs.',
  },
  MESH_DECODE_JSON: { status: 422, hint: 'The raw record is not JSON.' },
  MESH_DECODE_AVRO: { status: 422, hint: 'The refined record cannot be decoded with its schema.' },
  MESH_CDC_ENVELOPE: {
    status: 422,
    hint: 'The raw record of a cdc stream is no Debezium change in JSON without schemas: correct the connector, then redrive.',
  },
  MESH_CDC_KEY: {
    status: 422,
    hint: 'Give the table a primary key, or name key columns for it in the source (message.key.columns).',
  },
  MESH_CDC_VALUE_UNAVAILABLE: {
    status: 422,
    hint: 'Run ALTER TABLE … REPLICA IDENTITY FULL, then read the row again: an update of the named columns, or a snapshot.',
  },
  MESH_CDC_ROW_MISSING: {
    status: 422,
    hint: 'The source did not send the row after the change: use a capture mode with full documents, or a refine.ts that does without.',
  },
  MESH_CDC_TRUNCATE: {
    status: 422,
    hint: 'A truncate is not spread to its keys: rebuild the stream with a snapshot and `mesh replay`, or handle op t in refine.ts.',
  },
  MESH_PRIVACY_SUBJECT: {
    status: 422,
    hint: 'The record says of a protected field not whose it is: let refine.ts fill the field that `subject` points to.',
  },
  MESH_PRIVACY_KEY: {
    status: 500,
    hint: 'Use the secret that `privacy.key` named when the value was written; it stands for every key of the stream.',
  },
  MESH_PRIVACY_ERASED: {
    status: 410,
    hint: 'The subject was erased: its key is destroyed and nothing can reveal the value.',
  },
  MESH_PRIVACY_NOT_SEALED: {
    status: 422,
    hint: 'Give a value as it stands in the refined topic or a table; it begins with mesh-enc.1.',
  },
  MESH_LOOKUP_FAILED: {
    status: 503,
    hint: 'The other side of a lookup does not answer: check it and its credential; the event waits until its `retry` is over.',
  },
  MESH_LOOKUP_REFUSED: {
    status: 422,
    hint: 'The other side of a lookup refuses the event, or its answer is no JSON object; correct the url and redrive.',
  },
  MESH_STATE_DAMAGED: {
    status: 500,
    hint: 'Nothing to do: the file is removed, and the next start reads its rows from the topic. If it returns, check the disk.',
  },
  MESH_STATE_IN_USE: { status: 409, hint: 'Give each process a MESH_STATE_DIR of its own.' },
  MESH_JOIN_TABLE_AWAY: {
    status: 503,
    hint: 'The partitions that need the row stand still until its table and schema can be read again; the message says what is missing.',
  },
  MESH_JOIN_MISSING: { status: 422, hint: 'The joined table has no row for the key.' },
  MESH_LAKE_CHAIN_BROKEN: {
    status: 500,
    hint: 'An object of the chain is missing or does not start where its neighbour ended: run `mesh verify`.',
  },
  MESH_LAKE_UNAVAILABLE: { status: 503, hint: 'Check the object store and MESH_LAKE_URL.' },
  MESH_LAKE_KEY_INVALID: {
    status: 500,
    hint: 'This is a defect, or something foreign lies in the lake folder; the message names the key.',
  },
  MESH_LAKE_STORE_UNSAFE: {
    status: 500,
    hint: 'The object store ignores conditional writes, so files could be overwritten: use one that honours If-None-Match.',
  },
  MESH_WAREHOUSE_LOCKED: { status: 503, hint: 'Another process holds the DuckDB file; close it and try again.' },
  MESH_WAREHOUSE_SECOND_WRITER: {
    status: 500,
    hint: 'Only one warehouse-sink may write a DuckDB warehouse; stop the other one.',
  },
  MESH_WAREHOUSE_QUERY: { status: 422, hint: 'Correct the query; `mesh sql "show tables"` lists what there is.' },
  MESH_WAREHOUSE_LEDGER: { status: 500, hint: 'Another writer moved the ledger; this one restarts from it.' },
  MESH_WAREHOUSE_SCHEMA: {
    status: 500,
    hint: 'The table cannot take the new schema without loss: rebuild the stream into a new version with `mesh replay`.',
  },
  MESH_WAREHOUSE_VALUE: {
    status: 500,
    hint: 'The warehouse has no exact form of the value: change its type in refined.avsc.',
  },
  MESH_WAREHOUSE_REPLACED: {
    status: 500,
    hint: 'The landing table was dropped or made anew: rebuild the stream into a new version with `mesh replay`.',
  },
  MESH_REPLAY_INVALID: { status: 422, hint: 'Correct the replay request.' },
  MESH_REPLAY_UNKNOWN: { status: 404, hint: 'Check the replay id; `mesh replay --list` shows them.' },
  MESH_REPLAY_BUSY: { status: 409, hint: 'The stream has a candidate already: cut over or cancel it first.' },
  MESH_REPLAY_NOT_READY: {
    status: 409,
    hint: 'The candidate has not reached the live version yet; wait and try again.',
  },
  MESH_REPLAY_GAP: {
    status: 409,
    hint: 'Neither the lake nor the log covers the range; the message names the missing offsets.',
  },
  MESH_LINEAGE_UNKNOWN: {
    status: 404,
    hint: 'Name a dataset with its layer, and its column: `mesh lineage landing.flights.delay`.',
  },
  MESH_BI_INVALID: {
    status: 422,
    hint: 'Correct transforms/dbt/metrics.yaml or the model that it names, then run `mesh bi generate`.',
  },
  MESH_JOB_INVALID: { status: 422, hint: 'Correct the named line of the job file, then run `mesh jobs check`.' },
  MESH_JOB_UNKNOWN: {
    status: 404,
    hint: 'Check the name; `mesh jobs list` shows the jobs, `mesh jobs status` their runs.',
  },
  MESH_JOB_NOT_DEAD: { status: 409, hint: 'Only a dead run can be tried again; the others go on by themselves.' },
  MESH_JOB_STREAMING: {
    status: 409,
    hint: 'A job that streams is ended by `mesh jobs stop`, goes on by `mesh jobs resume`, and begins anew by `mesh jobs run --full` once it is stopped.',
  },
  MESH_JOB_LOST: {
    status: 500,
    hint: 'Find the newest checkpoint of the named job, then `mesh jobs resume <job> --from <path>`; or begin anew with `mesh jobs run <job> --full`. Run JobManagers with high availability.',
  },
  MESH_JOB_STANDBY: {
    status: 503,
    hint: 'Another job-trigger holds mesh.commits: ask that one, or wait and try again.',
  },
  MESH_JOB_SECOND_WRITER: {
    status: 500,
    hint: 'Another job-trigger wrote mesh.runs; this one ends and reads the topic again before it goes on.',
  },
  MESH_JOB_FAILED: {
    status: 500,
    hint: 'Read `mesh jobs logs <run>`; after the cause is put right: `mesh jobs retry <run>`.',
  },
  MESH_JOB_TIMEOUT: { status: 504, hint: 'Raise `timeout` in the job file, or make the job do less at a time.' },
  MESH_JOB_ENGINE_AWAY: {
    status: 503,
    hint: 'Start the engine or correct its address; the run waits and starts by itself with all that came meanwhile.',
  },
  MESH_JOB_ENGINE_UNSURE: {
    status: 503,
    hint: 'The engine did not answer in the middle of a run: it is asked again by run id.',
  },
  MESH_PYTHON_MISSING: {
    status: 500,
    hint: 'Install Python 3.10 to 3.13 with its venv module (e.g. `apt install python3-venv`) or name one in MESH_PYTHON, then start again.',
  },
  MESH_WAIT_TIMEOUT: { status: 504, hint: 'Look at `mesh status` and the logs of the named part.' },
  MESH_SERVICE_UNREACHABLE: { status: 503, hint: 'Start the mesh (`npm start` or `mesh up`) or correct the address.' },
  MESH_CLI_USAGE: { status: 400, hint: 'Run `mesh --help`, or `mesh <command> --help`.' },
  MESH_CLI_NO_PROJECT: {
    status: 400,
    hint: 'Run the command inside a folder that has `streams/`, or name it with --project DIR.',
  },
  MESH_STACK_JAVA_MISSING: {
    status: 500,
    hint: 'Install a JDK 21 or newer (Eclipse Temurin, the openjdk packages of your system, `brew install openjdk`) or set JAVA_HOME.',
  },
  MESH_STACK_MAVEN_MISSING: {
    status: 500,
    hint: 'Install Maven 3.8 or newer (e.g. `apt install maven`, `brew install maven`).',
  },
  MESH_STACK_POSTGRES_MISSING: {
    status: 500,
    hint: 'Install a PostgreSQL server, 13 or newer (e.g. `apt install postgresql`, `brew install postgresql@17`).',
  },
  MESH_STACK_DOWNLOAD: {
    status: 500,
    hint: 'Check the network and the mirror in your Maven settings, then start again; what is complete is kept.',
  },
  MESH_STACK_DISK_FULL: { status: 500, hint: 'Free about 500 MB, then start again.' },
  MESH_STACK_PORT_TAKEN: { status: 409, hint: 'End the other process, or choose another port with the named flag.' },
  MESH_STACK_BUSY: {
    status: 409,
    hint: 'Use what runs, stop it (a stack with `mesh down`), or choose another folder with MESH_STATE_DIR.',
  },
  MESH_STACK_CHILD_FAILED: { status: 500, hint: 'The log file has the cause.' },
  MESH_STACK_SERVICE_UNKNOWN: { status: 400, hint: 'Check the service name; `services/` holds one folder for each.' },
  MESH_STACK_NOT_RUNNING: { status: 409, hint: 'Start it with `mesh up`.' },
  MESH_STACK_STOPPED: { status: 409, hint: 'The stack was stopped while it was starting; start it again.' },
  MESH_HTTP_TARGET_REFUSED: {
    status: 502,
    hint: 'Correct the address. Where the target is meant to be reached, allow its network in MESH_OUTBOUND_ALLOWED_CIDRS or its port in MESH_OUTBOUND_PORTS.',
  },
  MESH_HTTP_UNREACHABLE: { status: 502, hint: 'Check that the server is up and that this machine may reach it.' },
  MESH_HTTP_TLS: {
    status: 502,
    hint: "Check the server's certificate; trust a private authority with `ca` of the source or NODE_EXTRA_CA_CERTS. A server that asks for a certificate needs `cert` and `key`.",
  },
  MESH_HTTP_TIMEOUT: { status: 504, hint: 'The server is slow: ask for less at a time or give it more time.' },
  MESH_HTTP_TOO_LARGE: { status: 502, hint: 'Ask for smaller pages, or raise the bound that the message names.' },
  MESH_HTTP_ENCODING: { status: 502, hint: 'The server must answer plain or as gzip, br or deflate, and whole.' },
  MESH_HTTP_REDIRECT: { status: 502, hint: 'Name the address that the server redirects to.' },
  MESH_POLL_AUTH: {
    status: 502,
    hint: 'Check the credential that the source names, and what it may read; the poll goes on by itself.',
  },
  MESH_POLL_RATE_LIMITED: {
    status: 502,
    hint: 'The poll waits as long as the server asks; poll less often if it stays.',
  },
  MESH_POLL_SERVER: {
    status: 502,
    hint: 'The server fails; the poll goes on by itself, with smaller pages where it can.',
  },
  MESH_POLL_STATUS: { status: 502, hint: 'Check path and parameters of the poll against the API.' },
  MESH_POLL_NOT_JSON: {
    status: 502,
    hint: 'Check the address: a login page, a proxy or another API may answer there.',
  },
  MESH_POLL_SHAPE: {
    status: 502,
    hint: "Check the poll's pointers (`records`, `each`, `id`, `pages`) against an answer.",
  },
  MESH_POLL_ENDLESS: {
    status: 502,
    hint: 'Check the `pages` of the poll, or raise `pages.max` where so many are meant.',
  },
  MESH_POLL_CURSOR: {
    status: 502,
    hint: 'Check the `cursor` of the poll: what it points to and the parameter it goes into.',
  },
  MESH_POLL_GRAPHQL: {
    status: 502,
    hint: 'Correct the query, or set `partial: take` where an answer with errors is worth its data.',
  },
  MESH_SOURCE_EVENT: {
    status: 422,
    hint: 'What was read cannot become a record, and nothing of it is taken. Correct the contract or the source.',
  },
  MESH_SOURCE_TOO_MANY_KEYS: { status: 507, hint: 'Raise `maxKeys`, or poll without `deletes: sweep`.' },
  MESH_REDIS_UNAVAILABLE: {
    status: 502,
    hint: 'Check that Redis is up and that host, port and credential of the source are right.',
  },
  MESH_REDIS_REFUSED: {
    status: 502,
    hint: 'Redis refuses the command: check version, rights of the user, and the type of the key.',
  },
  MESH_REDIS_NO_NOTIFICATIONS: {
    status: 502,
    hint: 'Switch notifications on: CONFIG SET notify-keyspace-events KEA, and in redis.conf.',
  },
  MESH_SOURCE_DECODE: {
    status: 422,
    hint: 'The bytes do not match their schema: see what wrote them; the record goes to dead letters.',
  },
  MESH_SOURCE_TOPIC_UNKNOWN: {
    status: 502,
    hint: 'Check the name of the topic and what the user of the source may read.',
  },
  MESH_SOURCE_TOPIC_RECREATED: {
    status: 502,
    hint: 'Its offsets mean other records, so nothing is read. `mesh sources forget <source> --yes` reads the new one from its start.',
  },
  MESH_STACK_REDIS_MISSING: {
    status: 500,
    hint: 'Install Redis 7 or newer (e.g. `apt install redis-server`, `brew install redis`).',
  },
  MESH_INTERNAL: { status: 500, hint: 'This is a defect; the log has the cause.' },
} as const

export type ErrorCode = keyof typeof ERRORS
