/**
 * `npm run screenshots [folder]`: the gold page as Chromium draws it, wide, narrow, dark and without gold. It starts no mesh: the page's own
 * routes over a gold file with sample rows.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fillGold } from './gold-file.ts'
import { sampleRows, withChromium, withGoldPage } from './gold-page.ts'

const MIN_BYTES = 10_000

const out = process.argv[2] ?? join(import.meta.dirname, '..', '..', '..', '..', '.mesh', 'screenshots')
const work = mkdtempSync(join(tmpdir(), 'mesh-screenshots-'))
mkdirSync(out, { recursive: true })
try {
  const file = join(work, 'gold.duckdb')
  await fillGold(file, sampleRows())
  await withGoldPage(file, async (url) => {
    await shoot(url, 'gold', ['--window-size=1320,1240'])
    await shoot(url, 'gold-dark', ['--window-size=1320,1240', '--blink-settings=preferredColorScheme=0'])
    await shoot(url, 'gold-narrow', ['--window-size=500,1900'])
  })
  await withGoldPage(join(work, 'none.duckdb'), (url) => shoot(url, 'gold-none', ['--window-size=1320,420']))
} finally {
  rmSync(work, { recursive: true, force: true })
}

async function shoot(url: string, name: string, options: readonly string[]): Promise<void> {
  const image = join(out, `${name}.png`)
  await withChromium(url, join(work, name), [...options, `--screenshot=${image}`])
  if (!existsSync(image) || statSync(image).size < MIN_BYTES) throw new Error(`${image}: Chromium drew nothing`)
  console.log(image)
}
