// Sends payloads that an official @trigger.dev/sdk finds too large for the call itself, alone and in a batch.
// Usage: node trigger-large.mjs FOLDER, where FOLDER holds the node_modules of the generation to be used.
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(pathToFileURL(resolve(process.argv[2], "package.json")));
const { tasks } = require("@trigger.dev/sdk/v3");

const text = "x".repeat(200 * 1024);
const alone = await tasks.trigger("hello", { tenantId: "acme", at: new Date(0), text });
const batch = await tasks.batchTrigger("hello", [{ payload: { n: 1, text } }, { payload: { n: 2 } }]);

console.log(JSON.stringify({ alone: alone.id, batch: batch.batchId }));
process.exit(0);
