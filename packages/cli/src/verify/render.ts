import { renderColumns } from '../table.ts'
import type { StreamSummary } from './books.ts'

/** The books as a table, then the first range of each equation that does not hold. */
export function renderBooks(books: readonly StreamSummary[]): string {
  const header = [
    'stream',
    'version',
    'raw',
    'ok',
    'outputs',
    'duplicate',
    'drop',
    'dead letter',
    'parked',
    'waiting',
    'books',
  ]
  const rows = books.map(({ stream, version, live, records, counts, waiting, state }) => [
    stream,
    `v${version}${live ? ' live' : ''}`,
    ...[records, counts.ok, counts.outputs, counts.duplicate, counts.drop, counts.deadLetter].map(String),
    ...[counts.parked, waiting].map(String),
    state,
  ])
  const problems = books.flatMap((book) =>
    book.verdicts.flatMap(({ partition, findings, pending }) => [
      ...findings.map(
        (f) =>
          `OPEN     ${book.stream} v${book.version} partition ${partition} ${f.range}: ${f.check}: ${f.left} ≠ ${f.right}`,
      ),
      ...pending.map(
        (layer) =>
          `pending  ${book.stream} v${book.version} partition ${partition}: ${layer} has not reached the enricher`,
      ),
    ]),
  )
  const closed = books.every((book) => book.state === 'closed')
  const verdict = closed
    ? 'The books close: raw = bronze = fates, and outputs = refined = silver = landing, in number and content.'
    : 'The books do not close.'
  return [renderColumns([header, ...rows]), ...problems, verdict].join('\n')
}
