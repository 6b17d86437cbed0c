// Runs a task of an official @trigger.dev/sdk by the SDK's own executor, with @shadow/capture's hooks; prints what came of it.
// Usage: node capture_trigger.mjs FOLDER, where FOLDER holds the node_modules of the generation.
import { captureFromEnvironment, currentRun } from "../../../clients/typescript/src/index.js";
import { executorOf } from "./trigger_executor.mjs";

const { TARGET } = process.env;
const capture = captureFromEnvironment();
capture.install();
const seen = [];

const { fourth, attempt } = executorOf(process.argv[2], capture, {
  id: "pay",
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

const of = (number, path) => attempt({ run: "run_1", number, idempotencyKey: "wd-1", payload: { path } });
const result = { fourth, done: await of(2, "/v1/transfers"), waited: await of(1, "/v1/wait"), seen };
result.outside = currentRun() ?? null;
console.log(JSON.stringify(result));
process.exit(0);
