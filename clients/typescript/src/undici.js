import { HostDenied, RetryLater } from "./errors.js";
import { waits } from "./routes.js";
import { currentRun } from "./run.js";

/** An interceptor for `dispatcher.compose(...)` of undici 6 and later. */
export function interceptor({ routes, guard }) {
  return (dispatch) => (options, handler) => {
    const run = currentRun();
    const asked = new URL(options.path ?? "/", options.origin);
    const route = routes.route(asked);
    if (route.way === "other") {
      void guard.meet(route.host);
      if (guard.denies) throw new HostDenied(route.host);
    }
    if (route.way !== "gateway" && route.way !== "front") return dispatch(options, handler);
    const headers = { ...plain(options.headers), ...routes.headers(route.way, run) };
    for (const name of Object.keys(headers)) if (name.toLowerCase() === "host") delete headers[name];
    const sent = { ...options, origin: route.url.origin, path: route.url.pathname + route.url.search, headers };
    return dispatch(sent, run && route.way === "gateway" ? waiting(handler, `${options.method} ${asked.host}`) : handler);
  };
}

/** A handler to which an answer that asks to wait is an error. */
function waiting(handler, call) {
  let waited = false;
  return new Proxy(handler, {
    get(target, name) {
      const own = Reflect.get(target, name, target);
      if (typeof own !== "function") return own;
      if (name === "onResponseStart") {
        return (controller, status, headers, message) => {
          const after = waits(status, (header) => headers[header]);
          if (after === null) return own.call(target, controller, status, headers, message);
          waited = true;
          controller.abort(new RetryLater(`${call} has no answer of the twin yet`, after));
        };
      }
      if (name === "onResponseData" || name === "onResponseEnd") {
        return (...given) => (waited ? undefined : own.apply(target, given));
      }
      return own.bind(target);
    },
  });
}

/** Headers in any of undici's shapes as an object. */
function plain(headers) {
  if (!headers) return {};
  if (Array.isArray(headers)) {
    if (Array.isArray(headers[0])) return Object.fromEntries(headers);
    return Object.fromEntries(headers.flatMap((name, index) => (index % 2 ? [] : [[String(name), headers[index + 1]]])));
  }
  return typeof headers[Symbol.iterator] === "function" ? Object.fromEntries(headers) : { ...headers };
}
