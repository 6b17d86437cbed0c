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
      return within(runOf(ctx, fn), next);
    }

    wrapStepHandler({ ctx, fn, next }) {
      return within(runOf(ctx, fn), next);
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
            }),
          }
        : {},
  });
}

function runOf(ctx, fn) {
  return { run: ctx.runId, task: fn.id(), attempt: ctx.attempt + 1, event: ctx.event?.id };
}
