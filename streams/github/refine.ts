import { deadLetter, ok, type Refine } from '@mesh/client/refine'
import type { Activity, RawActivity } from './generated.ts'

type Part = Readonly<Record<string, unknown>>

/** Events whose subject does not have the event's own name. */
const SUBJECTS: Readonly<Record<string, string>> = {
  branch_protection_rule: 'rule',
  code_scanning_alert: 'alert',
  commit_comment: 'comment',
  dependabot_alert: 'alert',
  deploy_key: 'key',
  discussion_comment: 'comment',
  fork: 'forkee',
  installation_repositories: 'installation',
  installation_target: 'account',
  issue_comment: 'comment',
  issues: 'issue',
  membership: 'member',
  meta: 'hook',
  org_block: 'blocked_user',
  organization: 'organization',
  page_build: 'build',
  ping: 'hook',
  public: 'repository',
  pull_request_review: 'review',
  pull_request_review_comment: 'comment',
  pull_request_review_thread: 'thread',
  push: 'head_commit',
  repository_vulnerability_alert: 'alert',
  secret_scanning_alert: 'alert',
  security_advisory: 'security_advisory',
  team_add: 'team',
  workflow_dispatch: 'workflow',
}

export const refine: Refine<RawActivity, Activity> = (event, { record }) => {
  const name = record.headers['x-github-event']
  if (!name) return deadLetter('GITHUB_EVENT', 'the x-github-event header is missing')
  const subject = SUBJECTS[name] ?? name
  const about = part(event[subject])
  const parent = part(event['issue']) ?? part(event['pull_request']) ?? part(event['discussion'])
  return ok({
    event: name,
    action: text(event.action),
    deliveryId: record.eventId,
    repository: text(event.repository?.full_name),
    repositoryId: integer(event.repository?.id),
    organization: text(event.organization?.login),
    actor: text(event.sender?.login),
    actorId: integer(event.sender?.id),
    installationId: integer(event.installation?.id),
    subject: about ? subject : null,
    subjectId: integer(about?.['id']),
    number: integer(event['number']) ?? integer(parent?.['number']) ?? integer(about?.['number']),
    title: titleOf(about) ?? titleOf(parent),
    state: text(event['state']) ?? text(about?.['conclusion']) ?? text(about?.['state']) ?? text(about?.['status']),
    url:
      text(about?.['html_url']) ??
      text(event['compare']) ??
      text(event['target_url']) ??
      text(parent?.['html_url']) ??
      text(event.repository?.html_url),
    ref: refOf(event, about),
    commits: Array.isArray(event['commits']) ? event['commits'].length : 0,
    occurredAt: newestOf(about) ?? newestOf(event) ?? new Date(record.eventTime).toISOString(),
  })
}

function titleOf(about: Part | null): string | null {
  if (!about) return null
  const message = text(about['message'])
  return (
    text(about['title']) ??
    text(about['summary']) ??
    text(about['name']) ??
    text(about['full_name']) ??
    text(about['login']) ??
    (message === null ? null : (message.split('\n')[0] ?? null))
  )
}

function refOf(event: RawActivity, about: Part | null): string | null {
  return (
    text(event['ref']) ??
    text(part(part(event['pull_request'])?.['head'])?.['ref']) ??
    text(about?.['head_branch']) ??
    text(about?.['tag_name']) ??
    text(part(event['deployment'])?.['ref'])
  )
}

/** The newest time that the part itself tells; GitHub writes RFC 3339 with whole seconds, or epoch seconds in a push. */
function newestOf(about: Part | null): string | null {
  if (!about) return null
  for (const name of [
    'updated_at',
    'completed_at',
    'submitted_at',
    'published_at',
    'created_at',
    'timestamp',
    'starred_at',
  ]) {
    const time = Date.parse(text(about[name]) ?? '')
    if (!Number.isNaN(time)) return new Date(time).toISOString()
  }
  return null
}

const part = (value: unknown): Part | null =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Part) : null
const text = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null)
const integer = (value: unknown): number | null => (Number.isSafeInteger(value) ? (value as number) : null)
