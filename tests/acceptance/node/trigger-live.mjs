// A producer after the switch: drives an official @trigger.dev/sdk, unmodified, and prints what it got.
// Usage: node trigger-live.mjs FOLDER, where FOLDER holds the node_modules of the generation to be used.
// OLD is a run from before the switch, started under the key "before".
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(pathToFileURL(resolve(process.argv[2], "package.json")));
const { batch, configure, idempotencyKeys, runs, tasks } = require("@trigger.dev/sdk/v3");
configure({ requestOptions: { retry: { maxAttempts: 3, minTimeoutInMs: 50, maxTimeoutInMs: 50, factor: 1 } } });

const polled = (id) => runs.poll(id, { pollIntervalMs: 100 });
const say = (payload, options) => tasks.trigger("hello", { tenantId: "acme", ...payload }, options);
const result = {};

// a run from before the switch, and its key
result.old = { read: (await runs.retrieve(process.env.OLD)).status, again: (await say({}, { idempotencyKey: "before" })).id };

const first = await say({ name: "sdk", at: new Date(0) }, { tags: ["t"], metadata: { m: 1 } });
const subscribed = [];
for await (const run of runs.subscribeToRun(first.id)) {
  subscribed.push({ id: run.id, status: run.status, output: run.output, payload: run.payload, tags: run.tags });
  if (run.finishedAt) break;
}
result.subscribed = subscribed.at(-1);
const run = await polled(first.id);
result.first = {
  id: first.id, token: typeof first.publicAccessToken, status: run.status, output: run.output, tags: run.tags,
  metadata: run.metadata, at: run.payload.at,
};

const keyed = await say({ n: 1 }, { idempotencyKey: "order-1" });
const again = await say({ n: 2 }, { idempotencyKey: await idempotencyKeys.create("order-1") });
result.keyed = { first: keyed.id, again: again.id, cached: again.isCached };
if (typeof idempotencyKeys.reset === "function") {
  await idempotencyKeys.reset("hello", await idempotencyKeys.create("order-1"));
  result.keyed.anew = (await say({ n: 3 }, { idempotencyKey: "order-1" })).id;
}

const failing = await tasks.trigger("fails", { tenantId: "acme" }, { idempotencyKey: "failing" });
const failed = await polled(failing.id);
result.failed = {
  status: failed.status, isFailed: failed.isFailed, error: failed.error?.message, id: failing.id,
  anew: (await tasks.trigger("fails", { tenantId: "acme" }, { idempotencyKey: "failing" })).id,
};

const made = await tasks.batchTrigger("hello", [
  { payload: { tenantId: "acme", b: 1 } },
  { payload: { tenantId: "zeta", b: 2 }, options: { idempotencyKey: "item-2" } },
]);
result.batch = { id: made.batchId, token: typeof made.publicAccessToken };
if (typeof batch.retrieve === "function") {
  for (let tries = 0; tries < 100; tries++) {
    const read = await batch.retrieve(made.batchId);
    result.batch = { ...result.batch, count: read.runCount, runs: read.runs, status: read.status };
    if (read.status === "COMPLETED") break;
    await new Promise((done) => setTimeout(done, 100));
  }
}

const delayed = await say({ later: true }, { delay: "1h", ttl: "10m" });
const before = await runs.retrieve(delayed.id);
const rescheduled = await runs.reschedule(delayed.id, { delay: "2h" });
await runs.cancel(delayed.id);
const cancelled = await runs.retrieve(delayed.id);
result.delayed = {
  id: delayed.id, before: before.status, ttl: before.ttl, rescheduled: rescheduled.id, status: cancelled.status,
  moved: rescheduled.delayedUntil - before.delayedUntil,
};

result.replayed = { id: (await runs.replay(first.id)).id };

const other = await tasks.trigger("hello", { tenantId: "zeta" });
result.other = { id: other.id, status: (await polled(other.id)).status };

const listed = [];
for await (const item of runs.list({ limit: 3, taskIdentifier: ["hello", "fails"] })) listed.push(item.id);
result.listed = listed;
const tagged = [];
for await (const item of runs.list({ tag: "t" })) tagged.push(item.id);
result.tagged = tagged;

console.log(JSON.stringify(result));
process.exit(0);
