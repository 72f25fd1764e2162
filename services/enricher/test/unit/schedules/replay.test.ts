import { expect, test } from 'vitest'
import { runSeeds, SEEDS } from '../../schedule/exact.ts'
import type { Guarantee } from '../../schedule/stream.ts'

const FILE = 'services/enricher/test/unit/schedules/replay.test.ts'
const seeds = Math.ceil(SEEDS / 3)

test.each<Guarantee>(['at-least-once', 'exactly-once'])(
  `${seeds} schedules of a candidate that reads its history and then raw, while events flow, end exact, %s`,
  { timeout: 1_800_000 },
  async (guarantee) => {
    await expect(runSeeds(guarantee, FILE, { replays: true, seeds })).resolves.toBeUndefined()
  },
)
