/**
 * A connection that several streams share (`sources/<name>.yaml`), after loading: defaults filled in. A text may be `env:NAME`, and a
 * secret is always `env:NAME` or `file:/path`: what a reference stands for is read where it is used and never stored.
 */
type Named = { readonly name: string; readonly description: string; readonly owner: string }

/** `file:/path` of a PEM with the certificates that the server's is checked against; absent = the public ones. */
export type CaFile = string

/** `file:/path` of PEMs: who the mesh is to a server that asks for a certificate. Either both or none. */
export type ClientCertificate = {
  /** With the certificates between it and the authority, where there are any. */
  readonly cert?: string
  /** Unencrypted, PKCS #8. */
  readonly key?: string
}

export type PostgresSource = Named &
  ClientCertificate & {
    readonly kind: 'postgres'
    readonly host: string
    readonly port: string
    readonly database: string
    readonly user: string
    /** Null = the server asks for none. */
    readonly password: string | null
    readonly ssl: 'disable' | 'prefer' | 'require' | 'verify-ca' | 'verify-full'
    readonly ca?: CaFile
    /** managed: the mesh creates publication, signal table and slot. existing: a DBA did; they are only checked. */
    readonly publication: 'managed' | 'existing'
    /** Schema of the mesh's signal table. */
    readonly signalSchema: string
    /** initial: the rows there are, then changes. none: changes only. */
    readonly snapshot: 'initial' | 'none'
    readonly heartbeatMs: number
  }

export type MongodbSource = Named & {
  readonly kind: 'mongodb'
  /** Holds credentials: a reference, unless it has none. */
  readonly url: string
  /** driver: the gateway reads the change streams. connect: Debezium does. */
  readonly reader: 'driver' | 'connect'
  /** initial: the documents there are, then changes. none: changes only. Absent, as all below, in older bundles: the first value. */
  readonly snapshot?: 'initial' | 'none'
  /** The document after an update. lookup: as it is when it is read. post-image: as it was, where the collection keeps images. */
  readonly updates?: 'lookup' | 'post-image'
  /** A change over what a raw record holds. fail: the source stops there. dead-letter: it goes on without its documents. driver only. */
  readonly oversize?: 'fail' | 'dead-letter'
  readonly heartbeatMs?: number
}

/** Any connector of Kafka Connect; its keys are passed on as they are, references become Connect's own. */
export type ConnectSource = Named & {
  readonly kind: 'connect'
  readonly config: Readonly<Record<string, string>>
}

export type RedisSource = Named &
  ClientCertificate & {
    readonly kind: 'redis'
    readonly host: string
    readonly port: string
    readonly user: string | null
    readonly password: string | null
    readonly tls: boolean
    readonly ca?: CaFile
    readonly database: number
  }

export type HttpAuth =
  | { readonly type: 'bearer'; readonly token: string }
  | { readonly type: 'basic'; readonly user: string; readonly password: string }
  | { readonly type: 'header'; readonly name: string; readonly value: string }
  | { readonly type: 'query'; readonly name: string; readonly value: string }
  | {
      readonly type: 'oauth2'
      readonly tokenUrl: string
      readonly clientId: string
      readonly clientSecret: string
      readonly scope: string | null
    }

export type HttpSource = Named &
  ClientCertificate & {
    readonly kind: 'http'
    readonly url: string
    readonly ca?: CaFile
    readonly auth: HttpAuth | null
    readonly headers: Readonly<Record<string, string>>
    readonly timeoutMs: number
    /** Of one answer, decoded. */
    readonly maxBytes: number
    readonly limits: { readonly requestsPerMinute: number | null; readonly concurrency: number }
  }

export type KafkaSource = Named &
  ClientCertificate & {
    readonly kind: 'kafka'
    readonly brokers: string
    readonly tls: boolean
    readonly ca?: CaFile
    readonly sasl: {
      readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'
      readonly user: string
      readonly password: string
    } | null
    /** Where the schemas of its records are. */
    readonly registry: { readonly url: string; readonly user: string | null; readonly password: string | null } | null
  }

export type Source = PostgresSource | MongodbSource | ConnectSource | RedisSource | HttpSource | KafkaSource
export type SourceKind = Source['kind']

/** The sources that a stream's ingests name, by name. */
export type Sources = Readonly<Record<string, Source>>
