/** What a connection's transaction has written so far: told only when it is committed. No I/O. */
export class Transaction {
  #written = [];
  #savepoints = [];

  /** A run wrote rows. */
  note(run, effects) {
    this.#written.push(...effects.map((effect) => ({ run, effect })));
  }

  savepoint(name) {
    this.#savepoints.push([name, this.#written.length]);
  }

  /** What came after was undone. */
  backTo(name) {
    const found = this.#savepoints.findLast(([known]) => known === name);
    this.#written.length = found ? found[1] : 0;
  }

  /** It is done: each run with what it did. */
  committed() {
    const runs = new Map();
    for (const { run, effect } of this.#written.splice(0)) runs.set(run, [...(runs.get(run) ?? []), effect]);
    return [...runs];
  }
}
