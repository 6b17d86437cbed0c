import { AsyncLocalStorage } from "node:async_hooks";

const atHand = new AsyncLocalStorage();
const ofExecutions = new WeakMap();
const INNGEST = Symbol.for("inngest:als");
let inngest = null;

/** The run at hand: `{run, task, attempt, event, version}`; undefined outside of runs. */
export function currentRun() {
  const own = atHand.getStore();
  if (own) return own;
  const execution = inngest?.getStore();
  return execution && ofExecutions.get(execution);
}

/** Do something within a run. */
export function within(run, work) {
  return atHand.run(run, work);
}

/**
 * Make a run the one at hand for the rest of this execution of Inngest's SDK, generation 3.
 *
 * Its middleware cannot wrap the function, but the SDK keeps an async context of its own around it.
 */
export async function ofThisExecution(run) {
  inngest = (await globalThis[INNGEST]) ?? null;
  const execution = inngest?.getStore();
  if (execution) ofExecutions.set(execution, run);
  else atHand.enterWith(run); // releases before 3.22 keep none
}

/** What says whose something is: the same words everywhere. */
export function marksOf(run) {
  const { run: id, task, attempt, event } = run;
  return event == null ? { run: id, task, attempt } : { run: id, task, attempt, event };
}
