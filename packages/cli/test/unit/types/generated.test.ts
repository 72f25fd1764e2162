import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { projectStreams } from '../../../src/streams/project.ts'
import { isStale, streamTypes } from '../../../src/types/stream-types.ts'

const ROOT = join(import.meta.dirname, '..', '..', '..', '..', '..')

describe('the types of this project', () => {
  it('are those of its contracts and schemas (`npx mesh streams generate` writes them)', async () => {
    const types = await streamTypes(ROOT, await projectStreams(ROOT))
    expect(types.filter(isStale).map(({ stream }) => `npx mesh streams generate ${stream}`)).toEqual([])
    expect(types.length).toBeGreaterThan(2)
  })
})
