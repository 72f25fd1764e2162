import { render, renderTree, type TemplateValue, type TemplateValues } from '@mesh/shared/core/template'
import type { PollSpec } from './spec.ts'
import { formatTime, type PollRun, type PollState } from './state.ts'

/** One page's request, without credentials. */
export type PageRequest = {
  readonly method: 'GET' | 'POST'
  readonly url: string
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | null
}

/** The request of the run's next page. */
export function requestOf(spec: PollSpec, state: PollState, run: PollRun): PageRequest {
  const values = valuesOf(spec, state, run)
  const followed = spec.pages?.kind === 'link' ? run.page.token : null
  const url = followed ?? urlOf(spec, values)
  const body = bodyOf(spec, values)
  return {
    method: spec.method,
    url,
    headers: {
      accept: 'application/json',
      ...(body === null ? {} : { 'content-type': 'application/json' }),
      ...spec.headers,
      ...conditions(state, spec, url),
    },
    body: body === null ? null : JSON.stringify(body),
  }
}

function valuesOf(spec: PollSpec, state: PollState, run: PollRun): TemplateValues {
  const format = spec.cursor?.kind === 'time' ? spec.cursor.format : null
  const shown = (value: string | null): TemplateValue =>
    value === null || format === null ? value : formatTime(value, format)
  return {
    since: spec.cursor?.kind === 'offset' ? run.page.offset : shown(run.from),
    until: shown(run.until),
    page: run.page.token,
    offset: run.page.offset + (spec.pages?.kind === 'offset' ? spec.pages.first : 0),
    number: run.page.number,
    size: state.size,
  }
}

function urlOf(spec: PollSpec, values: TemplateValues): string {
  // A value that is put into the path must not reach beyond its segment.
  const escaped = Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, value === null ? null : encodeURIComponent(value)]),
  ) as TemplateValues
  const url = new URL(spec.address + String(render(spec.path, escaped) ?? ''))
  for (const [name, template] of Object.entries(spec.query)) {
    const value = render(template, values)
    if (value !== null) url.searchParams.set(name, String(value))
  }
  return url.href
}

function bodyOf(spec: PollSpec, values: TemplateValues): unknown {
  if (spec.graphql !== null) {
    return { query: spec.graphql.query, variables: renderTree(spec.graphql.variables, values) }
  }
  return spec.body === null ? null : renderTree(spec.body, values)
}

/**
 * Only a whole list in one page can be told unchanged: the other pages of a longer one would have to be asked all the same. A sweep
 * has to see what is there.
 */
function conditions({ validators }: PollState, spec: PollSpec, url: string): Record<string, string> {
  if (validators === null || spec.pages !== null || spec.deletes === 'sweep' || validators.url !== url) return {}
  return {
    ...(validators.etag === null ? {} : { 'if-none-match': validators.etag }),
    ...(validators.lastModified === null ? {} : { 'if-modified-since': validators.lastModified }),
  }
}
