import { pbkdf2Sync, randomBytes } from 'node:crypto'
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '@mesh/shared/testing/free-port'
import type { TlsFiles } from '@mesh/shared/testing/tls-files'
import { alterUserScramCredentialsV0, Connection, ScramMechanisms } from '@platformatic/kafka'
import { findJava } from '../../../../packages/cli/src/stack/java.ts'
import { kafkaSpec } from '../../../../packages/cli/src/stack/kafka.ts'
import { prepareFormat } from '../../../../packages/cli/src/stack/kafka-format.ts'
import { fetchWithMaven } from '../../../../packages/cli/src/stack/maven.ts'
import { createSupervisor } from '../../../../packages/cli/src/stack/supervisor.ts'

const ROOT = new URL('../../../../', import.meta.url).pathname
const ITERATIONS = 4096

export type SecureBroker = {
  /** Anyone, in plain text: for the test itself. */
  readonly plain: string
  /** TLS, and a user with a password. */
  readonly secure: string
  /** TLS, and a certificate of the same authority. */
  readonly certified: string
  stop(): Promise<void>
}

export type SecureBrokerOptions = {
  readonly cache: string
  readonly folder: string
  readonly tls: TlsFiles
  readonly user: string
  readonly password: string
}

/** A real broker beside the mesh's: a second listener asks for TLS and SASL (PLAIN, SCRAM-SHA-512), a third for a certificate. */
export async function startSecureBroker(options: SecureBrokerOptions): Promise<SecureBroker> {
  const { cache, folder, tls, user, password } = options
  const java = await findJava({ javaHome: process.env['JAVA_HOME'], path: process.env['PATH'] })
  const distribution = await fetchWithMaven({
    name: 'kafka',
    pom: join(ROOT, 'infra', 'local', 'kafka', 'pom.xml'),
    cache,
    java,
    env: process.env,
    prepare: (fetched) => prepareFormat(fetched, java),
  })
  const [port, controllerPort, securePort] = [await freePort(), await freePort(), await freePort()]
  const certifiedPort = await freePort()
  const spec = kafkaSpec({
    java,
    distribution,
    folder,
    port,
    controllerPort,
    env: process.env,
    tuning: 'quick',
    logFile: join(folder, 'kafka.log'),
    pidFile: join(folder, 'kafka.pid.json'),
  })
  const keystore = join(folder, 'keystore.pem')
  writeFileSync(keystore, readFileSync(tls.key, 'utf8') + readFileSync(tls.cert, 'utf8'))
  const login = 'org.apache.kafka.common.security'
  // The last line of a name counts.
  const lines = [
    `listeners=PLAINTEXT://127.0.0.1:${port},SECURE://127.0.0.1:${securePort},CERTIFIED://127.0.0.1:${certifiedPort},CONTROLLER://127.0.0.1:${controllerPort}`,
    `advertised.listeners=PLAINTEXT://127.0.0.1:${port},SECURE://127.0.0.1:${securePort},CERTIFIED://127.0.0.1:${certifiedPort}`,
    'listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL,CERTIFIED:SSL,CONTROLLER:PLAINTEXT',
    'listener.name.secure.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512',
    `listener.name.secure.plain.sasl.jaas.config=${login}.plain.PlainLoginModule required user_${user}="${password}";`,
    `listener.name.secure.scram-sha-512.sasl.jaas.config=${login}.scram.ScramLoginModule required;`,
    'listener.name.certified.ssl.client.auth=required',
    'ssl.truststore.type=PEM',
    `ssl.truststore.location=${tls.ca}`,
    'ssl.keystore.type=PEM',
    `ssl.keystore.location=${keystore}`,
  ]
  appendFileSync(join(folder, 'server.properties'), `${lines.join('\n')}\n`)
  const supervisor = createSupervisor()
  await supervisor.start([{ spec, port, restarts: false }])
  await addScramUser(port, user, password)
  return {
    plain: `127.0.0.1:${port}`,
    secure: `127.0.0.1:${securePort}`,
    certified: `127.0.0.1:${certifiedPort}`,
    stop: () => supervisor.stop(),
  }
}

/** RFC 5802: the broker keeps the salted password. */
async function addScramUser(port: number, name: string, password: string): Promise<void> {
  const salt = randomBytes(16)
  const saltedPassword = pbkdf2Sync(password, salt, ITERATIONS, 64, 'sha512')
  const connection = new Connection('secure-broker-test')
  await connection.connect('127.0.0.1', port)
  try {
    const upsertion = { name, mechanism: ScramMechanisms.SCRAM_SHA_512, iterations: ITERATIONS, salt, saltedPassword }
    await alterUserScramCredentialsV0.api.async(connection, [], [upsertion])
  } finally {
    await connection.close()
  }
}
