// Drives an official @trigger.dev/sdk, unmodified, against the address in TRIGGER_API_URL and prints what it got.
// Usage: node trigger.mjs FOLDER, where FOLDER holds the node_modules of the generation to be used.
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(pathToFileURL(resolve(process.argv[2], "package.json")));
const { configure, runs, tasks } = require("@trigger.dev/sdk/v3");
configure({ requestOptions: { retry: { maxAttempts: 2, minTimeoutInMs: 50, maxTimeoutInMs: 50, factor: 1 } } });

async function finished(id) {
  for (let tries = 0; tries < 100; tries++) {
    const run = await runs.retrieve(id);
    if (["COMPLETED", "FAILED", "CANCELED"].includes(run.status)) return run;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`run ${id} did not end`);
}

const result = {};

const triggered = await tasks.trigger("hello", { name: "sdk", at: new Date(0), tags: new Set(["a"]) }, { tags: ["t"] });
const run = await finished(triggered.id);
result.trigger = { id: triggered.id, token: typeof triggered.publicAccessToken, status: run.status, output: run.output };

const text = await tasks.trigger("hello", "just text");
result.text = { id: text.id };

const first = await tasks.trigger("hello", { n: 1 }, { idempotencyKey: "order-1" });
const second = await tasks.trigger("hello", { n: 2 }, { idempotencyKey: "order-1" });
result.cached = { first: first.id, second: second.id, isCached: second.isCached };

const batch = await tasks.batchTrigger("hello", [
  { payload: { b: 1 } },
  { payload: { b: 2 }, options: { idempotencyKey: "item-2", tags: ["b2"] } },
]);
result.batch = { id: batch.batchId };

const delayed = await tasks.trigger("hello", { later: true }, { delay: "1h" });
const rescheduled = await runs.reschedule(delayed.id, { delay: "2h" });
const cancelled = await runs.cancel(delayed.id);
result.delayed = {
  id: delayed.id,
  rescheduled: rescheduled.id,
  cancelled: cancelled.id,
  status: (await finished(delayed.id)).status,
};

const replayed = await runs.replay(triggered.id);
result.replayed = { id: replayed.id };

try {
  await tasks.trigger("nobody", {});
} catch (error) {
  result.unknown = { name: error.name, status: error.status, message: error.message };
}

console.log(JSON.stringify(result));
process.exit(0);
