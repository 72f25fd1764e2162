import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const DAYS = ['-days', '2']
const NEW_KEY = ['-newkey', 'rsa:2048', '-nodes']
const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: 'pipe' })

export type TlsFiles = { readonly ca: string; readonly cert: string; readonly key: string }

export type ClientFiles = { readonly cert: string; readonly key: string }

/** A certificate authority made for this moment, and a certificate of it for 127.0.0.1; needs openssl. */
export function makeTlsFiles(folder: string): TlsFiles {
  mkdirSync(folder, { recursive: true })
  const file = (name: string): string => join(folder, name)
  writeFileSync(file('names.cnf'), 'subjectAltName=IP:127.0.0.1,DNS:localhost\n')
  openssl(
    'req',
    '-x509',
    ...NEW_KEY,
    ...DAYS,
    '-subj',
    '/CN=test authority',
    '-keyout',
    file('ca.key'),
    '-out',
    file('ca.crt'),
  )
  openssl('req', ...NEW_KEY, '-subj', '/CN=localhost', '-keyout', file('server.key'), '-out', file('server.csr'))
  const signed = ['-CA', file('ca.crt'), '-CAkey', file('ca.key'), '-CAcreateserial', '-extfile', file('names.cnf')]
  openssl('x509', '-req', ...DAYS, '-in', file('server.csr'), ...signed, '-out', file('server.crt'))
  return { ca: file('ca.crt'), cert: file('server.crt'), key: file('server.key') }
}

/** A certificate for a client of that name, by the authority that `makeTlsFiles` made in the folder. */
export function makeClientFiles(folder: string, name: string): ClientFiles {
  const file = (ending: string): string => join(folder, `${name}.${ending}`)
  openssl('req', ...NEW_KEY, '-subj', `/CN=${name}`, '-keyout', file('key'), '-out', file('csr'))
  const signed = ['-CA', join(folder, 'ca.crt'), '-CAkey', join(folder, 'ca.key'), '-CAcreateserial']
  openssl('x509', '-req', ...DAYS, '-in', file('csr'), ...signed, '-out', file('crt'))
  return { cert: file('crt'), key: file('key') }
}
