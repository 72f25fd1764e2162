import { chmodSync, copyFileSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { chown } from 'node:fs/promises'
import { join } from 'node:path'
import { makeClientFiles, makeTlsFiles } from '@mesh/shared/testing/tls-files'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { renderSources } from '../../packages/cli/src/commands/sources.ts'
import { type CdcWorld, startCdcWorld } from './cdc-world.ts'

const START_TIMEOUT_MS = 600_000

/** The superuser is let in as he is; everyone else needs a password, `mesh_tls` an encrypted connection besides, and `mesh_cert` a certificate. */
const HBA = `
local   all  all                    trust
host    all  postgres  127.0.0.1/32 trust
hostssl all  mesh_tls  127.0.0.1/32 scram-sha-256
host    all  mesh_tls  127.0.0.1/32 reject
hostssl all  mesh_cert 127.0.0.1/32 cert
host    all  mesh_cert 127.0.0.1/32 reject
host    all  all       127.0.0.1/32 scram-sha-256
host    replication all 127.0.0.1/32 scram-sha-256
`

describe('access to a PostgreSQL that checks', () => {
  let world: CdcWorld
  let dataDir: string

  beforeAll(async () => {
    world = await startCdcWorld()
    dataDir = join(world.projectDir, '.mesh', 'postgres', 'data')
    writeFileSync(join(dataDir, 'pg_hba.conf'), HBA)
    await world.sql('select pg_reload_conf()')
  }, START_TIMEOUT_MS)
  afterAll(() => world?.stop())

  const as = (user: string, more = ''): string =>
    `database: postgres\nuser: ${user}\npassword: env:DB_PASSWORD\nheartbeat: 1s\n${more}`
  const refusals = (): number =>
    readFileSync(join(world.projectDir, '.mesh', 'logs', 'postgres.log'), 'utf8').split(
      'password authentication failed',
    ).length - 1
  const isRunning = ({ state, problems }: { state: string; problems: readonly unknown[] }): boolean =>
    state === 'running' && problems.length === 0

  it('a wrong password is told with its way out, asked again with pauses, and right again it goes on by itself', async () => {
    await world.sql("create role mesh_pw login replication password 'not this'")
    await world.sql('grant create on database postgres to mesh_pw')
    await world.sql('create table locked (id int primary key, note text)')
    await world.sql('alter table locked owner to mesh_pw')
    await world.sql("insert into locked values (1, 'before')")
    world.source('locked', as('mesh_pw'))
    await world.stream('locked', 'locked', 'public.locked')

    const told = await world.report('locked', ({ state }) => state === 'failed', 'to tell of the password')
    expect(told.problems).toMatchObject([{ code: 'MESH_SOURCE_AUTH' }])
    expect(told.connector).toBeNull()
    const text = renderSources([told])
    expect(text).toContain('password authentication failed for user "mesh_pw"')
    expect(text).toContain('Check user, password and database of the source.')
    expect(text).not.toContain('correct')
    const since = Date.now()
    const first = refusals()
    await expect.poll(() => Date.now() - since > 12_000, { timeout: 60_000 }).toBe(true)
    // Rounds are 300 ms apart; asked again after 5 s and more. A busy machine watches for longer than it meant to.
    const asked = refusals() - first
    expect(asked).toBeLessThanOrEqual(1 + Math.floor((Date.now() - since) / 5000))

    await world.sql("alter role mesh_pw password 'correct'")
    await world.report('locked', isRunning, 'to run')
    const raw = await world.raw('locked')
    await raw.until((records) => records.some(({ key }) => key === '1'), 'the row that was there')

    await world.sql("alter role mesh_pw password 'changed'")
    await world.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'mesh_pw'")
    const away = await world.report('locked', ({ state }) => state === 'failed', 'to tell of the changed password')
    expect(away.problems[0]?.code).toBe('MESH_SOURCE_AUTH')
    await world.sql("insert into locked values (2, 'meanwhile')")
    await world.sql("alter role mesh_pw password 'correct'")
    await world.report('locked', isRunning, 'to run again')
    await raw.until((records) => records.some(({ key }) => key === '2'), 'what happened meanwhile')
  })

  it('a role that may not publish is told so, and a DBA who runs the statements of the messages helps it', async () => {
    await world.sql("create role mesh_reader login replication password 'correct'")
    await world.sql('create table guarded (id int primary key, note text)')
    world.source('guarded', as('mesh_reader', 'signalSchema: capture\n'))
    await world.stream('guarded', 'guarded', 'public.guarded')
    const unreadable = await world.report('guarded', ({ state }) => state === 'failed', 'to tell of SELECT')
    expect(unreadable.problems).toMatchObject([{ code: 'MESH_SOURCE_RIGHTS' }])
    expect(unreadable.problems[0]?.message).toContain('GRANT SELECT ON "public"."guarded"')
    await world.sql('grant select on guarded to mesh_reader')
    const refused = await world.report(
      'guarded',
      ({ problems }) => problems.some(({ message }) => message.includes('permission denied for database')),
      'to tell of CREATE',
    )
    expect(refused.problems).toMatchObject([{ code: 'MESH_SOURCE_RIGHTS' }])
    expect(renderSources([refused])).toContain('publication: existing')
    const creations = (): number =>
      readFileSync(join(world.projectDir, '.mesh', 'logs', 'postgres.log'), 'utf8').split(
        'permission denied for database',
      ).length - 1
    const since = Date.now()
    const begun = creations()
    await expect.poll(() => Date.now() - since > 8000, { timeout: 60_000 }).toBe(true)
    // Rounds are 300 ms apart; asked again after 5 s, 10 s, …
    const tried = creations() - begun
    expect(tried).toBeLessThanOrEqual(1 + Math.floor((Date.now() - since) / 5000))

    world.source('guarded', as('mesh_reader', 'publication: existing\nsignalSchema: capture\n'))
    await world.stream('guarded', 'guarded', 'public.guarded')
    const asked = await world.report(
      'guarded',
      ({ problems }) => problems.length === 2 && problems.every(({ code }) => code === 'MESH_SOURCE_PUBLICATION'),
      'to name what is missing',
    )
    expect(asked).toMatchObject({ state: 'failed', connector: null })
    await world.sql("insert into guarded values (1, 'before it is published')")
    for (const { message } of asked.problems) await world.sql(message.slice(message.search(/CREATE |ALTER /)))
    await world.report('guarded', isRunning, 'to run with what the DBA made')
    const raw = await world.raw('guarded')
    await raw.until((records) => records.some(({ key }) => key === '1'), 'the row that was there')
    await world.sql("insert into guarded values (2, 'after')")
    await raw.until((records) => records.some(({ key }) => key === '2'), 'a change')
    const owned = await world.sql<{ owner: string }>(
      "select pg_get_userbyid(pubowner) as owner from pg_publication where pubname = 'mesh_guarded'",
    )
    expect(owned).toEqual([{ owner: 'postgres' }])
  })

  it('a table that the DBA has not published yet waits, and no change of it is lost', async () => {
    await world.sql('create table unpublished (id int primary key, note text)')
    await world.sql('grant select on unpublished to mesh_reader')
    await world.sql("insert into unpublished values (1, 'first')")
    await world.stream('unpublished', 'guarded', 'public.unpublished')
    await world.stream('guarded', 'guarded', 'public.guarded')
    const told = await world.report(
      'guarded',
      ({ state, problems }) => state === 'running' && problems.length === 1,
      'to name the table and run on',
    )
    expect(told.state).toBe('running')
    expect(told.problems[0]?.message).toContain('ALTER PUBLICATION mesh_guarded ADD TABLE "public"."unpublished"')
    await world.sql("update unpublished set note = 'changed before it was published'")
    await world.sql('alter publication mesh_guarded add table unpublished')
    const raw = await world.raw('unpublished')
    await raw.until(() => raw.folded().get('1')?.['note'] === 'changed before it was published', 'the row as it is')
    await world.report('guarded', isRunning, 'to run whole')
  })

  it('with verify-full every connection is encrypted and checked, and a certificate of another authority is refused', async () => {
    const good = makeTlsFiles(join(world.projectDir, 'tls'))
    const other = makeTlsFiles(join(world.projectDir, 'other-tls'))
    const { uid, gid } = statSync(dataDir)
    for (const [from, name] of [
      [good.cert, 'server.crt'],
      [good.key, 'server.key'],
    ] as const) {
      copyFileSync(from, join(dataDir, name))
      chmodSync(join(dataDir, name), 0o600)
      await chown(join(dataDir, name), uid, gid)
    }
    await world.sql('alter system set ssl = on')
    await world.sql('select pg_reload_conf()')
    await world.sql("create role mesh_tls login replication password 'correct'")
    await world.sql('grant create on database postgres to mesh_tls')
    await world.sql('create table sealed (id int primary key)')
    await world.sql('alter table sealed owner to mesh_tls')
    await world.sql('insert into sealed values (1)')

    world.source('sealed', as('mesh_tls', `ssl: verify-full\nca: file:${other.ca}\nsignalSchema: sealed\n`))
    await world.stream('sealed', 'sealed', 'public.sealed')
    // The server may not have turned encryption on yet when it is asked first.
    const told = await world.report(
      'sealed',
      ({ problems }) => problems.some(({ message }) => message.includes('certificate')),
      'to tell of the certificate',
    )
    expect(told.problems).toMatchObject([{ code: 'MESH_SOURCE_UNREACHABLE' }])
    expect(told.problems[0]?.message).toContain('certificate')

    world.source('sealed', as('mesh_tls', `ssl: verify-full\nca: file:${good.ca}\nsignalSchema: sealed\n`))
    await world.stream('sealed', 'sealed', 'public.sealed')
    await world.report('sealed', isRunning, 'to run')
    const raw = await world.raw('sealed')
    await raw.until((records) => records.some(({ key }) => key === '1'), 'the row that was there')
    await world.sql('insert into sealed values (2)')
    await raw.until((records) => records.some(({ key }) => key === '2'), 'a change')
    const connections = await world.sql<{ ssl: boolean; walsender: boolean }>(
      `select s.ssl, a.backend_type = 'walsender' as walsender from pg_stat_ssl s join pg_stat_activity a using (pid)
       where a.usename = 'mesh_tls'`,
    )
    expect(connections.every(({ ssl }) => ssl)).toBe(true)
    expect(connections.some(({ walsender }) => walsender)).toBe(true)
  })

  it('a certificate is all that a role needs which has no password, and one of another name is refused', async () => {
    const folder = join(world.projectDir, 'tls')
    const own = makeClientFiles(folder, 'mesh_cert')
    const other = makeClientFiles(folder, 'somebody')
    const { uid, gid } = statSync(dataDir)
    copyFileSync(join(folder, 'ca.crt'), join(dataDir, 'clients.crt'))
    await chown(join(dataDir, 'clients.crt'), uid, gid)
    await world.sql("alter system set ssl_ca_file = 'clients.crt'")
    await world.sql('select pg_reload_conf()')
    await world.sql('create role mesh_cert login replication')
    await world.sql('grant create on database postgres to mesh_cert')
    await world.sql('create table certified (id int primary key)')
    await world.sql('alter table certified owner to mesh_cert')
    await world.sql('insert into certified values (1)')
    const shown = (files: { cert: string; key: string }): string =>
      `database: postgres\nuser: mesh_cert\nheartbeat: 1s\nssl: verify-full\nca: file:${join(folder, 'ca.crt')}\ncert: file:${files.cert}\nkey: file:${files.key}\nsignalSchema: certified\n`

    world.source('certified', shown(other))
    await world.stream('certified', 'certified', 'public.certified')
    // The server may not have read its settings anew yet when it is asked first.
    const told = await world.report(
      'certified',
      ({ problems }) => problems.some(({ code }) => code === 'MESH_SOURCE_AUTH'),
      'to tell of the name',
    )
    expect(told.problems).toMatchObject([{ code: 'MESH_SOURCE_AUTH' }])
    expect(told.problems[0]?.message).toContain('certificate authentication failed')

    world.source('certified', shown(own))
    await world.stream('certified', 'certified', 'public.certified')
    await world.report('certified', isRunning, 'to run')
    const raw = await world.raw('certified')
    await raw.until((records) => records.some(({ key }) => key === '1'), 'the row that was there')
    await world.sql('insert into certified values (2)')
    await raw.until((records) => records.some(({ key }) => key === '2'), 'a change')
    const shownTo = await world.sql<{ subject: string | null; walsender: boolean }>(
      `select s.client_dn as subject, a.backend_type = 'walsender' as walsender from pg_stat_ssl s join pg_stat_activity a
       using (pid) where a.usename = 'mesh_cert'`,
    )
    expect(shownTo.some(({ walsender }) => walsender)).toBe(true)
    expect(shownTo.every(({ subject }) => subject === '/CN=mesh_cert')).toBe(true)
  })
})
