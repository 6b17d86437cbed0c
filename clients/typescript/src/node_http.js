import http from "node:http";
import https from "node:https";
import { syncBuiltinESMExports } from "node:module";
import { HostDenied, RetryLater } from "./errors.js";
import { waits } from "./routes.js";
import { currentRun } from "./run.js";

/** What of a request's options is about the request, not about the connection to the target. */
const OF_THE_REQUEST = ["auth", "insecureHTTPParser", "joinDuplicateHeaders", "maxHeaderSize", "method", "setHost", "signal", "timeout", "uniqueHeaders"];

/**
 * Have `node:http` and `node:https` reroute calls to targets and deny all other hosts; returns what undoes it.
 *
 * The functions of the modules themselves are replaced, as everybody calls them: axios, stripe-node, got, and whatever
 * follows redirects for them. What cannot be reached that way is `new http.ClientRequest` and `node:http2`.
 */
export function installHttp({ routes, guard }) {
  const plain = { http: http.request, https: https.request };
  const agents = { "http:": new http.Agent({ keepAlive: true }), "https:": new https.Agent({ keepAlive: true }) };
  const undo = [captured(http, "http:"), captured(https, "https:")];
  syncBuiltinESMExports();
  return () => {
    for (const each of undo) each();
    for (const agent of Object.values(agents)) agent.destroy();
    syncBuiltinESMExports();
  };

  function captured(module, protocol) {
    const before = { request: module.request, get: module.get };
    const request = (...given) => asked(before.request, protocol, given);
    const get = (...given) => {
      const made = request(...given);
      made.end();
      return made;
    };
    Object.assign(module, { request, get });
    return () => {
      if (module.request === request) module.request = before.request;
      if (module.get === get) module.get = before.get;
    };
  }

  function asked(theirs, protocol, given) {
    const { options, listener } = read(given);
    const url = urlOf(options, protocol);
    const route = url ? routes.route(url) : { way: "other", host: `unix:${options.socketPath}` };
    if (route.way === "other") {
      void guard.meet(route.host);
      return guard.denies ? denied(new HostDenied(route.host), listener) : theirs(...given);
    }
    if (route.way === "past") return theirs(...given);
    const run = currentRun();
    const kept = Object.fromEntries(OF_THE_REQUEST.filter((name) => name in options).map((name) => [name, options[name]]));
    const to = route.url.protocol;
    const request = (to === "https:" ? plain.https : plain.http)({
      ...kept,
      protocol: to,
      hostname: route.url.hostname.replace(/^\[|\]$/g, ""),
      port: route.url.port || undefined,
      path: route.url.pathname + route.url.search,
      agent: agents[to],
      headers: { ...headersOf(options.headers), ...routes.headers(route.way, run) },
    });
    if (url.protocol === "https:" && to === "http:") secureInName(request);
    if (run && route.way === "gateway") waiting(request, `${request.method} ${url.host}`);
    if (listener) request.once("response", listener);
    return request;
  }

  /** A request that fails as one whose connection fails does, without there being one. */
  function denied(error, listener) {
    const request = plain.http({ host: "denied.invalid", createConnection: (_options, done) => void done(error) });
    if (listener) request.once("response", listener);
    return request;
  }
}

/** The arguments of `request`: (url, options, listener), of which the first or the second may be left out. */
function read([first, second, third]) {
  if (typeof first === "string" || first instanceof URL) {
    const url = options(new URL(first));
    return typeof second === "function" ? { options: url, listener: second } : { options: { ...url, ...second }, listener: third };
  }
  return { options: first ?? {}, listener: second };
}

function options(url) {
  const auth = url.username || url.password ? `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}` : null;
  return {
    protocol: url.protocol,
    hostname: url.hostname,
    ...(url.port ? { port: url.port } : {}),
    path: url.pathname + url.search,
    ...(auth ? { auth } : {}),
  };
}

/** Where a request goes; null when to no host at all. */
function urlOf(asked, module) {
  if (asked.socketPath) return null;
  const protocol = asked.protocol ?? asked.agent?.protocol ?? module;
  const named = String(asked.hostname || asked.host || "localhost");
  const host = named.includes(":") && !named.startsWith("[") ? `[${named}]` : named;
  const port = asked.port || asked.defaultPort || asked.agent?.defaultPort;
  const path = asked.path ? String(asked.path) : "/";
  return new URL(`${protocol}//${host}${port ? `:${port}` : ""}${path.startsWith("/") ? "" : "/"}${path}`);
}

/** Headers in any of Node's shapes as an object, without the target's name: the call goes to the gateway. */
function headersOf(given) {
  if (!Array.isArray(given)) {
    return Object.fromEntries(Object.entries(given ?? {}).filter(([name]) => name.toLowerCase() !== "host"));
  }
  const pairs = Array.isArray(given[0]) ? given : given.flatMap((name, at) => (at % 2 ? [] : [[name, given[at + 1]]]));
  const found = {};
  for (const [name, value] of pairs) {
    const low = String(name).toLowerCase();
    if (low !== "host") found[low] = low in found ? [found[low], value].flat() : value;
  }
  return found;
}

/** stripe-node sends its body once the socket says that it is secure: to the gateway it may be as secure as it gets. */
function secureInName(request) {
  request.once("socket", (socket) => {
    if (socket.connecting) socket.once("connect", () => socket.emit("secureConnect"));
  });
}

/** Make an answer that asks to wait an error. */
function waiting(request, call) {
  const { emit } = request;
  request.emit = (event, ...given) => {
    if (event !== "response") return emit.call(request, event, ...given);
    const [response] = given;
    const after = waits(response.statusCode, (name) => response.headers[name]);
    if (after === null) return emit.call(request, event, response);
    response.resume();
    process.nextTick(() => emit.call(request, "error", new RetryLater(`${call} has no answer of the twin yet`, after)));
    return true;
  };
}
