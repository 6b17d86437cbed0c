import net from "node:net";
import { HostDenied } from "./errors.js";

/**
 * Deny connections to other hosts, whatever opens them (SMTP, HTTP/2, drivers of databases); returns what undoes it.
 *
 * All of Node's TCP and TLS connections are begun by this one method. A socket of the machine's own leads to no host.
 */
export function installSockets({ routes, guard }) {
  const before = net.Socket.prototype.connect;

  function connect(...given) {
    const { host, port, path } = placeOf(given);
    if (!path && !routes.reachable(host, port)) {
      const named = port === 80 || port === 443 ? host : `${host}:${port}`;
      void guard.meet(named);
      if (guard.denies) {
        this.connecting = true;
        setImmediate(() => this.destroy(new HostDenied(named))); // as a connection that fails: whoever asked listens by then
        return this;
      }
    }
    return before.apply(this, given);
  }

  net.Socket.prototype.connect = connect;
  return () => {
    if (net.Socket.prototype.connect === connect) net.Socket.prototype.connect = before;
  };
}

/** Where `connect` is to go: (options), (port, host), (path), or all of these in a list, as Node itself has it. */
function placeOf(given) {
  const [first, second] = Array.isArray(given[0]) ? given[0] : given;
  const asked = first !== null && typeof first === "object" ? first : null;
  if (!asked && typeof first === "string" && !/^\d+$/.test(first)) return { path: first };
  const { host = "localhost", port, path } = asked ?? { port: first, host: typeof second === "string" ? second : undefined };
  return { host: host || "localhost", port: Number(port), path };
}
