import { canListen } from '../runtime/can-listen.ts'

/** Below the ports that systems give to outgoing connections, so that none of those takes one before its server does, and below those of the local stack. */
const [FIRST, LAST] = [10_240, 15_000]
const TRIES = 100

/** A port of 127.0.0.1 that was free a moment ago. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < TRIES; tries++) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST))
    if (await canListen(port, '127.0.0.1')) return port
  }
  throw new Error(`no free port in ${TRIES} tries`)
}
