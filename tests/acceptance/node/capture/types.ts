// The types say what the package does: checked by the compiler, never run.
import pg from "pg";
import { Agent, setGlobalDispatcher } from "undici";
import { captureFromEnvironment, createCapture, currentRun, fingerprints, HostDenied, RetryLater } from "../../../../clients/typescript/src/index.js";

const capture = createCapture({ gatewayUrl: "https://shadow.test", key: "shk_1", targets: { "api.stripe.com": "stripe" } });
const active: boolean = captureFromEnvironment().active;
const pool: pg.Pool = capture.pg(new pg.Pool());
const client: pg.Client = capture.pg(new pg.Client(), { reportRows: true, database: "shop", keys: { payments: ["request_id"] } });
setGlobalDispatcher(new Agent().compose(capture.undici()));
const undo: () => void = capture.install();
const status: Promise<number> = capture.run({ run: "run_1", task: "pay" }, async () => (await capture.fetch("https://api.stripe.com")).status);
const taken: Promise<boolean> = capture.reportGuard(process.env, { secrets: ["s"] });
const prints: string[] = fingerprints({ A: "b" }, Buffer.from("k"));
const task: string | undefined = currentRun()?.task;
// @ts-expect-error: a run has a task
void capture.run({ run: "run_1" }, () => 1);
// @ts-expect-error: there are two ways only
createCapture({ otherHosts: "maybe" });
export function told(error: unknown): string {
  if (error instanceof HostDenied) return error.host;
  return error instanceof RetryLater ? String(error.after) : String([active, pool, client, undo, status, taken, prints, task]);
}
