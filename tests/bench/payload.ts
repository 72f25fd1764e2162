import { writeFile } from 'node:fs/promises'
import { readFlights } from '../../packages/cli/src/demo/real-data.ts'

/** Real flights as JSON lines, each with an id of its own; the 20,000 rows repeat when more are asked for. */
export async function flightLines(projectRoot: string, count: number): Promise<string[]> {
  const flights = await readFlights(projectRoot)
  return Array.from({ length: count }, (_, i) =>
    JSON.stringify({ id: `bench-${String(i).padStart(8, '0')}`, ...flights[i % flights.length]! }),
  )
}

export async function writePayloadFile(path: string, lines: readonly string[]): Promise<void> {
  await writeFile(path, `${lines.join('\n')}\n`)
}

export function meanBytes(lines: readonly string[]): number {
  return lines.reduce((sum, line) => sum + Buffer.byteLength(line), 0) / lines.length
}

/** JSON text of exactly `bytes` bytes, the same for the same number: half of it repeats in other numbers, half does not. */
export function sampleValue(seed: number, bytes: number): string {
  let state = (seed + 1) * 2_654_435_761
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state
  }
  let text = `{"id":"sample-${String(seed).padStart(8, '0')}"`
  for (let field = 0; text.length < bytes; field++) text += `,"field${field}":"${next().toString(36)}"`
  return `${text.slice(0, bytes - 2)}"}`
}
