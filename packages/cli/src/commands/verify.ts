import type { Command } from '../command.ts'
import { withMesh } from '../running-mesh.ts'
import { closedBooks } from '../verify/closed-books.ts'
import { renderBooks } from '../verify/render.ts'
import { overall, verifyMesh } from '../verify/verify.ts'

const DEFAULT_WAIT_S = 30

export const verify: Command = {
  name: 'verify',
  summary: 'close the books: compare every layer at the position of the enricher',
  usage: '[stream...]',
  options: {
    wait: {
      type: 'string',
      value: 'SECONDS',
      doc: `wait for the sinks to reach the enricher (default ${DEFAULT_WAIT_S}; 0 = look once)`,
    },
  },
  /** Exit code 0: every book closes. 1: one does not. 3: a layer has not reached the enricher yet. */
  async run(context) {
    return withMesh(context, async (mesh) => {
      const waitMs = Number(context.text('wait') ?? DEFAULT_WAIT_S) * 1000
      const only = context.positionals
      const all = waitMs > 0 ? await closedBooks(mesh, waitMs).catch(() => verifyMesh(mesh)) : await verifyMesh(mesh)
      const books = only.length === 0 ? all : all.filter((summary) => only.includes(summary.stream))
      const state = overall(books)
      context.print(context.json ? JSON.stringify({ state, streams: books }, null, 2) : renderBooks(books))
      return state === 'closed' ? 0 : state === 'open' ? 1 : 3
    })
  },
}
