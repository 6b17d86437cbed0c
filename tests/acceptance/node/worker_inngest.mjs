// The candidate's worker: the function `pay` of an official inngest SDK. Prints its port; ends with its input.
// Usage: node worker_inngest.mjs FOLDER, where FOLDER holds the node_modules of the generation. FAULT=pays-twice.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { captureFromEnvironment } from "../../../clients/typescript/src/index.js";
import { pay } from "./pay.mjs";

const require = createRequire(pathToFileURL(resolve(process.argv[2], "package.json")));
const sdk = require("inngest");
const { serve } = require("inngest/node");
const capture = captureFromEnvironment();
capture.install();
await capture.reportGuard({});
const client = new sdk.Inngest({ id: "shop", isDev: true, fetch: capture.fetch, middleware: [capture.inngest(sdk)] });

async function work({ event, step }) {
  const { request, amount } = event.data;
  const transfer = await step.run("transfer", () => pay.transfer(request, amount));
  if (process.env.FAULT === "pays-twice") await step.run("again", () => pay.transfer(request, amount));
  const { amount: paid } = await step.run("look-up", () => pay.lookUp(transfer));
  await step.run("note", () => pay.note(transfer, paid));
  return { transfer };
}

const options = { id: "pay", retries: 3 };
const trigger = { event: "payout/approved" };
const fn = sdk.Middleware
  ? client.createFunction({ ...options, triggers: [trigger] }, work)
  : client.createFunction(options, trigger, work);
const server = createServer(serve({ client, functions: [fn] }));
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.resume().on("end", () => process.exit(0));
