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
    hint: 'Make the change backward compatible (a new field needs a default) or start a new version with `mesh replay`.',
  },
  MESH_SCHEMA_UNKNOWN: {
    status: 500,
    hint: 'The schema id is not in the registry: check that the registry is the one the record was written with.',
  },
  MESH_REGISTRY_UNAVAILABLE: {
    status: 503,
    hint: 'Check that the schema registry is up and MESH_REGISTRY_URL points to it.',
  },
  MESH_STREAM_UNKNOWN: { status: 404, hint: 'Check the stream name; `mesh streams apply` publishes a new stream.' },
  MESH_STREAM_JOIN_UNKNOWN: { status: 422, hint: 'Apply the joined stream first, or correct its name under `joins:`.' },
  MESH_STREAM_NEEDS_RAW: {
    status: 409,
    hint: 'The raw topic of a stream is fixed: keep the old value, or add a stream with another name.',
  },
  MESH_STREAM_NEEDS_REPLAY: {
    status: 409,
    hint: 'A live version keeps this value: build a new version with `mesh replay`, or keep the old value.',
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
    hint: 'Another process owns this partition, or a transaction outlived its timeout: restart, it begins from the last commit.',
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
    hint: 'Another process wrote to the same partition. Nothing is lost: this one starts again from its last commit.',
  },
  MESH_DECODE_JSON: { status: 422, hint: 'The raw record is not JSON.' },
  MESH_DECODE_AVRO: { status: 422, hint: 'The refined record cannot be decoded with its schema.' },
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
  MESH_STACK_DOWNLOAD: {
    status: 500,
    hint: 'Check the network and the mirror in your Maven settings, then start again; what is complete is kept.',
  },
  MESH_STACK_DISK_FULL: { status: 500, hint: 'Free about 500 MB, then start again.' },
  MESH_STACK_PORT_TAKEN: { status: 409, hint: 'End the other process, or choose another port with the named flag.' },
  MESH_STACK_BUSY: {
    status: 409,
    hint: 'Use the running stack, stop it with `mesh down`, or choose another folder with MESH_STATE_DIR.',
  },
  MESH_STACK_CHILD_FAILED: { status: 500, hint: 'The log file has the cause.' },
  MESH_STACK_SERVICE_UNKNOWN: { status: 400, hint: 'Check the service name; `services/` holds one folder for each.' },
  MESH_STACK_NOT_RUNNING: { status: 409, hint: 'Start it with `mesh up`.' },
  MESH_STACK_STOPPED: { status: 409, hint: 'The stack was stopped while it was starting; start it again.' },
  MESH_INTERNAL: { status: 500, hint: 'This is a defect; the log has the cause.' },
} as const

export type ErrorCode = keyof typeof ERRORS

/** An error a user or operator can reach: code, sentence, way out. Never holds a payload or a secret. */
export class MeshError extends Error {
  readonly code: ErrorCode
  /** Where it is: a file and line, a topic and partition, an object key. */
  readonly place: string | undefined

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; place?: string } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'MeshError'
    this.code = code
    this.place = options.place
  }

  get hint(): string {
    return ERRORS[this.code].hint
  }

  get status(): number {
    return ERRORS[this.code].status
  }
}

export function isMeshError(error: unknown): error is MeshError {
  return error instanceof MeshError
}

/** The message of anything thrown, with its chain of causes, for one log line. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const own = isMeshError(error)
    ? `${error.code} ${error.message}${error.place ? ` (${error.place})` : ''}`
    : error.message
  return error.cause === undefined ? own : `${own}: ${describeError(error.cause)}`
}
