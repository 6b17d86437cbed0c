/** The configuration contradicts itself, or something that it needs is missing. */
export class Misconfigured extends Error {
  name = "Misconfigured";
}

/** A call to a host that is neither a target nor allowed; nothing was sent. */
export class HostDenied extends Error {
  name = "HostDenied";

  constructor(host) {
    super(
      `Shadow denies calls to ${host}: it is neither a target (SHADOW_TARGETS=${host}=NAME) nor allowed ` +
        `(SHADOW_ALLOW=${host})`,
    );
    this.host = host;
  }
}

/**
 * The gateway cannot answer yet, because the run's twin has not made the call: run again later.
 *
 * Inngest's SDKs know an error by its name that the platform is to try again after `retryAfter` (seconds, as text); on
 * Trigger.dev `capture.trigger.catchError` says it.
 */
export class RetryLater extends Error {
  name = "RetryAfterError";

  constructor(message, after) {
    super(message);
    this.after = after;
    this.retryAfter = String(Math.max(1, Math.ceil(after)));
  }
}

/** The wait that an error tells of, itself or as its cause, wherever a client of a provider keeps that; null: none. */
export function waitBehind(error, depth = 4) {
  if (error instanceof RetryLater) return error;
  if (!(error instanceof Error) || depth === 0) return null;
  for (const name of Object.getOwnPropertyNames(error)) {
    const found = waitBehind(error[name], depth - 1);
    if (found) return found;
  }
  return null;
}
