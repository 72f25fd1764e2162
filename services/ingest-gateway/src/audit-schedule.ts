import { MeshError } from '@mesh/shared/core/errors'
import type { PostgresSource } from '@mesh/shared/core/source'
import type { Service } from '@mesh/shared/runtime/service'
import type { StreamDirectory } from './core/ports.ts'
import type { AuditReport } from './core/sources/source-types.ts'
import type { SourceAuditor } from './source-auditor.ts'
import type { SourceService } from './source-service.ts'

export type AuditScheduleOptions = {
  readonly directory: StreamDirectory
  readonly sources: SourceService
  readonly auditor: SourceAuditor
  /** Ms; 0 = only when asked. */
  readonly intervalMs: number
  readonly onAudited: (report: AuditReport) => void
  readonly onTrouble: (error: unknown) => void
}

export type AuditSchedule = Service & {
  /** @throws MeshError MESH_STREAM_UNKNOWN, MESH_AUDIT_UNAVAILABLE, MESH_SOURCE_* */
  audit(stream: string, repair: boolean): Promise<AuditReport>
}

type Target = { readonly stream: string; readonly source: PostgresSource; readonly table: string }

/** Audits when asked and, in the gateway that leads, every table in turn. One at a time: an audit reads a whole table and topic. */
export function createAuditSchedule(options: AuditScheduleOptions): AuditSchedule {
  const { directory, sources, auditor, intervalMs } = options
  let stopped = false
  let timer: NodeJS.Timeout | undefined
  let working: Promise<unknown> = Promise.resolve()

  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = working.then(work)
    working = done.catch(() => undefined)
    return done
  }

  async function audit(target: Target, repair: boolean): Promise<AuditReport> {
    const report = await auditor.audit(target, { repair })
    await sources.keep(report)
    options.onAudited(report)
    return report
  }

  async function auditAll(): Promise<void> {
    if (sources.view().leader !== true) return
    const running = new Set(
      sources.view().sources.flatMap(({ source, state }) => (state === 'running' ? [source] : [])),
    )
    for (const target of targetsOf(directory).filter(({ source }) => running.has(source.name))) {
      if (stopped) return
      await audit(target, false).catch(options.onTrouble)
    }
  }

  function schedule(): void {
    if (intervalMs === 0 || stopped) return
    timer = setTimeout(() => void inTurn(auditAll).catch(options.onTrouble).finally(schedule), intervalMs)
  }

  return {
    async audit(stream, repair) {
      const target = targetsOf(directory).find((one) => one.stream === stream)
      if (target) return inTurn(() => audit(target, repair))
      const found = directory.find(stream)
      if (found.kind === 'missing') throw new MeshError('MESH_STREAM_UNKNOWN', `stream ${stream} is not known`)
      throw new MeshError('MESH_AUDIT_UNAVAILABLE', `stream ${stream} does not capture a table of PostgreSQL`)
    },
    async start() {
      schedule()
    },
    async stop() {
      stopped = true
      clearTimeout(timer)
      await working
    },
  }
}

function targetsOf(directory: StreamDirectory): Target[] {
  return directory.streams().flatMap(({ contract, sources }) =>
    contract.ingest.flatMap((ingest): Target[] => {
      const source = ingest.kind === 'cdc' ? sources[ingest.source] : undefined
      if (ingest.kind !== 'cdc' || source?.kind !== 'postgres') return []
      return [{ stream: contract.name, source, table: ingest.table }]
    }),
  )
}
