// The topology as a picture: who reads what, how much lies where, and how far each reader is behind.

import { $, brief, count, lagClass, lagText, rate, setText, shape, sum } from './dom.js'

export const narrow = matchMedia('(max-width: 860px)')

/** The numbers of the picture: of one stream, or of all together. */
function lane(snapshot, selected) {
  const streams = snapshot.streams.filter((s) => selected === null || s.stream === selected)
  const lives = streams.map((s) => s.versions.find((v) => v.version === s.live)).filter((v) => v)
  const candidates = streams.flatMap((s) => s.versions.filter((v) => v.status === 'candidate').map((v) => ({ ...v, stream: s.stream })))
  const one = streams.length === 1 ? streams[0] : null
  const live = one ? lives[0] : null
  const of = (parts, pick) => sum(parts.map(pick))
  const rows = (parts) => sum(parts.map((edge) => edge.counts && edge.counts.outputs))
  return {
    title: one ? one.stream : 'all streams',
    candidates,
    nodes: {
      sources: { name: 'sources', sub: 'HTTP, webhooks' },
      gateway: { name: 'ingest-gateway', service: 'ingest-gateway' },
      raw: { name: one ? one.raw.topic : 'raw.*.v1', n: of(streams, (s) => s.raw.written), sub: `${rate(of(streams, (s) => s.raw.rate))} /s` },
      enricher: { name: 'enricher', service: 'enricher' },
      refined: { name: live ? live.refined.topic : 'refined.*', n: of(lives, (v) => v.refined.written), sub: `${rate(of(lives, (v) => v.refined.rate))} /s` },
      dead: { name: one ? one.deadLetters.topic : 'dead-letter.*.v1', n: of(streams, (s) => s.deadLetters.written), sub: 'dead letters' },
      bronzeSink: { name: 'lake-sink', service: 'lake-sink' },
      bronze: { name: 'bronze', n: sum(streams.map((s) => s.bronze.counts && s.bronze.counts.ok)), sub: 'as received' },
      silverSink: { name: 'lake-sink', service: 'lake-sink' },
      silver: { name: 'silver', n: rows(lives.map((v) => v.silver)), sub: 'typed rows' },
      landingSink: { name: 'warehouse-sink', service: 'warehouse-sink' },
      landing: { name: live ? `landing v${live.version}` : 'landing', n: rows(lives.map((v) => v.landing)), sub: 'warehouse rows' },
      replayer: { name: 'replayer', service: 'replayer' },
      replay: { name: candidates.length === 1 ? `replay ${candidates[0].replayJob ?? ''}` : 'replay topics', sub: `${candidates.length} candidate${candidates.length === 1 ? '' : 's'}` },
      candidateEnricher: { name: 'enricher', service: 'enricher' },
      candidate: { name: candidates.length === 1 ? `refined.${candidates[0].stream}.v${candidates[0].version}` : 'candidates', n: of(candidates, (v) => v.refined.written), sub: 'candidate' },
      candidateSinks: { name: 'both sinks', sub: 'silver, landing' },
    },
    lags: {
      'raw>bronzeSink': of(streams, (s) => s.bronze.lag), 'raw>enricher': of(lives, (v) => v.enricher.lag),
      'refined>silverSink': of(lives, (v) => v.silver.lag), 'refined>landingSink': of(lives, (v) => v.landing.lag),
      'replay>candidateEnricher': of(candidates, (v) => v.enricher.lag),
      'candidate>candidateSinks': of(candidates, (v) => sum([v.silver.lag, v.landing.lag])),
    },
    flowing: of(streams, (s) => s.raw.rate) > 0,
  }
}

const KINDS = { sources: 'source', raw: 'topic', refined: 'topic', dead: 'topic', replay: 'topic', candidate: 'topic', bronze: 'store', silver: 'store', landing: 'store' }
const EDGES = ['sources>gateway', 'gateway>raw', 'raw>enricher', 'enricher>refined', 'enricher>dead', 'raw>bronzeSink', 'bronzeSink>bronze',
  'refined>silverSink', 'silverSink>silver', 'refined>landingSink', 'landingSink>landing', 'replayer>replay', 'replay>candidateEnricher',
  'candidateEnricher>candidate', 'candidate>candidateSinks', 'bronze>replayer']
