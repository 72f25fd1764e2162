import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { usesDbt } from '../../../src/stack/dbt.ts'

test('a project without jobs of dbt needs no Python', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mesh-no-jobs-'))
  expect(await usesDbt(folder)).toBe(false)
  rmSync(folder, { recursive: true, force: true })
})
