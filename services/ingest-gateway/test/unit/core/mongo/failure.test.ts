import { MongoClient, MongoNetworkError, MongoServerError } from 'mongodb'
import { describe, expect, test } from 'vitest'
import { mongoFailure, mongoTaskFailure } from '../../../../src/core/mongo/failure.ts'

const server = (code: number, codeName: string): MongoServerError =>
  new MongoServerError({ message: 'as the server says it', code, codeName })

describe('the trace of a failed task', () => {
  const trace = (error: string): string =>
    'org.apache.kafka.connect.errors.ConnectException: An exception occurred in the change event producer\n\tat x\n' +
    `Caused by: com.mongodb.MongoCommandException: ${error} on server db:27017. The full response is {}\n\tat y`

  test('says that the token is dead, or that an event is too large', () => {
    const dead = mongoTaskFailure(trace("Command failed with error 286 (ChangeStreamHistoryLost): 'gone'"), 'shop')
    expect(dead?.code).toBe('MESH_SOURCE_TOKEN_LOST')
    const newer = 'Command execution failed on MongoDB server with error 10334 (BSONObjectTooLarge)'
    expect(mongoTaskFailure(trace(newer), 'shop')?.code).toBe('MESH_SOURCE_EVENT_TOO_LARGE')
  })

  test('says nothing of what is not known', () => {
    expect(mongoTaskFailure(trace('Command failed with error 9 (FailedToParse)'), 'shop')).toBeNull()
    expect(mongoTaskFailure('java.lang.IllegalStateException: error 286', 'shop')).toBeNull()
  })
})

describe('an error of the driver', () => {
  test.each([
    [286, 'ChangeStreamHistoryLost', 'MESH_SOURCE_TOKEN_LOST', 'mesh sources resnapshot'],
    [280, 'ChangeStreamFatalError', 'MESH_SOURCE_TOKEN_LOST', 'mesh sources resnapshot'],
    [260, 'InvalidResumeToken', 'MESH_SOURCE_TOKEN_LOST', 'mesh sources resnapshot'],
    [136, 'CappedPositionLost', 'MESH_SOURCE_TOKEN_LOST', 'mesh sources resnapshot'],
    [10_334, 'BSONObjectTooLarge', 'MESH_SOURCE_EVENT_TOO_LARGE', 'oversize: dead-letter'],
    [40_573, 'Location40573', 'MESH_SOURCE_NO_REPLICA_SET', 'rs.initiate()'],
    [13, 'Unauthorized', 'MESH_SOURCE_RIGHTS', 'Grant'],
    [18, 'AuthenticationFailed', 'MESH_SOURCE_AUTH', 'user, password'],
    [8000, 'AtlasError', 'MESH_SOURCE_AUTH', 'user, password'],
    [9, 'FailedToParse', 'MESH_SOURCE_REFUSED', 'growing pauses'],
  ])('%i %s is %s with a way out', (code, codeName, expected, hint) => {
    const error = mongoFailure(server(code, codeName), 'shop: shop.orders')
    expect(error.code).toBe(expected)
    expect(error.hint).toContain(hint)
    expect(error.message).toContain(`${code} ${codeName}`)
    expect(error.place).toBe('shop: shop.orders')
  })

  test('of the network says that it is away', () => {
    expect(mongoFailure(new MongoNetworkError('connect ECONNREFUSED'), 'p').code).toBe('MESH_SOURCE_UNREACHABLE')
  })

  test('of the connection string never repeats it', () => {
    let thrown: unknown
    try {
      void new MongoClient('mongodb://user:hunter2@:nonsense:/?replicaSet')
    } catch (error) {
      thrown = error
    }
    const error = mongoFailure(thrown, 'p')
    expect(error.code).toBe('MESH_SOURCE_CONFIG')
    expect(JSON.stringify([error.message, error.cause])).not.toContain('hunter2')
  })
})
