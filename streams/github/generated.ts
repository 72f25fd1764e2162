// Written by `mesh streams generate` from stream.yaml, refined.avsc and raw.schema.json: change those and run it again.

// raw.schema.json: the event as it is received.
/**
 * Any webhook body: only the parts that many events share are named
 */
export interface RawActivity {
  action?: string
  repository?: {
    id?: number
    full_name?: string
    html_url?: string
  }
  organization?: {
    login?: string
  }
  sender?: {
    id?: number
    login?: string
  }
  installation?: {
    id?: number
  }
  [k: string]: unknown
}

// refined.avsc: as it is read; as refine.ts may return it (…Input).
export type Activity = {
  /** X-GitHub-Event */
  readonly event: string
  readonly action: string | null
  readonly deliveryId: string
  /** owner/name */
  readonly repository: string | null
  readonly repositoryId: number | bigint | null
  readonly organization: string | null
  readonly actor: string | null
  readonly actorId: number | bigint | null
  readonly installationId: number | bigint | null
  /** What it is about: issue, check_run, … */
  readonly subject: string | null
  readonly subjectId: number | bigint | null
  /** Of the issue, pull request, discussion or alert */
  readonly number: number | bigint | null
  readonly title: string | null
  readonly state: string | null
  readonly url: string | null
  /** Branch, tag or full ref */
  readonly ref: string | null
  /** Of a push */
  readonly commits: number
  /** The subject's own newest time, else the event time · ISO 8601 with offset, millis */
  readonly occurredAt: string
}

export type ActivityInput = {
  /** X-GitHub-Event */
  readonly event: string
  readonly action?: string | null
  readonly deliveryId: string
  /** owner/name */
  readonly repository?: string | null
  readonly repositoryId?: number | bigint | null
  readonly organization?: string | null
  readonly actor?: string | null
  readonly actorId?: number | bigint | null
  readonly installationId?: number | bigint | null
  /** What it is about: issue, check_run, … */
  readonly subject?: string | null
  readonly subjectId?: number | bigint | null
  /** Of the issue, pull request, discussion or alert */
  readonly number?: number | bigint | null
  readonly title?: string | null
  readonly state?: string | null
  readonly url?: string | null
  /** Branch, tag or full ref */
  readonly ref?: string | null
  /** Of a push */
  readonly commits?: number
  /** The subject's own newest time, else the event time · ISO 8601 with offset, millis */
  readonly occurredAt: string | Date
}

/** The joined rows of stream.yaml, by name. */
export type Joins = Readonly<Record<never, never>>
