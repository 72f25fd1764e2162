import { request as plain } from 'node:http'
import { request as secure } from 'node:https'

export type HttpCall = {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  readonly timeoutMs: number
}

export type HttpReply = {
  readonly status: number
  readonly ok: boolean
  readonly location: string | null
  readonly text: string
}

const MAX_BYTES = 4 * 1024 * 1024

/**
 * One call over a connection of its own: on a connection that is kept, a receiver that has just gone cannot be told from one that
 * took the request and did not answer. @throws Error with Node's `code` (ECONNREFUSED: nothing was reached)
 */
export function httpCall(url: string, { method, headers, body, timeoutMs }: HttpCall): Promise<HttpReply> {
  return new Promise((resolve, reject) => {
    const send = url.startsWith('https:') ? secure : plain
    const signal = AbortSignal.timeout(timeoutMs)
    const call = send(url, { method, headers, agent: false, signal }, (response) => {
      const chunks: Buffer[] = []
      let bytes = 0
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.byteLength
        if (bytes <= MAX_BYTES) chunks.push(chunk)
        else response.destroy(new Error(`the answer is larger than ${MAX_BYTES} bytes`))
      })
      response.once('error', reject)
      response.once('end', () => {
        const status = response.statusCode ?? 0
        const text = Buffer.concat(chunks).toString('utf8')
        resolve({ status, ok: status >= 200 && status < 300, location: response.headers.location ?? null, text })
      })
    })
    call.once('error', reject)
    call.end(body)
  })
}
