import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { queryWarehouse } from '@mesh/shared/warehouse/duckdb-reader'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { fillGold } from '../../services/console/test/support/gold-file.ts'
import { sampleRows, withChromium, withGoldPage } from '../../services/console/test/support/gold-page.ts'

const folder = mkdtempSync(join(tmpdir(), 'mesh-gold-page-'))
const gold = join(folder, 'gold.duckdb')
let page = ''

const dump = (file: string, name: string): Promise<string> =>
  withGoldPage(file, (url) => withChromium(url, join(folder, name), ['--window-size=1320,1240', '--dump-dom']))

beforeAll(async () => {
  await fillGold(gold, sampleRows())
  page = await dump(gold, 'full')
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** The markup of a chart that the page's scripts have drawn. */
const chart = (id: string): string => {
  const begin = page.indexOf(`id="${id}"`)
  expect(begin).toBeGreaterThan(-1)
  return page.slice(begin, page.indexOf('</section>', begin))
}
const titles = (id: string): string[] => [...chart(id).matchAll(/<title>([^<]*)<\/title>/g)].map(([, text]) => text!)
/** Width or height of the bars of a class, in order. */
const bars = (id: string, kind: string, side: 'width' | 'height'): number[] =>
  [...chart(id).matchAll(new RegExp(`<rect class="${kind}"[^>]* ${side}="([^"]+)"`, 'g'))].map(([, n]) => Number(n))
const ask = async (sql: string): Promise<readonly Record<string, unknown>[]> => (await queryWarehouse(gold, sql)).rows
const texts = async (sql: string): Promise<string[]> => (await ask(sql)).map(({ text }) => String(text))

test('flights by day: every column says and is what DuckDB counts', async () => {
  const days =
    await ask(`SELECT format('{}: {:,} flights, {:,} late, on average {:.1f} min', flight_date::VARCHAR, sum(flights)::BIGINT,
        sum(delayed)::BIGINT, sum(avg_delay * flights) / sum(flights)) AS text,
      sum(flights)::INT AS flights, sum(delayed)::INT AS delayed
    FROM daily_airport_delays GROUP BY flight_date ORDER BY flight_date`)
  expect(days).toHaveLength(60)
  expect(titles('days')).toEqual(days.map(({ text }) => text))
  const [all, late] = [bars('days', 'all', 'height'), bars('days', 'late', 'height')]
  const tallest = Math.max(...days.map(({ flights }) => Number(flights)))
  days.forEach(({ flights, delayed }, i) => {
    expect(all[i]! / Math.max(...all)).toBeCloseTo(Number(flights) / tallest, 6)
    expect(late[i]! / all[i]!).toBeCloseTo(Number(delayed) / Number(flights), 6)
  })
})

test('airports and routes: shares and numbers of flights are those of DuckDB, busiest first', async () => {
  const airports = await texts(`SELECT format('{}{}: {:.0f} %, {:,} flights', origin, coalesce(' ' || max(city), ''),
      100.0 * sum(delayed) / sum(flights), sum(flights)::BIGINT) AS text
    FROM daily_airport_delays GROUP BY origin ORDER BY sum(flights) DESC`)
  expect(titles('airports')).toEqual(airports)
  const routes =
    await ask(`SELECT format('{} → {}: {:.0f} %, {:,} {}', origin, destination, 100.0 * on_time / flights, flights,
      CASE flights WHEN 1 THEN 'flight' ELSE 'flights' END) AS text, on_time / flights AS share
    FROM route_performance ORDER BY flights DESC`)
  expect(titles('routes')).toEqual(routes.map(({ text }) => text))
  const [tracks, drawn] = [bars('routes', 'track', 'width'), bars('routes', 'fine', 'width')]
  routes.forEach(({ share }, i) => expect(drawn[i]! / tracks[i]!).toBeCloseTo(Number(share), 6))
})

test('repositories and totals are the sums of DuckDB', async () => {
  expect(titles('repositories')).toEqual(
    await texts(`SELECT format('{}: {:,} , {:,} commits, {:,} pulls', repository, sum(events)::BIGINT, sum(commits)::BIGINT,
        sum(pull_request_events)::BIGINT).replace(' ,', ',') AS text
      FROM repository_activity GROUP BY repository ORDER BY sum(events) DESC`),
  )
  const shown = [...page.matchAll(/<dt>([^<]*)<\/dt><dd[^>]*>([^<]*)<\/dd>/g)].map(([, name, value]) => [name, value])
  const [total] = await ask(`SELECT format('{:.1f}K', sum(flights) / 1000) AS flights,
      format('{:.0f} %', 100.0 * sum(delayed) / sum(flights)) AS late,
      format('{:.1f} min', sum(avg_delay * flights) / sum(flights)) AS delay,
      (SELECT format('{:,}', sum(events)::BIGINT) FROM repository_activity) AS events FROM daily_airport_delays`)
  expect(shown).toEqual([
    ['Flights', total!['flights']],
    ['Late', total!['late']],
    ['Average delay', total!['delay']],
    ['Repository events', total!['events']],
  ])
})

test('without a gold the page says so and draws nothing', async () => {
  page = await dump(join(folder, 'none.duckdb'), 'none')
  expect(page).toContain('No gold yet. No run of dbt has ended yet.')
  expect(page).toMatch(/<div id="boards" hidden/)
  expect(titles('days')).toEqual([])
})
