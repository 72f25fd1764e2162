// Draws the snapshots that /events sends.

import { $, brief, count, element, keyed, lagClass, rate, setText, shape, sum } from './dom.js'
import { clearPicture, drawPicture, narrow } from './picture.js'

let selected = null
let latest = null

// ── tables ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** @param rows [{ key, cells: [{ text, class?, draw? }] }] */
function fillTable(id, rows, emptyText) {
  const table = $(id)
  const labels = [...table.querySelectorAll('thead th')].map((th) => th.textContent)
  const shown = rows.length > 0 ? rows : [{ key: '(empty)', cells: [{ text: emptyText, class: 'empty' }] }]
  keyed(
    table.tBodies[0],
    shown,
    ({ cells }) =>
      element(
        'tr',
        {},
        cells.map((_, i) => {
          const span = cells.length === 1 ? { colspan: labels.length } : {}
          return element('td', { 'data-label': labels[i], ...span })
        }),
      ),
    (row, { cells }) => {
      cells.forEach((cell, i) => {
        if (cell.draw) cell.draw(row.cells[i])
        else setText(row.cells[i], cell.text)
        if (row.cells[i].className !== (cell.class ?? '')) row.cells[i].className = cell.class ?? ''
      })
    },
  )
}
const BLANK = { text: '', class: 'n blank' }
const number = (n) => ({ text: count(n), class: 'n' })
const lag = (n) => ({ text: count(n), class: `n ${lagClass(n)}` })

/** Rates of each raw topic over the last minute, for the line in its row. */
const history = new Map()
function remember(snapshot) {
  for (const { stream, raw } of snapshot.streams) {
    const rates = history.get(stream) ?? []
    rates.push(raw.rate ?? 0)
    history.set(stream, rates.slice(-60))
  }
}
function drawSpark(cell, stream) {
  const rates = history.get(stream) ?? []
  const most = Math.max(...rates, 0)
  const top = Math.max(1, most) * 1.15
  const step = 108 / 59
  const from = 60 - rates.length
  const d = rates.map((r, i) => `${i === 0 ? 'M' : 'L'}${(1 + (from + i) * step).toFixed(1)} ${(20 - (r / top) * 18).toFixed(1)}`).join('')
  const text = `raw records a second over the last minute, at most ${rate(most)}`
  if (!cell.firstChild) cell.append(shape('svg', { class: 'spark', viewBox: '0 0 110 22', role: 'img' }, [shape('path', {})]))
  cell.firstChild.setAttribute('aria-label', text)
  cell.firstChild.firstChild.setAttribute('d', d || 'M1 20H109')
}

function streamRows(snapshot) {
  return snapshot.streams.flatMap((s) =>
    s.versions.map((v) => {
      const live = v.version === s.live
      return {
        key: `${s.stream}/${v.version}`,
        cells: [
          { text: s.stream },
          live
            ? { text: `v${v.version} live, epoch ${s.epoch}` }
            : { draw: (cell) => cell.firstChild ?? cell.append(element('span', { class: 'candidate', text: `v${v.version} ${v.status}` })) },
          live ? { draw: (cell) => drawSpark(cell, s.stream), class: 'wide-only' } : { text: '', class: 'wide-only' },
          // What belongs to the stream and not to a version stands in the live row alone.
          ...(live ? [number(s.raw.written), { text: rate(s.raw.rate), class: 'n' }, lag(s.bronze.lag)] : [BLANK, BLANK, BLANK]),
          lag(v.enricher.lag), number(v.refined.written), lag(v.silver.lag), lag(v.landing.lag),
          live ? { text: count(s.deadLetters.written), class: s.deadLetters.written > 0 ? 'n bad' : 'n' } : BLANK,
        ],
      }
    }),
  )
}

