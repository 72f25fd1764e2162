import { BSON, type Document } from 'mongodb'

// The driver's own copy of bson: what it hands over is of no class that `import 'bson'` has.
const { EJSON } = BSON

/** Change events in the shapes of MongoDB's manual ("Change Events"), as the driver hands them over with BSON's own types. */
const TOKEN = '82635019A0000000012B042C0100296E5A1004'
const ID = '{"$oid":"65f0c0ffee65f0c0ffee0001"}'
const COMMON =
  `"_id":{"_data":"${TOKEN}"},"clusterTime":{"$timestamp":{"t":1700000000,"i":3}},` +
  '"wallTime":{"$date":{"$numberLong":"1700000000123"}},"ns":{"db":"shop","coll":"orders"}'
const KEY = `"documentKey":{"_id":${ID}}`

const event = (fields: string): Document => EJSON.parse(`{${COMMON},${fields}}`, { relaxed: false }) as Document

export const INSERT: Document = event(
  `"operationType":"insert",${KEY},"fullDocument":{"_id":${ID},"n":{"$numberLong":"9007199254740993"},` +
    '"i":{"$numberInt":"5"},"d":{"$numberDouble":"5.0"},"nan":{"$numberDouble":"NaN"},"price":{"$numberDecimal":"0.10000000000000000000000000000001"},' +
    '"at":{"$date":{"$numberLong":"-86400000"}},"raw":{"$binary":{"base64":"aGk=","subType":"00"}},' +
    '"uuid":{"$binary":{"base64":"AAECAwQFBgcICQoLDA0ODw==","subType":"04"}},"op":{"$timestamp":{"t":1,"i":2}},' +
    '"re":{"$regularExpression":{"pattern":"^a","options":"i"}},"ref":{"$ref":"people","$id":{"$oid":"65f0c0ffee65f0c0ffee0002"},"$db":"crm"},' +
    '"min":{"$minKey":1},"none":null,"tags":["a",{"b":true}]}',
)
export const UPDATE: Document = event(
  `"operationType":"update",${KEY},"updateDescription":{"updatedFields":{"email":"alice@10gen.com","items.1":{"$numberLong":"7"}},` +
    '"removedFields":["phoneNumber"],"truncatedArrays":[{"field":"items","newSize":{"$numberInt":"2"}}]},' +
    `"fullDocument":{"_id":${ID},"email":"alice@10gen.com"},"fullDocumentBeforeChange":{"_id":${ID},"email":"a@10gen.com"}`,
)
/** The document was gone when it was looked up. */
export const UPDATE_GONE: Document = event(
  `"operationType":"update",${KEY},"updateDescription":{"updatedFields":{"a":{"$numberInt":"1"}},"removedFields":[],"truncatedArrays":[]},"fullDocument":null`,
)
export const REPLACE: Document = event(
  `"operationType":"replace",${KEY},"fullDocument":{"_id":${ID},"b":{"$numberInt":"1"}},"fullDocumentBeforeChange":null`,
)
export const DELETE: Document = event(`"operationType":"delete",${KEY}`)
export const DELETE_WITH_PRE_IMAGE: Document = event(
  `"operationType":"delete",${KEY},"fullDocumentBeforeChange":{"_id":${ID},"b":{"$numberInt":"1"}}`,
)
export const IN_TRANSACTION: Document = event(
  `"operationType":"insert",${KEY},"fullDocument":{"_id":${ID}},"txnNumber":{"$numberLong":"9007199254740993"},` +
    '"lsid":{"id":{"$binary":{"base64":"AAECAwQFBgcICQoLDA0ODw==","subType":"04"}},"uid":{"$binary":{"base64":"aGk=","subType":"00"}}}',
)
export const DROP: Document = event('"operationType":"drop"')
export const DROP_DATABASE: Document = event('"operationType":"dropDatabase"')
export const RENAME: Document = event('"operationType":"rename","to":{"db":"shop","coll":"old.orders"}')
export const INVALIDATE: Document = event('"operationType":"invalidate"')
export const MODIFY: Document = event('"operationType":"modify","operationDescription":{}')
export const withFields = (base: Document, fields: Document): Document => ({ ...base, ...fields })
