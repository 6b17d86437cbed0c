// Runs a task of an official @trigger.dev/sdk by the SDK's own executor, with @shadow/capture's hooks; prints what came of it.
// Usage: node capture_trigger.mjs FOLDER, where FOLDER holds the node_modules of the generation.
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { captureFromEnvironment, currentRun } from "../../../clients/typescript/src/index.js";

const folder = resolve(process.argv[2]);
const require = createRequire(pathToFileURL(resolve(folder, "package.json")));
const own = createRequire(pathToFileURL(require.resolve("@trigger.dev/sdk/v3"))); // the very modules that the SDK uses
const core = own("@trigger.dev/core/v3");
const workers = own("@trigger.dev/core/v3/workers");
const { task, tasks } = require("@trigger.dev/sdk/v3");
const fourth = typeof tasks.middleware === "function";
const { TARGET } = process.env;
const capture = captureFromEnvironment();
capture.install();
const seen = [];

if (fourth) {
  core.lifecycleHooks.setGlobalLifecycleHooksManager(new workers.StandardLifecycleHooksManager());
  core.resourceCatalog.setGlobalResourceCatalog(new workers.StandardResourceCatalog());
  core.resourceCatalog.setCurrentFileContext("pay.mjs", "pay.mjs");
  tasks.middleware("shadow", capture.trigger.middleware);
  tasks.catchError("shadow", capture.trigger.catchError);
} else {
  const catalog = new workers.StandardTaskCatalog();
  core.taskCatalog.setGlobalTaskCatalog(catalog);
  catalog.registerTaskFileMetadata("pay", { filePath: "pay.mjs", exportName: "pay" });
}
task({
  id: "pay",
  retry: { maxAttempts: 3, minTimeoutInMs: 30_000, maxTimeoutInMs: 30_000, factor: 1, randomize: false },
  ...(fourth ? {} : { middleware: capture.trigger.middleware, handleError: capture.trigger.catchError }),
  run: async (payload) => {
    await new Promise((done) => setTimeout(done, 5));
    seen.push(currentRun() ?? null);
    try {
      return { status: (await fetch(`${TARGET}${payload.path}`, { method: "POST", body: "abc" })).status };
    } catch (error) {
      throw new Error("the provider cannot be reached", { cause: error }); // as clients of providers have it
    }
  },
});
const registered = fourth ? core.resourceCatalog.getTask("pay") : core.taskCatalog.getTask("pay");

const { TriggerTracer } = own("@trigger.dev/core/v3/tracer");
const tracer = new TriggerTracer({ name: "test", version: "1" });
const executor = new workers.TaskExecutor(registered, {
  tracingSDK: { asyncResourceDetector: { resolveWithAttributes() {} } }, // which would export what is traced
  tracer,
  consoleInterceptor: { intercept: (_console, work) => work() },
  retries: { enabledInDev: true, default: { maxAttempts: 3 } },
  config: { retries: { enabledInDev: true, default: { maxAttempts: 3 } } },
  handleErrorFn: undefined,
  isWarmStart: false,
  executionCount: 1,
});

async function attempt(number, path) {
  const now = new Date();
  const execution = {
    task: { id: "pay", filePath: "pay.mjs", exportName: "pay" },
    attempt: { id: "attempt_1", number, startedAt: now, backgroundWorkerId: "w", backgroundWorkerTaskId: "t", status: "EXECUTING" },
    run: {
      id: "run_1", payload: JSON.stringify({ path }), payloadType: "application/json", tags: [], isTest: false, createdAt: now,
      startedAt: now, idempotencyKey: "wd-1", maxAttempts: 3, version: "20261125.1", durationMs: 0, costInCents: 0, baseCostInCents: 0, context: {},
    },
    queue: { id: "q", name: "q" },
    environment: { id: "e", slug: "dev", type: "DEVELOPMENT" },
    organization: { id: "o", slug: "o", name: "o" },
    project: { id: "p", ref: "p", slug: "p", name: "p" },
    machine: { name: "small-1x", cpu: 1, memory: 1, centsPerMs: 0 },
  };
  const signal = new AbortController().signal;
  const ctx = core.TaskRunContext.parse(execution);
  const { result } = fourth
    ? await executor.execute(execution, ctx, signal)
    : await executor.execute(execution, { id: "w", contentHash: "h", version: "1" }, {}, undefined, signal);
  const { ok, output, retry, error } = result;
  return { ok, output, retryDelay: retry?.delay, error };
}

const result = { fourth, done: await attempt(2, "/v1/transfers"), waited: await attempt(1, "/v1/wait"), seen };
result.outside = currentRun() ?? null;
console.log(JSON.stringify(result));
process.exit(0);