function bookRows(snapshot) {
  return snapshot.streams.flatMap((s) =>
    s.versions.map((v) => {
      const [fates, silver, landing] = [v.enricher.counts, v.silver.counts, v.landing.counts]
      const of = (counts, name) => (counts === null ? null : counts[name])
      const outputs = of(fates, 'outputs')
      const behind = outputs === null ? null : Math.max(outputs - (of(silver, 'outputs') ?? 0), outputs - (of(landing, 'outputs') ?? 0))
      const verdict = behind === null ? { text: 'not announced', class: 'unknown' }
        : behind === 0 ? { text: 'closed', class: 'good' }
        : behind > 0 ? { text: `${count(behind)} in flight`, class: 'some' }
        : { text: 'rows ahead: run mesh verify', class: 'bad' }
      return {
        key: `${s.stream}/${v.version}`,
        cells: [
          { text: `${s.stream} v${v.version}` }, v.version === s.live ? number(of(s.bronze.counts, 'ok')) : BLANK, number(of(fates, 'ok')), number(of(fates, 'duplicate')),
          number(of(fates, 'drop')), number(of(fates, 'deadLetter')), number(v.waiting), number(outputs), number(of(silver, 'outputs')), number(of(landing, 'outputs')),
          number(sum([of(silver, 'redelivered'), of(landing, 'redelivered')])), number(sum([of(s.bronze.counts, 'hole'), of(silver, 'hole'), of(landing, 'hole')])),
          verdict,
        ],
      }
    }),
  )
}

function jobRows({ jobs }) {
  const ms = (n) => (n === null || n === undefined ? '–' : n < 10_000 ? `${(n / 1000).toFixed(1)} s` : duration(n / 1000))
  return jobs.map(({ job, engine, open, last, succeeded, dead }) => {
    const [run] = open
    const state = run === undefined ? { text: 'idle', class: 'good' }
      : run.error !== null ? { text: `${run.state}: ${run.error}`, class: 'some' }
      : { text: run.attempt > 1 ? `${run.state}, attempt ${run.attempt}` : run.state }
    return {
      key: job,
      cells: [
        { text: job }, { text: engine }, state,
        { text: last === null ? '–' : `${last.state}${last.full ? ', full' : ''} (${last.trigger})`, class: last?.state === 'dead' ? 'bad' : '' },
        { text: last?.input ?? '–' }, { text: ms(last?.tookMs), class: 'n' }, { text: ms(last?.freshnessMs), class: 'n' }, number(succeeded),
        { text: dead.length === 0 ? '0' : `${dead.length}: mesh jobs retry ${dead[0]}`, class: dead.length > 0 ? 'n bad' : 'n' },
      ],
    }
  })
}

// ── lists ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

function drawChoices(snapshot) {
  const names = snapshot.streams.map((s) => s.stream)
  if (selected !== null && !names.includes(selected)) selected = null
  const items = names.length > 1 ? [{ key: '*', stream: null, text: 'All streams' }] : []
  items.push(...names.map((stream) => ({ key: `s:${stream}`, stream, text: stream })))
  keyed(
    $('choices'),
    items,
    ({ text, stream }) => {
      const button = element('button', { type: 'button', text })
      button.addEventListener('click', () => {
        selected = stream
        if (latest) draw(latest)
      })
      return button
    },
    (button, { stream }) => button.setAttribute('aria-pressed', String(stream === selected || names.length === 1)),
  )
}

function drawTotals({ streams }) {
  const versions = streams.flatMap((s) => s.versions)
  const lags = [...streams.map((s) => s.bronze.lag), ...versions.flatMap((v) => [v.enricher.lag, v.silver.lag, v.landing.lag])]
  const total = sum(lags)
  const items = [
    { key: 'Records', text: brief(sum(streams.map((s) => s.raw.written))) },
    { key: 'Records /s', text: rate(sum(streams.map((s) => s.raw.rate))) },
    { key: 'Lag', text: brief(total), class: lagClass(total) },
    { key: 'Dead letters', text: brief(sum(streams.map((s) => s.deadLetters.written))) },
  ]
  keyed($('totals'), items, ({ key }) => element('div', {}, [element('dt', { text: key }), element('dd')]),
    (item, { text, class: className }) => setText(item.lastChild, text, className ?? ''))
}

