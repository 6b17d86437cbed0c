// Drives @shadow/capture with fetch, undici and pg as the environment says, and prints what came of it.
// Usage: node capture.mjs FOLDER, where FOLDER holds node_modules with undici and pg.
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { captureFromEnvironment, currentRun, fingerprints } from "../../../clients/typescript/src/index.js";

const require = createRequire(pathToFileURL(resolve(process.argv[2], "package.json")));
const undici = require("undici");
const pg = require("pg");
const { TARGET, DATABASE } = process.env;
const before = globalThis.fetch;
const capture = captureFromEnvironment();
const run = { run: "run_1", task: "pay", attempt: 2, event: "evt-1" };
const result = { active: capture.active, sameFetch: capture.fetch === before };

async function outcome(work) {
  try {
    const response = await work();
    return { status: response.status ?? response.statusCode };
  } catch (error) {
    const { name, message, after, retryAfter } = error;
    return { name, message, after, retryAfter };
  }
}

const undo = capture.install();
await capture.run(run, async () => {
  const body = JSON.stringify({ amount: 5 });
  result.call = await outcome(() => fetch(`${TARGET}/v1/transfers?a=1%2F2`, { method: "POST", body, headers: { "x-a": "b" } }));
  const streamed = new Request(`${TARGET}/v1/streamed`, { method: "POST", body: new Blob(["abc"]).stream(), duplex: "half" });
  result.streamed = await outcome(() => fetch(streamed));
  result.redirected = await outcome(() => fetch(`${TARGET}/v1/redirect`));
  result.manual = await outcome(() => fetch(`${TARGET}/v1/redirect`, { redirect: "manual" }));
  result.waited = await outcome(() => fetch(`${TARGET}/v1/wait`));
  result.denied = await outcome(() => fetch("http://evil.test/collect"));
  const dispatcher = new undici.Agent().compose(capture.undici());
  result.undici = {
    call: await outcome(() => undici.request(`${TARGET}/v1/undici`, { method: "POST", body: "abc", dispatcher })),
    waited: await outcome(() => undici.request(`${TARGET}/v1/wait`, { dispatcher })),
    denied: await outcome(() => undici.request("http://evil.test/collect", { dispatcher })),
  };
});
result.outside = { run: currentRun() ?? null, waited: await outcome(() => fetch(`${TARGET}/v1/wait`)) };
undo();
result.undone = globalThis.fetch === before;
result.guard = await capture.reportGuard({ KEY: "sk_live_1", SHORT: "abc" }, { secrets: ["from-a-file"] });
const held = {
  DATABASE_URL: "postgresql://app:p%40ssword@db/shop?sslpassword=hidden-1",
  AUTH: "Bearer sk_live_1",
  BASIC: "Basic dXNlcjpzZWNyZXQtMQ==",
  JSON: '{"stripe": {"keys": ["sk_live_2"]}}',
  PADDED: " sk_live_3\n",
  WORD: "pässwörd",
};
result.fingerprints = fingerprints(held, Buffer.from("k".repeat(32)), ["from-a-file"]);

if (DATABASE) {
  const upsert = "INSERT INTO orders (id, total) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET total = excluded.total";
  const plain = new pg.Client({ connectionString: DATABASE });
  await plain.connect();
  const client = capture.pg(plain);
  result.samePg = client === plain;
  await capture.run(run, async () => {
    await client.query(upsert, ["a", 1]); // a transaction by itself
    await client.query("SELECT count(*) FROM orders");
    await client.query("BEGIN");
    await client.query("SELECT * FROM orders");
    await client.query(upsert, ["b", 1]);
    await client.query("SAVEPOINT s");
    await client.query(upsert, ["c", 1]);
    await client.query("ROLLBACK TO SAVEPOINT s");
    await client.query({ text: upsert, values: ["d", 1] });
    await client.query("COMMIT");
    const wrong = client.query("INSERT INTO orders (id, total) VALUES ('a', 'x')").then(String, (error) => error.code);
    result.wrong = await wrong;
    await new Promise((done, failed) => client.query("DELETE FROM orders WHERE id = 'd'", (error) => (error ? failed(error) : done())));
  });
  await client.query("DELETE FROM orders WHERE id = 'b'"); // of no run
  await plain.end();

  // Two runs wait for the only connection of a pool: each is in its own run.
  const pool = capture.pg(new pg.Pool({ connectionString: DATABASE, max: 1 }));
  const many = ["run_2", "run_3", "run_4"].map((name) =>
    capture.run({ run: name, task: "pay" }, () => pool.query(upsert, [name, 1])),
  );
  await Promise.all(many);
  await pool.end();
}
console.log(JSON.stringify(result));
process.exit(0);
