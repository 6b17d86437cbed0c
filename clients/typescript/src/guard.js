import { createHmac } from "node:crypto";
import { currentRun, marksOf } from "./run.js";

const PATH = "/shadow/guard";
const SHORTEST = 6;
const TOLD_EVERY = 60_000;
const MOST_UNTOLD = 1000;

/** HMAC-SHA256 with that key, in hexadecimal, of every value and of every secret within one. */
export function fingerprints(environ, key, secrets = []) {
  const found = new Set();
  for (const value of [...Object.values(environ), ...secrets]) {
    if (typeof value === "string") for (const part of parts(value)) if ([...part].length >= SHORTEST) found.add(part);
  }
  return [...found].map((part) => createHmac("sha256", key).update(part, "utf8").digest("hex")).sort();
}

/** The value, and what may be a secret inside: a token behind its scheme, a URL's password, a text in JSON. */
function* parts(value) {
  yield value;
  const stripped = value.trim();
  yield stripped;
  const scheme = /^(bearer|basic|token) +/i.exec(stripped);
  if (scheme) {
    const credential = stripped.slice(scheme[0].length).trim();
    yield credential;
    if (scheme[1].toLowerCase() === "basic") {
      const plain = Buffer.from(credential, "base64").toString();
      yield plain;
      const at = plain.indexOf(":");
      if (at >= 0) yield* [plain.slice(0, at), plain.slice(at + 1)];
    }
  }
  if (stripped.includes("://") && URL.canParse(stripped)) {
    const url = new URL(stripped);
    for (const part of [url.username, url.password]) {
      yield part;
      yield unescaped(part);
    }
    for (const pair of url.search.slice(1).split("&")) yield unescaped(pair.slice(pair.indexOf("=") + 1));
  }
  if (/^[{[]/.test(stripped)) {
    let document;
    try {
      document = JSON.parse(stripped);
    } catch {
      return;
    }
    for (const text of texts(document)) yield* parts(text);
  }
}

function* texts(document) {
  if (typeof document === "string") yield document;
  else if (document && typeof document === "object") for (const value of Object.values(document)) yield* texts(value);
}

function unescaped(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Denies hosts, and tells Shadow of those that calls were made to. */
export class Guard {
  /** What it reaches: the `clients` that the package made, or whatever the `process` calls with. */
  covers = "clients";
  #told = new Map();
  #untold = [];

  constructor(settings, reports) {
    this.settings = settings;
    this.reports = reports;
  }

  get denies() {
    return this.settings.otherHosts === "deny";
  }

  /** Note a call to another host, and tell Shadow; whether it is denied. */
  async meet(host) {
    const now = Date.now();
    if (now - (this.#told.get(host) ?? -Infinity) >= TOLD_EVERY) {
      this.#told.set(host, now);
      const run = currentRun();
      this.#untold.push({ host, denied: this.denies, ...(run ? marksOf(run) : {}) });
      console.warn(`shadow: a call to ${host}, which is neither a target nor allowed`);
    }
    const untold = this.#untold.splice(0);
    if (untold.length && !(await this.reports.send(PATH, { ...this.#conduct(), hosts: untold }))) {
      this.#untold.push(...untold.slice(-MOST_UNTOLD));
    }
    return this.denies;
  }

  /** Tell Shadow the guard's conduct and the fingerprints of what this worker holds; whether it was taken. */
  async report(environ, secrets) {
    const { key } = await this.reports.get(PATH);
    const own = [this.settings.key, this.settings.reportKey];
    const held = Object.fromEntries(Object.entries(environ).filter(([, value]) => !own.includes(value)));
    const found = fingerprints(held, Buffer.from(key, "hex"), secrets);
    return this.reports.send(PATH, { ...this.#conduct(), fingerprints: found });
  }

  #conduct() {
    return {
      version: this.settings.version ?? null,
      ...(this.settings.app ? { app: this.settings.app } : {}),
      gateway: new URL(this.settings.gatewayUrl).host,
      denies_other_hosts: this.denies,
      covers: this.covers,
      allowed_hosts: this.settings.allow,
    };
  }
}
