import { Misconfigured } from "./errors.js";

const CLOUD = { inngest: ["inn.gs", "api.inngest.com"], trigger: ["api.trigger.dev"] };

/** What an environment says; null, whatever else it says, when it names no gateway. */
export function settingsFrom(environ) {
  const gatewayUrl = environ.SHADOW_GATEWAY_URL?.trim();
  if (!gatewayUrl) return null;
  return settingsOf(
    {
      gatewayUrl,
      key: environ.SHADOW_EGRESS_KEY?.trim(),
      targets: targetsOf(environ.SHADOW_TARGETS ?? ""),
      reportKey: environ.SHADOW_REPORT_KEY?.trim() || undefined,
      version: environ.SHADOW_VERSION?.trim() || undefined,
      app: environ.SHADOW_APP?.trim() || undefined,
      allow: listed(environ.SHADOW_ALLOW ?? ""),
      otherHosts: environ.SHADOW_OTHER_HOSTS?.trim() || undefined,
    },
    environ,
  );
}

/** Options made whole and checked; null when they name no gateway. */
export function settingsOf(options, environ) {
  if (!options.gatewayUrl) return null;
  const { key, targets = {}, reportKey, version, app, allow = [], otherHosts = "deny" } = options;
  const gateway = URL.canParse(options.gatewayUrl) ? new URL(options.gatewayUrl) : null;
  if (!gateway || !["http:", "https:"].includes(gateway.protocol) || gateway.search || gateway.hash) {
    throw new Misconfigured(`SHADOW_GATEWAY_URL: expected http(s)://host[:port], found ${options.gatewayUrl}`);
  }
  if (!key) {
    throw new Misconfigured("SHADOW_GATEWAY_URL is set, so SHADOW_EGRESS_KEY must hold the side's egress key");
  }
  if (otherHosts !== "deny" && otherHosts !== "report") {
    throw new Misconfigured(`SHADOW_OTHER_HOSTS: expected deny or report, found ${otherHosts}`);
  }
  for (const [host, name] of Object.entries(targets)) {
    if (!host || typeof name !== "string" || !name || name.includes("/")) {
      throw new Misconfigured(`SHADOW_TARGETS: expected HOST=TARGET, found ${host}=${name}`);
    }
  }
  const platforms = platformHosts(environ);
  return {
    gatewayUrl: options.gatewayUrl.replace(/\/+$/, ""),
    key,
    targets,
    reportKey,
    version,
    app,
    allow: [...new Set([...allow, ...platforms.inngest, ...platforms.trigger])],
    inngest: platforms.inngest,
    otherHosts,
  };
}

/** `{"host": "name"}` as JSON, or `host=name,host=name`. */
export function targetsOf(text) {
  if (!text.trimStart().startsWith("{")) {
    return Object.fromEntries(
      listed(text).map((entry) => {
        const at = entry.lastIndexOf("=");
        return [entry.slice(0, Math.max(at, 0)).trim(), entry.slice(at + 1).trim()];
      }),
    );
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Misconfigured(`SHADOW_TARGETS: not JSON: ${error.message}`);
  }
}

/** Where the platforms are that this worker speaks to, as its environment says: they are always allowed. */
export function platformHosts(environ) {
  const inngest = [];
  for (const name of ["INNGEST_EVENT_API_BASE_URL", "INNGEST_API_BASE_URL", "INNGEST_BASE_URL"]) {
    if (environ[name]) inngest.push(host(environ[name]));
  }
  const dev = environ.INNGEST_DEV ?? "";
  if (dev.includes("://")) inngest.push(host(dev));
  else if (dev && !["0", "false"].includes(dev.toLowerCase())) inngest.push("localhost:8288", "127.0.0.1:8288");
  if (!inngest.length && (environ.INNGEST_EVENT_KEY || environ.INNGEST_SIGNING_KEY)) inngest.push(...CLOUD.inngest);
  const trigger = ["TRIGGER_API_URL", "TRIGGER_STREAM_URL", "TRIGGER_OTEL_EXPORTER_OTLP_ENDPOINT"].filter((name) => environ[name]).map((name) => host(environ[name]));
  if (!trigger.length && environ.TRIGGER_SECRET_KEY) trigger.push(...CLOUD.trigger);
  return { inngest: [...new Set(inngest)], trigger: [...new Set(trigger)] };
}

function host(url) {
  return new URL(url.includes("://") ? url : `https://${url}`).host;
}

function listed(text) {
  return text
    .split(",")
    .map((entry) => entry.trim())
    .filter(Boolean);
}
