// Starts a batch from inside a task, as an official @trigger.dev/sdk does, and reads what came of it.
// Usage: node trigger-batches.mjs FOLDER, where FOLDER holds the node_modules of the generation; PARENT is the run.
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(pathToFileURL(resolve(process.argv[2], "package.json")));
const own = createRequire(pathToFileURL(require.resolve("@trigger.dev/sdk/v3"))); // the very modules that the SDK uses
const core = own("@trigger.dev/core/v3");
const { batch, configure, runs } = require("@trigger.dev/sdk/v3");
const { PARENT, HEADERS } = process.env;
configure({
  requestOptions: { retry: { maxAttempts: 2, minTimeoutInMs: 50, maxTimeoutInMs: 50, factor: 1 } },
});
const plain = globalThis.fetch;
globalThis.fetch = (url, init) => {
  const headers = new Headers(init?.headers);
  for (const [name, value] of Object.entries(JSON.parse(HEADERS))) headers.set(name, value); // as client packages do
  return plain(url, { ...init, headers });
};
core.taskContext.setGlobalTaskContext({
  ctx: {
    attempt: { id: "attempt_1", number: 1, startedAt: new Date(), status: "EXECUTING" },
    task: { id: "hello", filePath: "hello.mjs", exportName: "hello" },
    run: { id: PARENT, isTest: false, tags: [], createdAt: new Date(), startedAt: new Date() },
    queue: { id: "queue_1", name: "task/hello" },
    environment: { id: "env_1", slug: "dev", type: "DEVELOPMENT" },
    organization: { id: "org_1", slug: "org", name: "org" },
    project: { id: "proj_1", ref: "proj_ref", slug: "proj", name: "proj" },
  },
  worker: { id: "worker_1", contentHash: "abc", version: "1" },
});

async function settled(id) {
  for (let tries = 0; tries < 100; tries++) {
    // While its runs are under way the platform says what older SDKs do not understand.
    const read = await batch.retrieve(id).catch(() => undefined);
    if (read !== undefined) return read;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`batch ${id} cannot be read`);
}

const items = [
  { id: "hello", payload: { n: 0 } },
  { id: "fails", payload: { n: 1 } },
  { id: "hello", payload: { n: 2 } },
];
const mixed = await batch.trigger(items);
const moved = await batch.trigger([items[1]]);
const read = await settled(mixed.batchId);
const named = read.runs ?? mixed.runs.map((run) => run.id ?? run); // SDK 3 reads no runs: its batches name them at once
const run = await runs.retrieve(named.find((id) => /^run_[0-9a-f]{32}$/.test(id)));
const refused = await batch
  .triggerAndWait(items)
  .then(() => ({}))
  .catch((error) => ({ status: (error.cause ?? error).status, message: (error.cause ?? error).message }));
console.log(
  JSON.stringify({
    mixed: { batch: mixed.batchId, token: typeof mixed.publicAccessToken },
    moved: { batch: moved.batchId, token: typeof moved.publicAccessToken },
    read: { status: read.status, count: read.runCount, runs: named },
    run: { id: run.id, task: run.taskIdentifier, status: run.status, payload: run.payload },
    refused,
  }),
);
process.exit(0);
