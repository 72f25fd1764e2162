// Charts as SVG. Every text goes in as text.

import { brief, count, element, shape } from './dom.js'

const text = (content, attributes) => {
  const made = shape('text', attributes)
  made.textContent = content
  return made
}
const titled = (node, content) => {
  const title = shape('title', {})
  title.textContent = content
  node.append(title)
  return node
}
const drawing = (width, height, label, parts) =>
  shape('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label }, parts)

/** One unit of a drawing is one pixel, so texts keep their size on every screen. */
const widthOf = (parent) => Math.max(280, parent.clientWidth)

/** Steps of 1, 2 or 5 times a power of ten, at most `most` of them. */
export function niceStep(top, most) {
  const rough = Math.max(top, 1) / most
  const power = 10 ** Math.floor(Math.log10(rough))
  return Math.max(1, [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough))
}

/**
 * Columns over days, one in front of the other.
 * @param days [{ day, whole, part, title }] in order
 */
export function columnChart(parent, days, label) {
  if (days.length === 0) return parent.replaceChildren(element('p', { class: 'empty', text: 'Nothing yet.' }))
  const [width, height, left, bottom, top] = [widthOf(parent), 240, 52, 26, 10]
  const most = Math.max(...days.map(({ whole }) => whole))
  const step = niceStep(most, 4)
  const scale = (height - bottom - top) / (Math.ceil(most / step) * step)
  const pitch = (width - left) / days.length
  const bar = Math.min(48, Math.max(1, pitch * 0.72))
  const parts = []
  for (let value = 0; value <= Math.ceil(most / step) * step; value += step) {
    const y = height - bottom - value * scale
    parts.push(shape('path', { class: 'grid', d: `M${left} ${y}H${width}` }))
    parts.push(text(brief(value), { x: left - 8, y: y + 4, class: 'quiet end' }))
  }
  const every = Math.ceil(days.length / Math.max(1, Math.floor((width - left) / 100)))
  days.forEach(({ day, whole, part, title }, i) => {
    const x = left + i * pitch + (pitch - bar) / 2
    const column = (value, className) =>
      shape('rect', { class: className, x, y: height - bottom - value * scale, width: bar, height: value * scale, rx: Math.min(2, bar / 4) })
    parts.push(titled(shape('g', {}, [column(whole, 'all'), column(part, 'late')]), title))
    if (i % every === 0) parts.push(text(day, { x: x + bar / 2, y: height - 8, class: 'quiet', 'text-anchor': 'middle' }))
  })
  parent.replaceChildren(drawing(width, height, label, parts))
}

/**
 * A row for each: its name, a bar, what the bar stands for, and how much it is about.
 * @param rows [{ name, share (0 to 1), value, note, class }]
 */
export function barChart(parent, rows, { label, noteWidth = 90 }) {
  if (rows.length === 0) return parent.replaceChildren(element('p', { class: 'empty', text: 'Nothing yet.' }))
  const [line, width] = [26, widthOf(parent)]
  const narrow = width < 440
  const names = Math.min(300, Math.round(width * 0.34))
  const room = width - names - 62 - (narrow ? 0 : noteWidth)
  const fits = Math.floor(names / 6.8)
  const parts = rows.map(({ name, share, value, note, class: className }, i) => {
    const y = i * line
    const shown = name.length > fits ? `${name.slice(0, fits - 1)}…` : name
    return titled(
      shape('g', {}, [
        text(shown, { x: 0, y: y + 17 }),
        shape('rect', { class: 'track', x: names, y: y + 8, width: room, height: 11, rx: 3 }),
        shape('rect', { class: className, x: names, y: y + 8, width: Math.max(share > 0 ? 2 : 0, room * Math.min(1, share)), height: 11, rx: 3 }),
        text(value, { x: names + room + 58, y: y + 17, class: 'end' }),
        ...(narrow ? [] : [text(note, { x: width, y: y + 17, class: 'quiet end' })]),
      ]),
      `${name}: ${value}, ${note}`,
    )
  })
  parent.replaceChildren(drawing(width, rows.length * line + 4, label, parts))
}

export const percent = (share) => `${(share * 100).toFixed(share >= 0.1 ? 0 : 1)} %`
export const minutes = (n) => `${n < 0 ? '−' : ''}${Math.abs(n).toFixed(1)} min`
export const flights = (n) => `${count(n)} ${n === 1 ? 'flight' : 'flights'}`
