// An official @trigger.dev/sdk without its platform: the SDK's own executor runs a task, with @shadow/capture's hooks.
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

/** What runs attempts of the one task `{id, run}` with the SDK in that folder; `fourth`: of generation 4. */
export function executorOf(folder, capture, { id, run }) {
  const require = createRequire(pathToFileURL(resolve(folder, "package.json")));
  const own = createRequire(pathToFileURL(require.resolve("@trigger.dev/sdk/v3"))); // the very modules that the SDK uses
  const core = own("@trigger.dev/core/v3");
  const workers = own("@trigger.dev/core/v3/workers");
  const { task, tasks } = require("@trigger.dev/sdk/v3");
  const fourth = typeof tasks.middleware === "function";
  if (fourth) {
    core.lifecycleHooks.setGlobalLifecycleHooksManager(new workers.StandardLifecycleHooksManager());
    core.resourceCatalog.setGlobalResourceCatalog(new workers.StandardResourceCatalog());
    core.resourceCatalog.setCurrentFileContext("task.mjs", "task.mjs");
    tasks.middleware("shadow", capture.trigger.middleware);
    tasks.catchError("shadow", capture.trigger.catchError);
  } else {
    const catalog = new workers.StandardTaskCatalog();
    core.taskCatalog.setGlobalTaskCatalog(catalog);
    catalog.registerTaskFileMetadata(id, { filePath: "task.mjs", exportName: "task" });
  }
  task({
    id,
    retry: { maxAttempts: 3, minTimeoutInMs: 30_000, maxTimeoutInMs: 30_000, factor: 1, randomize: false },
    ...(fourth ? {} : { middleware: capture.trigger.middleware, handleError: capture.trigger.catchError }),
    run,
  });
  const { TriggerTracer } = own("@trigger.dev/core/v3/tracer");
  const executor = new workers.TaskExecutor(fourth ? core.resourceCatalog.getTask(id) : core.taskCatalog.getTask(id), {
    tracingSDK: { asyncResourceDetector: { resolveWithAttributes() {} } }, // which would export what is traced
    tracer: new TriggerTracer({ name: "test", version: "1" }),
    consoleInterceptor: { intercept: (_console, work) => work() },
    retries: { enabledInDev: true, default: { maxAttempts: 3 } },
    config: { retries: { enabledInDev: true, default: { maxAttempts: 3 } } },
    handleErrorFn: undefined,
    isWarmStart: false,
    executionCount: 1,
  });

  /** One attempt of a run, as the platform has it executed. */
  async function attempt({ run, number, idempotencyKey, payload }) {
    const now = new Date();
    const execution = {
      task: { id, filePath: "task.mjs", exportName: "task" },
      attempt: { id: "attempt_1", number, startedAt: now, backgroundWorkerId: "w", backgroundWorkerTaskId: "t", status: "EXECUTING" },
      run: {
        id: run, payload: JSON.stringify(payload), payloadType: "application/json", tags: [], isTest: false, createdAt: now, startedAt: now,
        idempotencyKey, maxAttempts: 3, version: "20261125.1", durationMs: 0, costInCents: 0, baseCostInCents: 0, context: {},
      },
      queue: { id: "q", name: "q" },
      environment: { id: "e", slug: "dev", type: "DEVELOPMENT" },
      organization: { id: "o", slug: "o", name: "o" },
      project: { id: "p", ref: "p", slug: "p", name: "p" },
      machine: { name: "small-1x", cpu: 1, memory: 1, centsPerMs: 0 },
    };
    const { signal } = new AbortController();
    const ctx = core.TaskRunContext.parse(execution);
    const { result } = fourth
      ? await executor.execute(execution, ctx, signal)
      : await executor.execute(execution, { id: "w", contentHash: "h", version: "1" }, {}, undefined, signal);
    const { ok, output, retry, error } = result;
    return { ok, output, retryDelay: retry?.delay, error };
  }

  return { fourth, attempt };
}
