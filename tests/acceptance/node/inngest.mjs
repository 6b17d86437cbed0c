// Drives an official inngest SDK, unmodified, against the address in INNGEST_EVENT_API_BASE_URL and prints what it got.
// Usage: node inngest.mjs FOLDER, where FOLDER holds the node_modules of the generation to be used.
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(pathToFileURL(resolve(process.argv[2], "package.json")));
const { Inngest } = require("inngest");
const client = new Inngest({ id: "shop", isDev: false });
const result = {};

result.one = await client.send({ name: "payout/approved", data: { requestId: "wd_1", tenantId: "acme" } });
result.many = await client.send([
  { name: "payout/approved", data: { requestId: "wd_2" }, id: "evt-2", user: { id: 7 } },
  { name: "payout/approved", data: { requestId: "wd_3" }, ts: Date.now() + 3_600_000 },
]);
result.again = await client.send({ name: "payout/approved", data: { requestId: "wd_2" }, id: "evt-2" });

try {
  await client.send({ name: "payout/aproved", data: {} });
} catch (error) {
  result.unknown = { message: error.message };
}
try {
  await new Inngest({ id: "shop", isDev: false, eventKey: "wrong" }).send({ name: "payout/approved", data: {} });
} catch (error) {
  result.wrong = { message: error.message };
}

console.log(JSON.stringify(result));
process.exit(0);
