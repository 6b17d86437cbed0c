import { waitBehind } from "./errors.js";
import { within } from "./run.js";

/** What Trigger.dev's SDKs take, of generation 4 (one argument) and 3 (payload first). */
export function triggerHooks(active) {
  return {
    /** `tasks.middleware("shadow", capture.trigger.middleware)`; generation 3: the task's own option `middleware`. */
    middleware: (first, second) => {
      const { ctx, next } = second ?? first;
      return active ? within(runOf(ctx), next) : next();
    },
    /** `tasks.catchError(capture.trigger.catchError)`; generation 3: `handleError` of a task or of the configuration. */
    catchError: (...given) => {
      const error = given.length > 1 ? given[1] : given[0].error;
      const wait = active ? waitBehind(error) : null;
      return wait ? { retryAt: new Date(Date.now() + wait.after * 1000) } : undefined;
    },
  };
}

function runOf(ctx) {
  return {
    run: ctx.run.id,
    task: ctx.task.id,
    attempt: ctx.attempt.number,
    event: ctx.run.idempotencyKey,
    version: ctx.run.version ?? ctx.deployment?.version,
  };
}
