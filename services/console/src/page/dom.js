// Texts of numbers, and changes to the document. Every text goes in as text, never as markup.

const SVG = 'http://www.w3.org/2000/svg'
const whole = new Intl.NumberFormat('en')
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 })
export const $ = (id) => document.getElementById(id)

export const count = (n) => (n === null ? '–' : whole.format(n))
export const brief = (n) => (n === null ? '–' : n < 10_000 ? whole.format(n) : short.format(n))
export const rate = (n) => (n === null ? '–' : n > 0 && n < 10 ? n.toFixed(1) : brief(Math.round(n)))
export const lagClass = (lag) => (lag === null ? 'unknown' : lag === 0 ? 'zero' : 'some')
export const lagText = (lag) => (lag === null ? 'lag –' : `lag ${brief(lag)}`)
/** Sum that is unknown only when every part is. */
export const sum = (parts) => parts.reduce((total, n) => (n === null ? total : (total ?? 0) + n), null)

export function element(tag, props = {}, children = []) {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(props)) {
    if (name === 'text') made.textContent = value
    else made.setAttribute(name, value)
  }
  made.append(...children)
  return made
}
export function shape(tag, attributes, children = []) {
  const made = document.createElementNS(SVG, tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  made.append(...children)
  return made
}
/** Writes only what changed: selections and screen readers are left alone. */
export function setText(node, text, className) {
  if (node.textContent !== text) node.textContent = text
  if (className !== undefined && node.getAttribute('class') !== className) node.setAttribute('class', className)
}
/** Children by key: kept, added, removed and put in order; `update` fills each. */
export function keyed(parent, items, create, update) {
  const present = new Map([...parent.children].filter((child) => child.dataset.key).map((child) => [child.dataset.key, child]))
  // The collection is live: what is removed would shift what follows.
  for (const child of Array.from(parent.children)) if (!items.some((item) => item.key === child.dataset.key)) child.remove()
  items.forEach((item, i) => {
    const child = present.get(item.key) ?? create(item)
    child.dataset.key = item.key
    if (parent.children[i] !== child) parent.insertBefore(child, parent.children[i] ?? null)
    update(child, item)
  })
}