/** Places by [column, row]; the lower lane is drawn only when a candidate is being built. */
const WIDE = {
  size: [1248, 286], lane: 100, node: [128, 60], step: [186, 66], down: false,
  at: { sources: [0, 1.5], gateway: [1, 1.5], raw: [2, 1.5], bronzeSink: [3, 0], bronze: [4, 0], enricher: [3, 1.5], refined: [4, 1.5], dead: [4, 3],
    silverSink: [5, .75], silver: [6, .75], landingSink: [5, 2.25], landing: [6, 2.25],
    replayer: [1, 4.5], replay: [2, 4.5], candidateEnricher: [3, 4.5], candidate: [4, 4.5], candidateSinks: [5, 4.5] },
}
const TALL = {
  size: [372, 636], lane: 308, node: [114, 58], step: [127, 92], down: true,
  at: { sources: [1, 0], gateway: [1, 1], raw: [1, 2], bronzeSink: [0, 3], bronze: [0, 4], enricher: [1, 3], refined: [1, 4], dead: [2, 4],
    silverSink: [0, 5], silver: [0, 6], landingSink: [2, 5], landing: [2, 6],
    replayer: [0, 7.4], replay: [1, 7.4], candidateEnricher: [1, 8.4], candidate: [2, 8.4], candidateSinks: [2, 9.4] },
}
const LOWER = new Set(['replayer', 'replay', 'candidateEnricher', 'candidate', 'candidateSinks'])

let drawn = null
/** The next picture is built from nothing. */
export function clearPicture() {
  drawn = null
}
/** @param selected a stream's name, or null for all together */
export function drawPicture(snapshot, selected) {
  const view = lane(snapshot, selected)
  const layout = narrow.matches ? TALL : WIDE
  const signature = `${layout === WIDE} ${view.candidates.length > 0}`
  if (drawn === null || drawn.signature !== signature) drawn = buildPicture(layout, view, signature)
  const health = new Map(snapshot.services.map((s) => [s.name, s.state]))
  for (const [id, parts] of drawn.nodes) {
    const { name, n, sub, service } = view.nodes[id]
    const room = Math.floor(layout.node[0] / 6.9) - (service ? 2 : 0)
    setText(parts.name, name.length > room ? `${name.slice(0, room - 1)}…` : name)
    setText(parts.title, name)
    const state = service ? (health.get(service) ?? null) : null
    if (parts.number) setText(parts.number, brief(n ?? null))
    setText(parts.sub, service ? (state ?? 'not watched') : sub)
    if (parts.dot) parts.dot.setAttribute('class', `dot ${state ?? 'hidden'}`)
  }
  for (const [id, { path, label }] of drawn.edges) {
    path.setAttribute('class', view.flowing && !LOWER.has(id.split('>')[1]) && id !== 'enricher>dead' ? 'edge flowing' : 'edge')
    if (label) setText(label, lagText(view.lags[id]), `edge-label ${lagClass(view.lags[id])}`)
  }
  const { raw, refined, dead, landing } = view.nodes
  setText(drawn.description, `${view.title}: ${count(raw.n)} raw records, enricher ${lagText(view.lags['raw>enricher'])}; ${count(refined.n)} refined, ` +
    `silver ${lagText(view.lags['refined>silverSink'])}, landing ${lagText(view.lags['refined>landingSink'])}; bronze ${lagText(view.lags['raw>bronzeSink'])}; ` +
    `${count(landing.n)} landing rows; ${count(dead.n)} dead letters; ${view.candidates.length} candidate versions. The tables below have the same numbers.`)
}

