import { enricherGroup, rawTopic } from '@mesh/shared/core/topics'
import type { MeshAccess } from '../mesh-access.ts'
import { waitFor } from '../wait-for.ts'
import type { StreamSummary } from './books.ts'
import { overall, verifyMesh } from './verify.ts'

/** Waits for the enrichers to decide all of raw and for the sinks to reach them, then returns the books, closed or open. */
export async function closedBooks(mesh: MeshAccess, timeoutMs: number): Promise<StreamSummary[]> {
  let behind = ''
  await waitFor(async () => ((behind = await firstBehind(mesh)) === '' ? true : null), {
    what: 'the enricher to decide every raw record',
    timeoutMs,
    progress: () => behind,
  })
  let books: StreamSummary[] = []
  return waitFor(
    async () => {
      books = await verifyMesh(mesh)
      return overall(books) === 'pending' ? null : books
    },
    {
      what: 'the sinks to reach the enricher',
      timeoutMs,
      everyMs: 300,
      progress: () =>
        books.flatMap((book) => book.verdicts.flatMap((v) => v.pending.map((p) => `${v.stream} ${p}`)))[0] ?? '',
    },
  )
}

async function firstBehind(mesh: MeshAccess): Promise<string> {
  const { admin } = mesh.kafka()
  for (const { stream, live } of await mesh.streams()) {
    const committed = await admin.committed(enricherGroup(stream, live), rawTopic(stream))
    for (const { partition, lastStableOffset } of await admin.offsets(rawTopic(stream))) {
      const at = committed.get(partition)?.offset ?? 0
      if (at < lastStableOffset) return `${stream}/${partition} is at ${at} of ${lastStableOffset}`
    }
  }
  return ''
}
