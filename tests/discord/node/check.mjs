// Reads a line of JSON a body, {schema, body}, and writes a line with what Discord's own schema finds wrong in it.
import * as readline from 'node:readline';
import * as schemas from 'discord-api-spec/zod';

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { schema, body } = JSON.parse(line);
  const known = schemas[`${schema}Schema`];
  let problems;
  if (known === undefined) {
    problems = [`no schema named ${schema}`];
  } else {
    const result = known.safeParse(body);
    problems = result.success ? [] : result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  }
  process.stdout.write(`${JSON.stringify(problems)}\n`);
}
