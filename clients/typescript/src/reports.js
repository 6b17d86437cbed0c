import { marksOf } from "./run.js";

const DELAYS = [100, 200, 400, 800, 1600, 2000];

/** Tells Shadow. Never throws for what the front does: a run must not be repeated because telling about it failed. */
export class Reports {
  /** Effects that could not be reported: not 0 means that a ledger is incomplete. */
  lost = 0;

  constructor(settings, fetch) {
    this.settings = settings;
    this.fetch = fetch;
  }

  async effects(run, effects) {
    if (!this.settings.reportKey || !effects.length) return;
    if (!(await this.send("/shadow/effects", { ...marksOf(run), effects }, DELAYS))) this.lost += effects.length;
  }

  async get(path) {
    const answer = await this.fetch(`${this.settings.gatewayUrl}${path}`, { headers: this.#headers() });
    if (!answer.ok) throw new Error(`Shadow answered ${path} with ${answer.status}`);
    return answer.json();
  }

  async send(path, body, delays = []) {
    for (let attempt = 0; ; attempt++) {
      const reason = await this.#post(path, body);
      if (reason === null) return true;
      if (reason.final || attempt >= delays.length) {
        console.error(`shadow: report to ${path} lost: ${reason.text}`);
        return false;
      }
      await new Promise((done) => setTimeout(done, delays[attempt]));
    }
  }

  async #post(path, body) {
    try {
      const answer = await this.fetch(`${this.settings.gatewayUrl}${path}`, {
        method: "POST",
        headers: this.#headers(),
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(30_000),
      });
      if (answer.ok) {
        await answer.body?.cancel();
        return null;
      }
      const final = answer.status < 500 && ![408, 425, 429].includes(answer.status);
      return { final, text: `HTTP ${answer.status} ${(await answer.text()).slice(0, 200)}` };
    } catch (error) {
      return { final: false, text: String(error) };
    }
  }

  #headers() {
    const key = this.settings.reportKey ?? this.settings.key;
    return { authorization: `Bearer ${key}`, "content-type": "application/json" };
  }
}
