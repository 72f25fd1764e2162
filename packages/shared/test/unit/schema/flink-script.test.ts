import { expect, test } from 'vitest'
import { type FlinkScript, parseFlinkScript } from '../../../src/schema/flink-script.ts'

const read = (text: string, values: Record<string, string> = { topic: 't', 'mesh.run': 'r.1' }): FlinkScript =>
  parseFlinkScript(text, values)

test('a script is its statements, each with its line; comments, strings and quoted names hide a semicolon', () => {
  const { statements, problems } = read(`-- a; comment
CREATE TABLE a (x STRING COMMENT 'it''s; one', \`y;\` INT);

/* ; */ INSERT INTO a
SELECT 'END;', 1; -- the end;
`)
  expect(problems).toEqual([])
  expect(statements.map(({ line, targets }) => [line, targets])).toEqual([
    [2, []],
    [4, ['a']],
  ])
  expect(statements[0]!.text).toBe("CREATE TABLE a (x STRING COMMENT 'it''s; one', `y;` INT)")
})

test('a statement set is one statement, whatever ends inside it', () => {
  const { statements, problems } = read(`CREATE VIEW v AS SELECT 1;
EXECUTE STATEMENT SET BEGIN
  INSERT INTO a SELECT CASE WHEN x THEN 'INSERT INTO c' END FROM v;
  INSERT OVERWRITE \`b\` SELECT 1;
END;`)
  expect(problems).toEqual([])
  expect(statements.at(-1)).toMatchObject({ line: 2, targets: ['a', 'b'] })
})

test('values are filled in as SQL text', () => {
  expect(read("INSERT INTO a SELECT '${topic}'", { topic: "it's" }).statements[0]!.text).toBe(
    "INSERT INTO a SELECT 'it''s'",
  )
})

test.for([
  [
    'a value nobody gave',
    'CREATE VIEW v AS\nSELECT ${tpoic};\nINSERT INTO a SELECT 1',
    2,
    /no \$\{tpoic\}; there are: topic/,
  ],
  ['no INSERT', 'CREATE VIEW v AS SELECT 1;', 1, /nothing is inserted/],
  ['two jobs', 'INSERT INTO a SELECT 1;\nINSERT INTO b SELECT 1;', 2, /one EXECUTE STATEMENT SET/],
  ['a definition after the INSERT', 'INSERT INTO a SELECT 1;\nCREATE VIEW v AS SELECT 1', 1, /last statement/],
  ['a query', 'SELECT 1;\nINSERT INTO a SELECT 1', 1, /does not SELECT/],
] as const)('%s is a problem with its line', ([, text, line, reason]) => {
  expect(read(text).problems).toEqual([{ line, reason: expect.stringMatching(reason) }])
})
