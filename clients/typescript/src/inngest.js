import { waitBehind } from "./errors.js";
import { ofThisExecution, within } from "./run.js";

/**
 * Middleware for the Inngest SDK that is given: `import * as inngest from "inngest"`.
 *
 * Generation 4 takes a class with wrapping hooks, generation 3 an object with hooks around.
 */
export function inngestMiddleware(sdk, active) {
  return sdk.Middleware?.BaseMiddleware ? fourth(sdk.Middleware.BaseMiddleware, active) : third(sdk.InngestMiddleware, active);
}

function fourth(BaseMiddleware, active) {
  if (!active) {
    return class ShadowCapture extends BaseMiddleware {
      id = "shadow-capture";
    };
  }
  return class ShadowCapture extends BaseMiddleware {
    id = "shadow-capture";

    wrapFunctionHandler({ ctx, fn, next }) {
      return within(runOf(ctx, fn), () => waiting(next));
    }

    wrapStepHandler({ ctx, fn, next }) {
      return within(runOf(ctx, fn), () => waiting(next));
    }
  };
}

function third(InngestMiddleware, active) {
  return new InngestMiddleware({
    name: "shadow-capture",
    init: () =>
      active
        ? {
            onFunctionRun: () => ({
              transformInput: async ({ ctx, fn }) => {
                await ofThisExecution(runOf(ctx, fn));
              },
              transformOutput: ({ result }) => {
                const wait = waitBehind(result.error);
                return wait ? { result: { ...result, error: wait } } : undefined;
              },
            }),
          }
        : {},
  });
}

/** Providers' clients wrap errors of theirs around ours, which the SDK would take for a failure. */
async function waiting(next) {
  try {
    return await next();
  } catch (error) {
    throw waitBehind(error) ?? error;
  }
}

function runOf(ctx, fn) {
  return { run: ctx.runId, task: fn.id(), attempt: ctx.attempt + 1, event: ctx.event?.id };
}
