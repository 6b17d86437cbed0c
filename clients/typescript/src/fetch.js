import { HostDenied, RetryLater } from "./errors.js";
import { waits } from "./routes.js";
import { currentRun } from "./run.js";

const MOST_REDIRECTS = 20;
const EVENT_API = /^\/e\/[^/]+$/;

/** A fetch that reroutes calls to targets through the gateway and denies all other hosts. */
export function capturedFetch(inner, { settings, routes, guard, reports }) {
  return async function fetch(input, init) {
    const request = new Request(input, init);
    const once = await prepared(request);
    let url = new URL(request.url);
    let { method } = request;
    let headers = request.headers;
    let body = once;
    for (let followed = 0; ; followed++) {
      const response = await send(url, method, headers, body, request, init);
      const location = response.headers.get("location");
      if (request.redirect === "manual" || ![301, 302, 303, 307, 308].includes(response.status) || !location) return response;
      // Redirects are followed here: whatever sends the call would follow them past the gateway.
      if (request.redirect === "error" || followed >= MOST_REDIRECTS) throw new TypeError(`fetch failed: redirected to ${location}`);
      await response.body?.cancel();
      const next = new URL(location, url);
      headers = new Headers(headers);
      if (response.status === 303 || (response.status < 303 && method === "POST")) {
        if (method !== "HEAD") method = "GET";
        body = null;
        for (const name of ["content-type", "content-length", "content-encoding"]) headers.delete(name);
      } else if (body instanceof ReadableStream) {
        throw new TypeError("fetch failed: a body that is streamed cannot follow a redirect");
      }
      if (next.origin !== url.origin) for (const name of ["authorization", "cookie"]) headers.delete(name);
      url = next;
    }

    async function prepared(asked) {
      if (!asked.body) return null;
      const streamed = init?.body instanceof ReadableStream || (init?.body == null && input instanceof Request);
      return streamed ? asked.body : new Uint8Array(await asked.arrayBuffer());
    }
  };

  async function send(url, method, given, body, request, init) {
    const run = currentRun();
    const route = routes.route(url);
    if (route.way === "other" && (await guard.meet(route.host))) throw new HostDenied(route.host);
    const headers = new Headers(given);
    if (route.way === "gateway" || route.way === "front") {
      for (const [name, value] of Object.entries(routes.headers(route.way, run))) headers.set(name, value);
    }
    const { signal, keepalive } = request;
    const response = await inner(route.url, {
      ...(init?.dispatcher ? { dispatcher: init.dispatcher } : {}),
      method,
      headers,
      body,
      signal,
      keepalive,
      redirect: "manual",
      ...(body instanceof ReadableStream ? { duplex: "half" } : {}),
    });
    if (run && route.way === "gateway") {
      const after = waits(response.status, (name) => response.headers.get(name));
      if (after !== null) {
        await response.body?.cancel();
        throw new RetryLater(`${method} ${url.host} has no answer of the twin yet`, after);
      }
    }
    if (run && method === "POST" && response.ok && EVENT_API.test(url.pathname) && settings.inngest.includes(url.host)) {
      if (route.way === "past") await tell(run, body, response);
    }
    return response;
  }

  /** Events that pass Shadow's door by: the ids that Inngest gave them lead it to their runs. */
  async function tell(run, body, response) {
    let events, ids;
    try {
      events = [JSON.parse(new TextDecoder().decode(body))].flat();
      ({ ids = [] } = await response.clone().json());
    } catch {
      return; // not the event API after all
    }
    const effects = events.slice(0, ids.length).map(({ name, data, ts }, index) => ({
      id: `event:${ids[index]}`,
      kind: "event",
      target: "events",
      operation: name,
      data: ts > Date.now() ? { ...data, scheduledFor: new Date(ts).toISOString() } : { ...data },
    }));
    await reports.effects(run, effects);
  }
}
