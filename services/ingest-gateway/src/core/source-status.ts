import type { MeshError } from '@mesh/shared/core/errors'

/** One source as `/readyz` and `mesh status` show it. Times are RFC 3339. */
export type SourceStatus = {
  readonly kind: string
  readonly stream: string
  /** waiting: for its next time, or for its turn while another instance reads it (`leads` false). paused, deleted: by an operator. */
  readonly state: 'running' | 'waiting' | 'failing' | 'paused' | 'deleted'
  readonly leads: boolean
  /** When this state began. */
  readonly since: string
  /** The last time that the source was read to its end and what came is in Kafka. */
  readonly lastOk: string | null
  /** Where it is, in its own words. */
  readonly cursor: unknown
  readonly error?: { readonly code: string; readonly message: string; readonly hint: string }
}

/** What a source's task tells while it works. */
export type SourceReport = {
  /** Reads, or has read: `cursor` as it is on `mesh.cursors`. */
  readonly running: (cursor: unknown) => void
  readonly waiting: () => void
  /** A whole turn went well. */
  readonly ok: (cursor: unknown) => void
  readonly failing: (error: MeshError) => void
  readonly written: (records: number) => void
}

export type SourceStatusKeeper = {
  readonly report: SourceReport
  readonly led: (leads: boolean) => void
  readonly status: () => SourceStatus
}

export type StatusHooks = {
  readonly onFailing: (error: MeshError) => void
  readonly onBack: () => void
  readonly onWritten: (records: number) => void
}

export function createSourceStatus(
  { kind, stream }: { readonly kind: string; readonly stream: string },
  now: () => number,
  hooks: StatusHooks,
): SourceStatusKeeper {
  const time = (): string => new Date(now()).toISOString()
  let current: SourceStatus = {
    kind,
    stream,
    state: 'waiting',
    leads: false,
    since: time(),
    lastOk: null,
    cursor: null,
  }

  function change(to: Partial<SourceStatus> & Pick<SourceStatus, 'state'>): void {
    const { error: _former, ...rest } = current
    const since = to.state === current.state ? current.since : time()
    current = { ...rest, since, ...to }
  }

  function good(to: Partial<SourceStatus> & Pick<SourceStatus, 'state'>): void {
    if (current.state === 'failing') hooks.onBack()
    change(to)
  }

  return {
    report: {
      running: (cursor) =>
        current.state === 'failing' ? (current = { ...current, cursor }) : change({ state: 'running', cursor }),
      waiting: () => current.state !== 'failing' && change({ state: 'waiting' }),
      ok: (cursor) => good({ state: 'running', cursor, lastOk: time() }),
      failing(error) {
        if (current.error?.code !== error.code) hooks.onFailing(error)
        const { code, message, hint, place } = error
        const told = place === undefined ? message : `${message} (${place})`
        change({ state: 'failing', error: { code, message: told, hint } })
      },
      written: hooks.onWritten,
    },
    led(leads) {
      if (leads !== current.leads) change({ state: 'waiting', leads, cursor: leads ? current.cursor : null })
    },
    status: () => current,
  }
}
