/** Any webhook body: only the parts that many events share are named. */
export type GithubEvent = {
  readonly [property: string]: unknown
  readonly action?: string
  readonly repository?: { readonly id?: number; readonly full_name?: string; readonly html_url?: string }
  readonly organization?: { readonly login?: string }
  readonly sender?: { readonly id?: number; readonly login?: string }
  readonly installation?: { readonly id?: number }
}

/** refined.avsc */
export type Activity = {
  readonly event: string
  readonly action: string | null
  readonly deliveryId: string
  readonly repository: string | null
  readonly repositoryId: number | null
  readonly organization: string | null
  readonly actor: string | null
  readonly actorId: number | null
  readonly installationId: number | null
  readonly subject: string | null
  readonly subjectId: number | null
  readonly number: number | null
  readonly title: string | null
  readonly state: string | null
  readonly url: string | null
  readonly ref: string | null
  readonly commits: number
  readonly occurredAt: string
}
