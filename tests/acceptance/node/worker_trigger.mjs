// Legacy's worker: the task `pay` of an official @trigger.dev/sdk. Takes attempts by HTTP, as nobody's platform does:
// POST {run, number, idempotencyKey, payload}. Prints its port; ends with its input.
// Usage: node worker_trigger.mjs FOLDER, where FOLDER holds the node_modules of the generation.
import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { captureFromEnvironment } from "../../../clients/typescript/src/index.js";
import { pay } from "./pay.mjs";
import { executorOf } from "./trigger_executor.mjs";

const capture = captureFromEnvironment();
capture.install();
const { attempt } = executorOf(process.argv[2], capture, {
  id: "pay",
  run: async ({ request, amount }) => {
    const transfer = await pay.transfer(request, amount);
    await pay.note(transfer, (await pay.lookUp(transfer)).amount);
    return { transfer };
  },
});
const server = createServer(async (asked, answer) => {
  answer.end(JSON.stringify(await attempt(JSON.parse(await text(asked)))));
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.resume().on("end", () => process.exit(0));
