// Has `pg` execute STATEMENTS (JSON: [text, values] each) in a run, one client and then a pool by callback, and prints results.
// Usage: node capture_rows.mjs FOLDER, where FOLDER holds node_modules with pg.
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { captureFromEnvironment } from "../../../clients/typescript/src/index.js";

const require = createRequire(pathToFileURL(resolve(process.argv[2], "package.json")));
const pg = require("pg");
const { DATABASE, STATEMENTS, MESSAGES } = process.env;
const capture = captureFromEnvironment();
const options = { messages: MESSAGES === "yes", reportRows: true, database: "shop", keys: { payments: ["request"] } };
const run = { run: "run_1", task: "pay", attempt: 2, event: "evt-1" };
const client = capture.pg(new pg.Client({ connectionString: DATABASE }), options);
await client.connect();
const results = [];
await capture.run(run, async () => {
  for (const [text, values] of JSON.parse(STATEMENTS)) {
    try {
      const { rows, rowCount, fields } = await client.query(text, values);
      results.push({ rows, rowCount, fields: fields.length });
    } catch (error) {
      results.push({ error: error.code });
    }
  }
});
await client.query("DELETE FROM orders WHERE id = 'of-nobody'"); // of no run
await client.end();

const pool = capture.pg(new pg.Pool({ connectionString: DATABASE, max: 1 }), options);
const settle = { name: "settle", text: "UPDATE orders SET total = 0 WHERE id = $1" };
const called = (values) => new Promise((done) => pool.query({ ...settle, values }, (error, result) => done(error ? String(error) : result.rowCount)));
results.push(await called(["of-nobody"])); // prepared outside of a run: in one it is another statement
results.push(await capture.run({ ...run, run: "run_2" }, () => called(["o-1"])));
await pool.end();
console.log(JSON.stringify({ results, lost: capture.lost() }));
process.exit(0);
