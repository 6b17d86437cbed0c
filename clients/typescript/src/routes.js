import { marksOf } from "./run.js";

const PORTS = { "http:": "80", "https:": "443" };
const WAIT_SECONDS = 5;

/** Where calls go: `gateway`, `front` (Shadow's doors), `past` (allowed) or `other`. No I/O. */
export class Routes {
  constructor(settings) {
    this.settings = settings;
    this.gateway = new URL(settings.gatewayUrl);
    this.egress = `${this.gateway.pathname.replace(/\/$/, "")}/egress/`;
    this.places = Object.entries(settings.targets)
      .map(([named, target]) => ({ ...place(named), target }))
      .sort((one, other) => other.path.length - one.path.length);
    this.allowed = settings.allow.map(place);
  }

  /** @param {URL} url */
  route(url) {
    const host = url.host;
    if (url.protocol === this.gateway.protocol && url.host === this.gateway.host) {
      return { way: url.pathname.startsWith(this.egress) ? "gateway" : "front", host, url };
    }
    for (const known of this.places) {
      if (is(known, url) && (url.pathname === known.path || url.pathname.startsWith(`${known.path}/`))) {
        const rest = url.pathname.slice(known.path.length) || "/";
        const goesTo = `${this.settings.gatewayUrl}/egress/${encodeURIComponent(known.target)}${rest}${url.search}`;
        return { way: "gateway", host, url: new URL(goesTo) };
      }
    }
    return { way: this.allowed.some((known) => is(known, url)) ? "past" : "other", host, url };
  }

  /** Whether a socket may connect there: to the gateway, or to what is allowed. */
  reachable(host, port) {
    const name = host.toLowerCase().replace(/^\[|\]$/g, "");
    const at = String(port);
    if (name === this.gateway.hostname.replace(/^\[|\]$/g, "") && at === (this.gateway.port || PORTS[this.gateway.protocol])) return true;
    return this.allowed.some(
      (known) =>
        (known.port ? known.port === at : Object.values(PORTS).includes(at)) &&
        (known.under ? name.endsWith(`.${known.host}`) : name === known.host),
    );
  }

  /** What the gateway or a door is told beside a call. */
  headers(way, run) {
    const marks = {};
    const version = this.settings.version ?? run?.version;
    if (version) marks["x-shadow-version"] = version;
    if (run) for (const [name, value] of Object.entries(marksOf(run))) marks[`x-shadow-${name}`] = escaped(String(value));
    if (way === "gateway") {
      marks["x-shadow-key"] = this.settings.key;
      if (run) marks["x-shadow-accepts"] = "wait";
    }
    return marks;
  }
}

/** For how many seconds the gateway asks to wait; null when this is an answer. */
export function waits(status, header) {
  if (status !== 425 || header("x-shadow-gateway") !== "wait") return null;
  const seconds = Number.parseFloat(header("retry-after"));
  return Number.isFinite(seconds) ? Math.max(0, seconds) : WAIT_SECONDS;
}

function escaped(value) {
  return /^[\x20-\x7e]*$/.test(value) ? value : encodeURIComponent(value);
}

function place(named) {
  const schemed = named.includes("://");
  const wild = named.replace(/^\*\./, "");
  const url = new URL(schemed ? named : `http://${wild}`);
  return {
    host: url.hostname,
    under: wild !== named,
    port: schemed || url.port ? url.port : /:80(\/|$)/.test(named) ? "80" : "",
    path: url.pathname.replace(/\/$/, ""),
  };
}

function is(known, url) {
  const usual = PORTS[url.protocol];
  const port = url.port || usual;
  if (known.port ? known.port !== port : !Object.values(PORTS).includes(port)) return false;
  return known.under ? url.hostname.endsWith(`.${known.host}`) : url.hostname === known.host;
}
