import { readFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { MeshError } from '@mesh/shared/core/errors'
import type { Command } from '../command.ts'
import { postEvents, type Receipt } from '../gateway-client.ts'
import { withMesh } from '../running-mesh.ts'

const LINES_PER_REQUEST = 1000

export const post: Command = {
  name: 'post',
  summary: 'post events: one JSON event, a JSON array, or NDJSON',
  usage: '<stream> <file|->',
  options: {
    'idempotency-key': {
      type: 'string',
      value: 'KEY',
      doc: 'event ids of events without one: KEY/0, KEY/1, ... (default: a fresh one)',
    },
  },
  /** Exit code 0: every event was accepted. 1: at least one was not; its code and message are printed. */
  async run(context) {
    const [stream, file, ...rest] = context.positionals
    if (!stream || !file || rest.length > 0)
      throw new MeshError('MESH_CLI_USAGE', 'post takes a stream and a file (or - for standard input)')
    const body =
      file === '-'
        ? await text(process.stdin)
        : await readFile(file, 'utf8').catch((cause: unknown) => {
            throw new MeshError('MESH_CLI_USAGE', `reading ${file}`, { cause })
          })
    const key = context.text('idempotency-key') ?? crypto.randomUUID()
    return withMesh(context, async (mesh) => {
      const receipts: Receipt[] = []
      for (const [index, part] of requestsOf(body).entries()) {
        const answer = await postEvents(mesh.gateway, stream, part.body, {
          contentType: part.contentType,
          idempotencyKey: index === 0 ? key : `${key}-${index}`,
        })
        receipts.push(...answer.receipts.map((receipt) => ({ ...receipt, index: receipt.index + part.firstIndex })))
      }
      const rejected = receipts.filter((receipt) => receipt.status !== 'accepted')
      if (context.json) context.print(JSON.stringify(receipts, null, 2))
      else {
        for (const receipt of receipts.slice(0, 5))
          if (receipt.status === 'accepted') context.print(receiptLine(receipt))
        if (receipts.length > 5) context.print(`… ${receipts.length} events in all`)
        for (const receipt of rejected.slice(0, 20))
          context.note(`event ${receipt.index}: ${receipt.message ?? ''} [${receipt.code ?? receipt.status}]`)
        context.note(`${receipts.length - rejected.length} accepted, ${rejected.length} rejected`)
      }
      return rejected.length === 0 ? 0 : 1
    })
  },
}

function receiptLine(receipt: Receipt): string {
  return `${receipt.eventId} → ${receipt.topic} partition ${receipt.partition} offset ${receipt.offset}`
}

type RequestPart = { readonly body: string; readonly contentType: string; readonly firstIndex: number }

/** A JSON document goes as it is; NDJSON goes in requests of a thousand lines. */
export function requestsOf(body: string): RequestPart[] {
  if (isOneJsonDocument(body)) return [{ body, contentType: 'application/json', firstIndex: 0 }]
  const lines = body.split('\n').filter((line) => line.trim() !== '')
  const parts: RequestPart[] = []
  for (let at = 0; at < lines.length; at += LINES_PER_REQUEST) {
    parts.push({
      body: `${lines.slice(at, at + LINES_PER_REQUEST).join('\n')}\n`,
      contentType: 'application/x-ndjson',
      firstIndex: at,
    })
  }
  return parts
}

function isOneJsonDocument(body: string): boolean {
  const lines = body.trim().split('\n')
  if (lines.length === 1 || body.trimStart().startsWith('[')) return true
  try {
    JSON.parse(lines[0]!)
    return false
  } catch {
    return true
  }
}
