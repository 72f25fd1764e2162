import { MeshError } from '@mesh/shared/core/errors'
import { at } from '@mesh/shared/core/json-pointer'
import { header, type RecordHeader } from '@mesh/shared/core/record'
import { type EventAttributes, NO_ATTRIBUTES } from './event-attributes.ts'
import type { RequestHeaders } from './ports.ts'

/** Headers of a GitHub delivery that are kept on the record. */
export const GITHUB_HEADERS: readonly string[] = [
  'x-github-delivery',
  'x-github-event',
  'x-github-hook-id',
  'x-github-hook-installation-target-id',
  'x-github-hook-installation-target-type',
  'x-github-enterprise-host',
  'x-github-enterprise-version',
]

const EVENT_NAME = /^[A-Za-z0-9_]{1,100}$/

/**
 * A verified delivery's attributes: id = X-GitHub-Delivery (the same on redelivery), type = `com.github.<event>`, source = the
 * repository's address, else the organization's, else GitHub's.
 * @throws MeshError MESH_WEBHOOK_HEADER
 */
export function githubAttributes(headers: RequestHeaders, event: unknown): EventAttributes {
  const id = headers['x-github-delivery']?.trim()
  if (!id) throw new MeshError('MESH_WEBHOOK_HEADER', 'the delivery has no X-GitHub-Delivery header')
  const name = headers['x-github-event'] ?? ''
  if (!EVENT_NAME.test(name)) {
    throw new MeshError('MESH_WEBHOOK_HEADER', 'the delivery has no X-GitHub-Event header, or it is not an event name')
  }
  return { ...NO_ATTRIBUTES, id, type: `com.github.${name}`, source: githubSource(event) }
}

export function githubHeaders(headers: RequestHeaders): RecordHeader[] {
  return GITHUB_HEADERS.flatMap((name) => (headers[name] === undefined ? [] : [header(name, headers[name])]))
}

function githubSource(event: unknown): string {
  const repository = at(event, '/repository/html_url')
  if (typeof repository === 'string' && repository !== '') return repository
  const organization = at(event, '/organization/login')
  return typeof organization === 'string' && organization !== ''
    ? `https://github.com/${encodeURIComponent(organization)}`
    : 'https://github.com'
}
