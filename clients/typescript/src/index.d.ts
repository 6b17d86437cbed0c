/** Capture: what a TypeScript worker adds so that Shadow sees, attributes and contains what its runs do. */

export interface CaptureOptions {
  /** Shadow's front listener. Without it nothing is captured. */
  gatewayUrl?: string;
  /** The side's egress key. */
  key?: string;
  /** Host, `host:port` or base URL to the target's name in the catalogue. */
  targets?: Record<string, string>;
  /** The side's key for reports. */
  reportKey?: string;
  /** Of this deployment. */
  version?: string;
  /** What is deployed, where the side has several apps: as the platform, or the catalogue's platform, names it. */
  app?: string;
  /** Hosts that may be reached beside: `host`, `host:port` or `*.example.com`. */
  allow?: string[];
  /** What becomes of calls to other hosts: `report` lets them through and says so. */
  otherHosts?: "deny" | "report";
}

export interface Run {
  /** The platform's id of the run. */
  run: string;
  /** The catalogue's id, or what the platform calls the task or function. */
  task: string;
  /** From 1. */
  attempt?: number;
  /** The id of the event that started it. */
  event?: string;
  version?: string;
}

/** An interceptor as undici's `dispatcher.compose` takes it. */
export type Interceptor = <Dispatch extends (options: any, handler: any) => boolean>(dispatch: Dispatch) => Dispatch;

export interface PgOptions {
  /** Say to the server whose transactions are, for logical decoding: true unless said otherwise. */
  messages?: boolean;
  /** Tell Shadow the rows that were committed, for databases without logical decoding. */
  reportRows?: boolean;
  /** The target of these effects, as the catalogue names the database; by default as the server does. */
  database?: string;
  /** Table to the columns that identify a row of it, where that is not the key it is written by. */
  keys?: Record<string, string[]>;
}

export interface TriggerHooks {
  /** `tasks.middleware("shadow", hooks.middleware)`; generation 3: the task's own option `middleware`. */
  middleware(first: any, second?: any): Promise<any>;
  /** `tasks.catchError(hooks.catchError)`; generation 3: `handleError` of a task or of the configuration. */
  catchError(...given: any[]): { retryAt: Date } | undefined;
}

export interface Capture {
  /** Whether anything is captured at all. */
  readonly active: boolean;
  /** Calls to targets go through the gateway, other hosts are denied. */
  readonly fetch: typeof globalThis.fetch;
  /**
   * Make that the global fetch, have `node:http` and `node:https` do the same, and deny sockets to other hosts;
   * returns what undoes it.
   */
  install(): () => void;
  /** The same for undici: `setGlobalDispatcher(new Agent().compose(capture.undici()))`. */
  undici(): Interceptor;
  /** The same client or pool of `pg`; in runs, transactions that may write say to the server whose they are. */
  pg<Client extends object>(client: Client, options?: PgOptions): Client;
  /** Middleware of the Inngest SDK that is given, generation 3 or 4: `import * as inngest from "inngest"`. */
  inngest(sdk: object): any;
  readonly trigger: TriggerHooks;
  /** Whatever happens in `work` is done by that run. */
  run<Result>(run: Run, work: () => Result): Result;
  /** Show Shadow that other hosts are denied here and which secrets there are, by fingerprints alone. */
  reportGuard(environ?: Record<string, string | undefined>, more?: { secrets?: string[] }): Promise<boolean>;
  /** Effects that could not be reported. */
  lost(): number;
}

export function captureFromEnvironment(environ?: Record<string, string | undefined>): Capture;
export function createCapture(options?: CaptureOptions): Capture;
/** The run at hand; undefined outside of runs. */
export function currentRun(): Run | undefined;
/** HMAC-SHA256 with that key, in hexadecimal, of every value and of every secret within one. */
export function fingerprints(environ: Record<string, string | undefined>, key: Uint8Array, secrets?: string[]): string[];

/** The configuration contradicts itself. */
export class Misconfigured extends Error {}
/** A call to a host that is neither a target nor allowed; nothing was sent. */
export class HostDenied extends Error {
  readonly host: string;
}
/** The gateway cannot answer yet: run again later. */
export class RetryLater extends Error {
  /** Seconds. */
  readonly after: number;
  readonly retryAfter: string;
}
