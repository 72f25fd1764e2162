// Draws what /api/gold says: gold as dbt last left it.

import { barChart, columnChart, flights, minutes, percent } from './charts.js'
import { $, brief, count, element, keyed, setText } from './dom.js'

const REFRESH_MS = 5000
let drawn = null

function drawTotals({ totals: [total], repositories }) {
  const events = repositories.reduce((sum, each) => sum + each.events, 0)
  const items = [
    ...(total ? [
      { key: 'Flights', text: brief(total.flights) },
      { key: 'Late', text: percent(total.delayed / total.flights), class: 'some' },
      { key: 'Average delay', text: minutes(total.delay) },
    ] : []),
    ...(events > 0 ? [{ key: 'Repository events', text: brief(events) }] : []),
  ]
  keyed($('totals'), items, ({ key }) => element('div', {}, [element('dt', { text: key }), element('dd')]),
    (item, { text, class: className }) => setText(item.lastChild, text, className ?? ''))
}

function drawTables(tables) {
  drawTotals(tables)
  columnChart($('days'), tables.days.map((each) => ({
    day: each.day, whole: each.flights, part: each.delayed,
    title: `${each.day}: ${flights(each.flights)}, ${count(each.delayed)} late, on average ${minutes(each.delay)}`,
  })), 'Flights of each day, and those that left late')
  barChart($('airports'), tables.airports.map((each) => ({
    name: each.name, share: each.share, value: percent(each.share), note: `${flights(each.flights)}`, class: 'late',
  })), { label: 'Share of late flights by airport' })
  barChart($('routes'), tables.routes.map((each) => ({
    name: each.name, share: each.share, value: percent(each.share), note: flights(each.flights), class: 'fine',
  })), { label: 'Share of flights on time by route' })
  const most = Math.max(1, ...tables.repositories.map((each) => each.events))
  barChart($('repositories'), tables.repositories.map((each) => ({
    name: each.name, share: each.events / most, value: count(each.events), note: `${count(each.commits)} commits, ${count(each.pulls)} pulls`, class: 'all',
  })), { label: 'Events by repository', noteWidth: 180 })
}

function say(state, text) {
  setText($('gold-state'), text, `connection ${state}`)
}

async function refresh() {
  try {
    const { state, reason, tables } = await (await fetch('/api/gold')).json()
    const shown = !$('boards').hidden
    // What was read before stays in sight while gold is being written.
    $('boards').hidden = tables === null && !(shown && state === 'busy')
    $('nothing').hidden = !$('boards').hidden
    if (tables === null) {
      setText($('nothing'), state === 'none' ? `No gold yet. ${reason}` : `Gold cannot be read now. ${reason}`)
      say('waiting', state === 'none' ? 'no gold yet' : 'gold is being written')
    } else {
      drawn = tables
      drawTables(tables)
      say('live', `as dbt left it, read at ${new Date().toLocaleTimeString()}`)
    }
  } catch {
    say('lost', 'cannot reach the console')
  }
  setTimeout(refresh, REFRESH_MS)
}
window.addEventListener('resize', () => drawn && drawTables(drawn))
void refresh()