function buildPicture(layout, view, signature) {
  const lower = view.candidates.length > 0
  const [width, height] = [layout.size[0], layout.size[1] + (lower ? layout.lane : 0)]
  const description = shape('desc', { id: 'picture-text' })
  const arrow = shape('marker', { id: 'arrow', viewBox: '0 0 8 8', refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: 'auto', markerUnits: 'userSpaceOnUse' }, [shape('path', { d: 'M0 0L8 4L0 8Z' })])
  const svg = shape('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-labelledby': 'picture-heading picture-text' }, [description, shape('defs', {}, [arrow])])
  const ids = Object.keys(layout.at).filter((id) => lower || !LOWER.has(id))
  const box = (id) => ({ x: 2 + layout.at[id][0] * layout.step[0], y: 14 + layout.at[id][1] * layout.step[1], w: layout.node[0], h: layout.node[1] })
  if (lower) {
    const top = box('replayer').y - 24
    const label = shape('text', { x: 10, y: top + 15, class: 'lane-label' })
    label.textContent = 'Candidate version'
    svg.append(shape('rect', { x: .5, y: top - 2, width: width - 1, height: height - top, rx: 10, class: 'lane' }), label)
  }
  const edges = new Map()
  for (const id of EDGES) {
    const [from, to] = id.split('>')
    if (!ids.includes(from) || !ids.includes(to) || id === 'bronze>replayer') continue
    const { d, middle } = route(box(from), box(to), layout.down)
    const path = shape('path', { d, class: 'edge', 'marker-end': 'url(#arrow)' })
    const label = id in view.lags ? shape('text', { x: middle[0], y: middle[1], class: 'edge-label' }) : null
    edges.set(id, { path, label })
    svg.append(path)
  }
  const nodes = new Map()
  for (const id of ids) svg.append(buildNode(id, box(id), view.nodes[id], nodes))
  for (const { label } of edges.values()) if (label) svg.append(label)
  $('picture').replaceChildren(svg)
  return { signature, nodes, edges, description }
}

function buildNode(id, { x, y, w, h }, { service, n }, nodes) {
  const kind = KINDS[id] ?? 'service'
  const outline = kind === 'store'
    ? shape('path', { class: 'shape', d: `M${x} ${y + 2}C${x} ${y - 4} ${x + w} ${y - 4} ${x + w} ${y + 2}V${y + h - 4}C${x + w} ${y + h + 2} ${x} ${y + h + 2} ${x} ${y + h - 4}ZM${x} ${y + 2}C${x} ${y + 8} ${x + w} ${y + 8} ${x + w} ${y + 2}` })
    : shape('rect', { class: 'shape', x, y, width: w, height: h, rx: kind === 'topic' ? h / 2.6 : 8 })
  const text = (className, dy) => shape('text', { class: className, x: x + w / 2, y: y + dy, 'text-anchor': 'middle' })
  const numbered = n !== undefined
  const offset = kind === 'store' ? 3.5 : 0
  const parts = {
    title: shape('title', {}),
    name: text('name', (numbered ? 18 : 27) + offset),
    number: numbered ? text('number', 35 + offset) : null,
    sub: text('sub', (numbered ? 50 : 44) + offset * .7),
    dot: service ? shape('circle', { cx: x + 11, cy: y + 11, r: 4, class: 'dot' }) : null,
  }
  nodes.set(id, parts)
  return shape('g', { class: kind }, [parts.title, outline, parts.name, parts.sub, ...[parts.number, parts.dot].filter((part) => part)])
}

/** A curve from side to side, or from bottom to top where the picture runs down; and where its label stands. */
function route(a, b, down) {
  const below = b.y >= a.y + a.h
  if (b.x >= a.x + a.w && !(down && below)) {
    const [x1, y1, x2, y2] = [a.x + a.w, a.y + a.h / 2, b.x - 2, b.y + b.h / 2]
    const bend = (x2 - x1) / 2
    return { d: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`, middle: [(x1 + x2) / 2, (y1 + y2) / 2 - (y1 === y2 ? 7 : -4)] }
  }
  if (below) {
    const [x1, y1, x2, y2] = [a.x + a.w / 2, a.y + a.h, b.x + b.w / 2, b.y - 2]
    const bend = (y2 - y1) / 2
    return { d: `M${x1} ${y1}C${x1} ${y1 + bend} ${x2} ${y2 - bend} ${x2} ${y2}`, middle: [(x1 + x2) / 2, (y1 + y2) / 2 + 4] }
  }
  const [x1, y1, x2, y2] = [a.x, a.y + a.h / 2, b.x + b.w + 2, b.y + b.h / 2]
  return { d: `M${x1} ${y1}L${x2} ${y2}`, middle: [(x1 + x2) / 2, y1 - 7] }
}