const ENDED = { CUTOVER: 'good', CANCELLED: 'unknown' }
function drawReplays({ replays }) {
  if (replays.length === 0) return $('replays').replaceChildren(element('li', { class: 'quiet', text: 'No replay yet. Start one with: mesh replay <stream>' }))
  keyed(
    $('replays'),
    replays.map((job) => ({ ...job, key: job.id })),
    ({ id }) => element('li', {}, [element('div', { class: 'head' }, [element('b'), element('span')]),
      element('progress', { 'aria-label': `replay ${id}` }), element('p', { class: 'quiet' }), element('p', { class: 'bad' })]),
    (row, job) => {
      const [head, bar, note, error] = row.children
      setText(head.children[0], `${job.stream} → v${job.version}`)
      setText(head.children[1], job.state.toLowerCase(), ENDED[job.state] ?? '')
      bar.max = Math.max(1, job.total)
      bar.value = job.total === 0 ? 1 : job.done
      const eta = job.etaSeconds === null || job.done >= job.total ? '' : `, ${duration(job.etaSeconds)} to go`
      const behind = job.candidateLag === null || job.state === 'CUTOVER' ? '' : `; candidate lag ${count(job.candidateLag)}`
      setText(note, `${count(job.done)} of ${count(job.total)} offsets, ${rate(job.recordsPerSecond)} /s${eta}${behind}. mesh replay --show ${job.id}`)
      setText(error, job.error ?? '')
    },
  )
}
const duration = (s) => (s < 90 ? `${Math.round(s)} s` : s < 5400 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`)

function drawServices({ services }) {
  if (services.length === 0) return $('services').replaceChildren(element('li', { class: 'quiet', text: 'No service is watched: set MESH_SERVICE_URLS.' }))
  keyed(
    $('services'),
    services.map((service) => ({ ...service, key: service.name })),
    ({ name, url }) => element('li', {}, [element('b', { text: name }), element('span'), element('span', { class: 'links' },
      ['readyz', 'metrics'].map((path) => element('a', { href: `${url}/${path}`, text: path, 'aria-label': `${path} of ${name}` }))), element('p', { class: 'quiet' })]),
    (row, { state, detail }) => {
      setText(row.children[1], state === 'ready' ? '● ready' : state === 'unready' ? '▲ unready' : '✕ down', state === 'ready' ? 'good' : state === 'down' ? 'bad' : 'some')
      setText(row.children[3], detail ?? '')
    },
  )
}

function drawCommands({ streams }) {
  const stream = selected ?? streams[0]?.stream ?? 'STREAM'
  const items = [
    ['mesh status', 'processes, ports and health'],
    [`mesh verify ${stream}`, 'close the books over every layer'],
    [`mesh tail ${stream}`, 'refined records as they come, decoded'],
    [`mesh sql "…"`, 'query the warehouse, and gold.<table>'],
    ['mesh jobs status', 'runs of jobs, their input and freshness'],
    [`mesh replay ${stream}`, 'rebuild from history as a candidate version'],
    ['mesh replay --cutover ID', 'make the candidate live'],
  ].map(([command, text], i) => ({ key: String(i), command, text }))
  keyed($('commands'), items, () => element('div', {}, [element('dt'), element('dd')]), (item, { command, text }) => {
    setText(item.firstChild, command)
    setText(item.lastChild, text)
  })
}

function draw(snapshot) {
  drawTotals(snapshot)
  drawChoices(snapshot)
  $('problems').hidden = snapshot.problems.length === 0
  setText($('problems'), snapshot.problems.join(' · '))
  if (snapshot.streams.length > 0) drawPicture(snapshot, selected)
  else {
    clearPicture()
    $('picture').replaceChildren(element('p', { class: 'empty', text: 'No stream yet. Add a folder under streams/ and run: mesh streams apply' }))
  }
  fillTable('stream-table', streamRows(snapshot), 'No stream yet.')
  fillTable('book-table', bookRows(snapshot), 'No stream yet.')
  fillTable('job-table', jobRows(snapshot), 'No run yet. A job is a file under jobs/: mesh jobs check')
  drawReplays(snapshot)
  drawServices(snapshot)
  drawCommands(snapshot)
}

// ── connection ──────────────────────────────────────────────────────────────────────────────────────────────────────────

function connection(state, text) {
  setText($('connection'), text, `connection ${state}`)
}
narrow.addEventListener('change', () => latest && draw(latest))
const events = new EventSource('/events')
events.addEventListener('snapshot', (event) => {
  latest = JSON.parse(event.data)
  remember(latest)
  draw(latest)
  connection('live', 'live')
  $('connection').title = `as of ${new Date(latest.at).toLocaleTimeString()}`
})
events.addEventListener('error', () => connection('lost', latest ? `connection lost; numbers as of ${new Date(latest.at).toLocaleTimeString()}` : 'cannot reach the console'))
