// Serves functions of an official inngest SDK with @shadow/capture's middleware; prints its port, then what it saw.
// Usage: node capture_inngest.mjs FOLDER, where FOLDER holds the node_modules of the generation; ends with its input.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { captureFromEnvironment, currentRun } from "../../../clients/typescript/src/index.js";

const require = createRequire(pathToFileURL(resolve(process.argv[2], "package.json")));
const sdk = require("inngest");
const { serve } = require("inngest/node");
const { TARGET } = process.env;
const capture = captureFromEnvironment();
const client = new sdk.Inngest({ id: "shop", isDev: true, fetch: capture.fetch, middleware: [capture.inngest(sdk)] });
const seen = [];
const see = (where) => seen.push({ where, run: currentRun() ?? null });

async function pay({ step, runId }) {
  await step.run("one", async () => {
    see("one");
    await Promise.all([1, 2].map((n) => capture.fetch(`${TARGET}/v1/transfers`, { method: "POST", body: String(n) })));
  });
  const answer = await step.run("balance", async () => {
    see("balance");
    try {
      return (await capture.fetch(`${TARGET}/v1/balance`)).status;
    } catch (error) {
      throw new Error("the provider cannot be reached", { cause: error }); // as clients of providers have it
    }
  });
  await step.sendEvent("tell", { name: "paid", data: { n: 1 } });
  // Last: what follows parallel steps may be begun by each of them.
  await Promise.all([step.run("two", async () => see("two")), step.run("three", async () => see("three"))]);
  see("body");
  return { runId, answer };
}

const options = { id: "pay", retries: 3 };
const trigger = { event: "go" };
const fn = sdk.Middleware
  ? client.createFunction({ ...options, triggers: [trigger] }, pay)
  : client.createFunction(options, trigger, pay);
const server = createServer(serve({ client, functions: [fn] }));
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.resume();
process.stdin.on("end", () => {
  console.log(JSON.stringify({ seen }));
  process.exit(0);
});
