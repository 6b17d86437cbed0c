/** Capture: what a TypeScript worker adds so that Shadow sees, attributes and contains what its runs do. */
import { Misconfigured } from "./errors.js";
import { capturedFetch } from "./fetch.js";
import { Guard } from "./guard.js";
import { inngestMiddleware } from "./inngest.js";
import { installHttp } from "./node_http.js";
import { capturedPg } from "./pg.js";
import { Reports } from "./reports.js";
import { Routes } from "./routes.js";
import { within } from "./run.js";
import { settingsFrom, settingsOf } from "./settings.js";
import { installSockets } from "./sockets.js";
import { triggerHooks } from "./trigger.js";
import { interceptor } from "./undici.js";

export { HostDenied, Misconfigured, RetryLater } from "./errors.js";
export { fingerprints } from "./guard.js";
export { currentRun } from "./run.js";

/** As the variables `SHADOW_*` of the environment say; inert without `SHADOW_GATEWAY_URL`. */
export function captureFromEnvironment(environ = process.env) {
  return made(settingsFrom(environ));
}

/** As the options say; inert without `gatewayUrl`. */
export function createCapture(options = {}) {
  return made(settingsOf(options, process.env));
}

function made(settings) {
  const plain = globalThis.fetch;
  const shared = { active: settings !== null, trigger: triggerHooks(settings !== null) };
  if (settings === null) {
    return {
      ...shared,
      fetch: plain,
      install: () => () => {},
      undici: () => (dispatch) => dispatch,
      pg: (given) => given,
      inngest: (sdk) => inngestMiddleware(sdk, false),
      run: (_run, work) => work(),
      reportGuard: async () => false,
      lost: () => 0,
    };
  }
  const reports = new Reports(settings, plain);
  const equipment = { settings, reports, routes: new Routes(settings), guard: new Guard(settings, reports) };
  const fetch = capturedFetch(plain, equipment);
  return {
    ...shared,
    fetch,
    install: () => {
      const before = globalThis.fetch;
      globalThis.fetch = fetch;
      const undo = [installHttp(equipment), installSockets(equipment)];
      equipment.guard.covers = "process";
      return () => {
        equipment.guard.covers = "clients";
        globalThis.fetch = before;
        for (const each of undo) each();
      };
    },
    undici: () => interceptor(equipment),
    pg: (given, options = {}) => {
      if (options.reportRows && !settings.reportKey) {
        throw new Misconfigured("reportRows reports to Shadow, so SHADOW_REPORT_KEY must hold a report key of the side");
      }
      return capturedPg(given, { ...options, reports });
    },
    inngest: (sdk) => inngestMiddleware(sdk, true),
    run: (run, work) => within({ attempt: 1, ...run }, work),
    reportGuard: (environ = process.env, { secrets = [] } = {}) => equipment.guard.report(environ, secrets),
    lost: () => reports.lost,
  };
}
