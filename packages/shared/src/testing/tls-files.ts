import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export type TlsFiles = { readonly ca: string; readonly cert: string; readonly key: string }

/** A certificate authority made for this moment, and a certificate of it for 127.0.0.1; needs openssl. */
export function makeTlsFiles(folder: string): TlsFiles {
  mkdirSync(folder, { recursive: true })
  const file = (name: string): string => join(folder, name)
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: 'pipe' })
  const days = ['-days', '2']
  const key = ['-newkey', 'rsa:2048', '-nodes']
  writeFileSync(file('names.cnf'), 'subjectAltName=IP:127.0.0.1,DNS:localhost\n')
  openssl(
    'req',
    '-x509',
    ...key,
    ...days,
    '-subj',
    '/CN=test authority',
    '-keyout',
    file('ca.key'),
    '-out',
    file('ca.crt'),
  )
  openssl('req', ...key, '-subj', '/CN=localhost', '-keyout', file('server.key'), '-out', file('server.csr'))
  const signed = ['-CA', file('ca.crt'), '-CAkey', file('ca.key'), '-CAcreateserial', '-extfile', file('names.cnf')]
  openssl('x509', '-req', ...days, '-in', file('server.csr'), ...signed, '-out', file('server.crt'))
  return { ca: file('ca.crt'), cert: file('server.crt'), key: file('server.key') }
}
